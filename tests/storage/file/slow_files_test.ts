/**
 * slow_files_test.ts: files on a file system that answers late, or never: opening, measuring,
 * cutting and closing never hold up the event loop, errors have their numbers, and whoever waits
 * for an end can give it up.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioSystemError } from "../../../core/mod.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import type { FuseOperation, FuseServer } from "../../support/disks/fuse_server.ts";
import { testsOnFuse } from "../../support/disks/on_fuse.ts";
import { openAio } from "../../support/methods.ts";
import { Turns } from "../../support/turns.ts";

const OPTIONS = { read: true, write: true } as const;

const testOnFuse = testsOnFuse(new Turns(6));

/** Asserts that a promise is pending once the operation is held up, and some turns later. */
async function assertHeldUp(
  server: FuseServer,
  operation: FuseOperation,
  promise: Promise<unknown>,
): Promise<void> {
  let isSettled = false;
  promise.finally(() => isSettled = true).catch(() => {});
  await server.untilHeld(operation);
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(isSettled, false, operation);
}

testOnFuse("openFile() that waits for the file system holds up nothing", async (server, method) => {
  await using aio = await openAio(method);
  for (const operation of ["OPEN", "GETATTR"] as const) {
    await server.hold(operation);
    const opening = aio.openFile(server.join(operation));
    await assertHeldUp(server, operation, opening);
    await server.release(operation);
    await (await opening).close();
  }
});

testOnFuse(
  "size() and truncate() that wait for the file system hold up nothing",
  async (server, method) => {
    await using aio = await openAio(method);
    await using file = await aio.openFile(server.join("file"), OPTIONS);
    await server.hold("GETATTR");
    const size = file.size();
    await assertHeldUp(server, "GETATTR", size);
    await server.release("GETATTR");
    assertEquals(await size, 1_048_576);
    await server.hold("SETATTR");
    const truncating = file.truncate(1_048_576);
    await assertHeldUp(server, "SETATTR", truncating);
    await server.release("SETATTR");
    await truncating;
  },
);

for (const options of [{ read: true }, OPTIONS]) {
  testOnFuse(
    `close() of a file opened for ${Object.keys(options).join(" and ")} holds up nothing`,
    async (server, method) => {
      await using aio = await openAio(method);
      const file = await aio.openFile(server.join("file"), options);
      await file.readAt(new Uint8Array(10), 0);
      await server.hold("FLUSH");
      const closing = file.close();
      await assertHeldUp(server, "FLUSH", closing);
      await server.release("FLUSH");
      await closing;
    },
  );
}

testOnFuse(
  "size(), truncate() and close() tell the file system's errors by name",
  async (server, method) => {
    await using aio = await openAio(method);
    const file = await aio.openFile(server.join("file"), OPTIONS);
    for (const code of ["ENOSPC", "EDQUOT", "EIO"] as const) {
      await server.fail("SETATTR", errnoOf(code)!);
      const error = await assertRejects(() => file.truncate(5), AioSystemError);
      assertEquals([Reflect.get(error, "code"), Reflect.get(error, "syscall")], [
        code,
        "ftruncate",
      ]);
    }
    await server.fail("GETATTR", errnoOf("EIO")!);
    const measured = await assertRejects(() => file.size(), AioSystemError);
    assertEquals([Reflect.get(measured, "code"), Reflect.get(measured, "syscall")], [
      "EIO",
      "statx",
    ]);
    await server.fail("FLUSH", errnoOf("ENOSPC")!);
    const closed = await assertRejects(() => file.close(), AioSystemError);
    assertEquals([Reflect.get(closed, "code"), Reflect.get(closed, "syscall")], [
      "ENOSPC",
      "close",
    ]);
    assertEquals(backendOf(aio).files.count, 0);
  },
);

testOnFuse(
  "openFile() with truncate that fails to cut tells why, and leaves nothing",
  async (server, method) => {
    await using aio = await openAio(method);
    await server.fail("SETATTR", errnoOf("EDQUOT")!);
    const options = { write: true, truncate: true };
    const error = await assertRejects(() => aio.openFile(server.join("file"), options));
    assertEquals(Reflect.get(Object(error), "code"), "EDQUOT");
    assertEquals(backendOf(aio).files.count, 0);
  },
);
