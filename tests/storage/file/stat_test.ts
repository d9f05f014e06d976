/** stat_test.ts: `stat()` tells what `Deno.stat()` does, of files of all kinds. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { AioFile } from "../../../mod.ts";
import { testSharedAios } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";

async function checkAll(file: AioFile): Promise<void> {
  const expected = await Deno.stat(file.path);
  for (const info of [await file.stat(), file.statSync()]) {
    // Of this time Deno tells the seconds only.
    const ctime = new Date(Math.floor(info.ctime!.getTime() / 1000) * 1000);
    const expectedTime = new Date(Math.floor(expected.ctime!.getTime() / 1000) * 1000);
    assertEquals({ ...info, ctime }, { ...expected, ctime: expectedTime });
  }
}

testSharedAios("stat() and statSync() tell all that Deno.stat() does", async (aio) => {
  await using dir = await tempDir();
  const path = dir.join("file");
  await Deno.writeFile(path, new Uint8Array(123_456), { mode: 0o640 });
  await Deno.link(path, dir.join("link"));
  await Deno.utime(
    path,
    new Date("1969-03-01T02:03:04.567Z"),
    new Date("2033-01-02T03:04:05.678Z"),
  );
  await using file = await aio.openFile(path, { read: true, write: true });
  await checkAll(file);
  await file.append(new Uint8Array(100_000), { durable: true });
  await checkAll(file);
  assertEquals((await file.stat()).size, 223_456);
});

testSharedAios("stat() goes by the descriptor, whatever became of the name", async (aio) => {
  await using dir = await tempDir();
  const path = dir.join("file");
  await using file = await aio.openFile(path, { write: true, create: true });
  const { ino } = await file.stat();
  await Deno.remove(path);
  await Deno.writeTextFile(path, "another");
  const { size, nlink } = await file.stat();
  assertEquals([size, nlink, (await file.stat()).ino], [0, 0, ino]);
});

testSharedAios("stat() and statSync() of a closed file are refused", async (aio) => {
  await using dir = await tempDir();
  const file = await aio.openFile(dir.join("file"), { write: true, create: true });
  await file.close();
  await assertRejects(() => file.stat(), Deno.errors.BadResource, "Cannot stat");
  assertThrows(() => file.statSync(), Deno.errors.BadResource, "Cannot stat");
});
