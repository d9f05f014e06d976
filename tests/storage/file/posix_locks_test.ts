/**
 * posix_locks_test.ts: opening a file, and whatever is done with it until it is closed, leaves the
 * process's POSIX record locks on it alone: closing any descriptor of a file drops them all.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { AioOptions } from "../../../core/mod.ts";
import type { Aio } from "../../../storage/mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { PosixLock } from "../../support/disks/posix_lock.ts";
import { tempFile } from "../../support/temp.ts";
import { Turns } from "../../support/turns.ts";

const turns = new Turns(3);

/** Registers a test of an Aio and a file that this process has a lock on. */
function testLocked(
  name: string,
  use: (aio: Aio, path: string, lock: PosixLock) => void | Promise<void>,
  options?: AioOptions,
): void {
  testEachMethod(
    name,
    async (method) => {
      await using temp = await tempFile();
      using lock = new PosixLock(temp.path);
      await using aio = await openAio(method, options);
      await use(aio, temp.path, lock);
    },
    Deno.build.os === "linux",
    turns,
  );
}

testLocked(
  "openFile() and all that is done with the file keep the process's POSIX locks on it",
  async (aio, path, lock) => {
    const file = await aio.openFile(path, { read: true, write: true, direct: "optional" });
    assertEquals(lock.isHeld(), true, "open");
    await file.writeAt(aio.alloc(4096), 0);
    await Promise.all([file.sync(), file.size(), file.truncate(8192)]);
    assertEquals(lock.isHeld(), true, "used");
    const other = aio.attachFile(file.token);
    await file.close();
    assertEquals(lock.isHeld(), true, "closed by one of two users");
    await other.close();
    assertEquals(lock.isHeld(), false, "closed");
  },
);

testLocked(
  "openFileSync() and closeSync() of one of two users keep the process's POSIX locks",
  (aio, path, lock) => {
    const file = aio.openFileSync(path);
    const other = aio.attachFile(file.token);
    file.closeSync();
    assertEquals(lock.isHeld(), true);
    other.closeSync();
    assertEquals(lock.isHeld(), false);
  },
);

testLocked(
  "openFile() that is refused before it has opened the file keeps the process's POSIX locks",
  async (aio, path, lock) => {
    await using _only = await aio.openFile(import.meta.filename!);
    await aio.openFile(path, { write: true, truncate: true }).catch(() => {});
    assertEquals(lock.isHeld(), true);
  },
  { maxFiles: 1 },
);
