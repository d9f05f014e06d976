/**
 * append_on_fuse_test.ts: durable appends on a server that has lost what it was to flush: its file
 * is as large as before then, and that must not hide the flush that has failed.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { AioSystemError } from "../../../core/mod.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { testsOnFuse } from "../../support/disks/on_fuse.ts";
import { openAio } from "../../support/methods.ts";
import { Turns } from "../../support/turns.ts";

const OPTIONS = { read: true, write: true };
const WAYS = [
  { name: "append() with `durable`", dsync: false },
  { name: "append() to a file opened with `dsync`", dsync: true },
];

const testOnFuse = testsOnFuse(new Turns(WAYS.length + 1));

for (const { name, dsync } of WAYS) {
  testOnFuse(`${name} whose flush fails on FUSE fails all later ones`, async (server, method) => {
    await using aio = await openAio(method);
    await using file = await aio.openFile(server.join(name), { ...OPTIONS, dsync });
    // The first one asks for the file's size.
    await file.append(new Uint8Array(5), { durable: true });
    await server.fail("FSYNC", errnoOf("EIO")!);
    const appended = () => file.append(new Uint8Array(5), { durable: true });
    await assertRejects(appended, AioSystemError, "EIO");
    await server.reset();
    await assertRejects(() => file.sync(), AioSystemError, "EIO");
    await assertRejects(() => file.close(), AioSystemError, "EIO");
  });
}

testOnFuse("append() that finds no room on FUSE is no failed flush", async (server, method) => {
  await using aio = await openAio(method);
  await using file = await aio.openFile(server.join("full"), OPTIONS);
  const first = await file.append(new Uint8Array(5), { durable: true });
  await server.fail("WRITE", errnoOf("ENOSPC")!);
  const appended = () => file.append(new Uint8Array(5), { durable: true });
  await assertRejects(appended, AioSystemError, "ENOSPC");
  await server.reset();
  await file.sync();
  assertEquals(await file.append(new Uint8Array(5), { durable: true }), first + 5);
});
