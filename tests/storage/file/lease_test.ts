/**
 * lease_test.ts: a file under a lease, as Samba and NFS servers take them, is opened when its
 * holder has let go, as `Deno.open` does; and a pipe holds up nobody.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import type { Aio } from "../../../storage/mod.ts";
import { Leaseholder, leasesAvailable } from "../../support/disks/leaseholder.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { runChild, tempDir, tempFile } from "../../support/temp.ts";
import { Turns } from "../../support/turns.ts";

const turns = new Turns(3);

/** Registers a test of an Aio and a file that another process has a lease on. */
function testUnderLease(
  name: string,
  letsGo: "when told" | "at once",
  use: (aio: Aio, path: string, holder: Leaseholder) => Promise<void>,
): void {
  testEachMethod(
    name,
    async (method) => {
      await using temp = await tempFile();
      await using holder = await Leaseholder.start(temp.path, letsGo);
      await using aio = await openAio(method);
      await use(aio, temp.path, holder);
    },
    leasesAvailable(),
    turns,
  );
}

testUnderLease(
  "openFile() waits for whoever holds a lease, and leaves the event loop alone",
  "when told",
  async (aio, path, holder) => {
    let isOpen = false;
    const opening = aio.openFile(path).then((file) => {
      isOpen = true;
      return file;
    });
    assertEquals(await holder.nextLine(), "asked");
    // The holder knows of the opening; until it lets go, only the event loop goes on.
    for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals(isOpen, false);
    await holder.letGo();
    await using file = await opening;
    assertEquals(await file.readAt(new Uint8Array(5), 0), 5);
  },
);

testUnderLease(
  "openFileSync() waits for whoever holds a lease",
  "at once",
  async (aio, path) => {
    await using file = aio.openFileSync(path, { write: true, truncate: true });
    assertEquals(file.sizeSync(), 0);
  },
);

testUnderLease(
  "aio.close() ends an openFile() that waits for a lease",
  "when told",
  async (aio, path, holder) => {
    const opening = assertRejects(() => aio.openFile(path), Deno.errors.BadResource);
    assertEquals(await holder.nextLine(), "asked");
    await aio.close();
    await opening;
  },
);

testEachMethod(
  "openFile() of a pipe that nobody writes to is refused at once, in every direction",
  async (method) => {
    await using dir = await tempDir();
    const path = dir.join("pipe");
    await runChild([path], { command: "mkfifo" });
    await using aio = await openAio(method);
    for (const options of [{}, { write: true }, { read: true, write: true }]) {
      await assertRejects(() => aio.openFile(path, options));
    }
  },
  Deno.build.os === "linux",
);
