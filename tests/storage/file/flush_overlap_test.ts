/**
 * flush_overlap_test.ts: flushes of one file that are in flight at once: where one fails, all fail.
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AioSystemError, type SystemError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import { openHeld } from "../../support/core.ts";
import { checkCloses, heldIos, openDurable, POINT, REMEDY } from "../../support/flush_failures.ts";
import { errorOf } from "../../support/system_errors.ts";

const EIO = 5;

/** Whether a promise is settled after everything that is ready has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let isOver = false;
  const note = () => void (isOver = true);
  promise.then(note, note);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve));
  return isOver;
}

const SETTLING = [["fails", -EIO], ["goes well", 0]] as const;

for (const [outcome, raw] of SETTLING) {
  Deno.test(`held: sync() waits for one that it overlaps, which ${outcome}`, async () => {
    await using fixture = await openHeld();
    const { aio, held, file } = fixture;
    const [first, second] = [file.sync(), file.syncData()];
    const [firstIo, secondIo] = await heldIos(fixture, 2);
    held.complete(aio, secondIo!, 0);
    assertEquals(await isSettled(second), false);
    // The third begins later, so the second does not wait for it, but the first does.
    const third = file.sync();
    const [, thirdIo] = await heldIos(fixture, 2);
    held.complete(aio, firstIo!, raw);
    if (raw === 0) await second;
    else {
      const errors = await Promise.all([first, second].map(errorOf));
      assertEquals(errors.map(({ syscall }) => syscall), ["fsync", "fdatasync"]);
    }
    held.complete(aio, thirdIo!, 0);
    if (raw === 0) return void await Promise.all([first, third]);
    await errorOf(third);
    await checkCloses(fixture, "EIO");
  });

  Deno.test(`held: syncSync() waits for one that it overlaps, which ${outcome}`, async () => {
    await using fixture = await openHeld();
    const { aio, held, file } = fixture;
    const first = file.sync();
    const [firstIo] = await heldIos(fixture, 1);
    aio.attachInjectionPoint(POINT, (handle) => handle.id === firstIo ? raw : undefined);
    // The method performs the IO that a thread waits for.
    if (raw === 0) file.syncDataSync();
    else assertThrows(() => file.syncDataSync(), AioSystemError, "EIO");
    assertEquals(held.waits, [firstIo]);
    if (raw === 0) return await first;
    await errorOf(first);
    await checkCloses(fixture, "EIO");
  });

  Deno.test(`held: a write with dsync waits for one that it overlaps, which ${outcome}`, async () => {
    await using fixture = await openHeld();
    const { aio, held } = fixture;
    const file = await openDurable(fixture);
    const first = file.writeAt(new Uint8Array(10), 0);
    const second = file.writeAt(new Uint8Array(10), 100);
    const [firstIo, secondIo] = await heldIos(fixture, 2);
    held.complete(aio, secondIo!, 10);
    assertEquals(await isSettled(second), false);
    held.complete(aio, firstIo!, raw === 0 ? 10 : raw);
    if (raw === 0) {
      assertEquals(await Promise.all([first, second]), [10, 10]);
      return await file.close();
    }
    const [, error] = await Promise.all([first, second].map(errorOf));
    assertEquals(error!.syscall, "pwritev");
    await checkCloses({ file }, "EIO");
  });

  Deno.test(`held: sync() waits for another thread's that it overlaps, which ${outcome}`, async () => {
    await using fixture = await openHeld();
    const { aio, held, file } = fixture;
    await using worker = await AttachedWorker.start(aio, file);
    const theirs = worker.ask({ what: "sync" });
    const [theirIo] = await heldIos(fixture, 1);
    const ours = file.sync();
    const [, ourIo] = await heldIos(fixture, 2);
    held.complete(aio, ourIo!, 0);
    assertEquals(await isSettled(ours), false);
    held.complete(aio, theirIo!, raw);
    if (raw === 0) return void await Promise.all([ours, theirs]);
    const [error] = await Promise.all([
      errorOf(ours),
      assertRejects(() => theirs, Error, `(EIO); close it, ${REMEDY}`),
    ]);
    assertEquals(error.code, "EIO");
    const later = assertThrows(() => file.syncDataSync(), AioSystemError);
    assertEquals((later as SystemError).code, "EIO");
    // The Worker has reported the error, and so has this thread.
    await assertRejects(
      () => worker.ask({ what: "close" }),
      Error,
      "an earlier flush of it failed",
    );
    worker.terminate();
    await checkCloses(fixture, "EIO");
  });
}

Deno.test("held: sync() that is aborted ends at once, and its error is kept all the same", async () => {
  await using fixture = await openHeld();
  const { aio, held, file } = fixture;
  const controller = new AbortController();
  const aborted = file.sync({ signal: controller.signal });
  const [io] = await heldIos(fixture, 1);
  controller.abort(new Error("no more"));
  await assertRejects(() => aborted, Error, "no more");
  held.complete(aio, io!, -EIO);
  const later = file.sync();
  const [laterIo] = await heldIos(fixture, 1);
  held.complete(aio, laterIo!, 0);
  assertEquals((await errorOf(later)).code, "EIO");
  await checkCloses(fixture, "EIO");
});

Deno.test("held: reads and other files' flushes are not waited for", async () => {
  await using fixture = await openHeld();
  const { aio, held, file } = fixture;
  await using other = await aio.openFile(file.path, { write: true });
  const elsewhere = other.sync();
  const read = file.readAt(new Uint8Array(10), 0);
  const write = file.writeAt(new Uint8Array(10), 0);
  const flushed = file.sync();
  const ios = await heldIos(fixture, 4);
  const isOurs = (io: number) => {
    const { operation, operationData } = backendOf(aio).handleOf(io);
    return operation === "fsync" && operationData.fd === file.fd;
  };
  held.complete(aio, ios.find(isOurs)!, 0);
  await flushed;
  held.performAll(aio);
  await Promise.all([elsewhere, read, write]);
});
