/**
 * flush_failure_test.ts: once a flush of a file has failed, no other one of it resolves, in any
 * thread and by any method, until the file is opened again.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AioSystemError, type SystemError } from "../../../core/base/errors.ts";
import { flushErrorOf, noteFlushError } from "../../../core/files/flush_error.ts";
import { backendOf } from "../../../core/inside.ts";
import { BEGUN_BIT } from "../../../core/io/handle_flag.ts";
import { AioReturn, type WaitRef } from "../../../core/mod.ts";
import { BACKEND, FILE, HANDLE } from "../../../core/memory/shared_memory.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import { type Fixture, openHeld } from "../../support/core.ts";
import { testSharedCores } from "../../support/core_methods.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { settles, untilDead } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";
import {
  checkCloses,
  completeOwn,
  openDurable,
  POINT,
  REMEDY,
} from "../../support/flush_failures.ts";
import { errorOf } from "../../support/system_errors.ts";

const EIO = 5;
const ENOSPC = 28;

/** Has the next IO of an operation fail with an error number, whatever the system says. */
function failNext(aio: Aio, operation: string, errno: number): void {
  aio.attachInjectionPoint(POINT, (handle) => {
    if (handle.operation !== operation) return;
    aio.detachInjectionPoint(POINT);
    return -errno;
  });
}

/** All ways to flush a file, each by its system call. */
const AWAITED: readonly (readonly [string, (file: AioFile) => Promise<void>])[] = [
  ["fsync", (file) => file.sync()],
  ["fdatasync", (file) => file.syncData()],
  ["sync_file_range", (file) => file.flushRange(0, 4096)],
];
const BLOCKING: readonly (readonly [string, (file: AioFile) => void])[] = [
  ["fsync", (file) => file.syncSync()],
  ["fdatasync", (file) => file.syncDataSync()],
  ["sync_file_range", (file) => file.flushRangeSync(0, 4096)],
];

async function checkFailsAlways({ file }: { file: AioFile }, code: string): Promise<void> {
  const told = `${JSON.stringify(file.path)}: `;
  const check = (error: SystemError, syscall: string) => {
    assert(error.message.startsWith(`Cannot sync ${told}`), error.message);
    assert(error.message.endsWith(`(${code}); close it, ${REMEDY}`), error.message);
    assertEquals([error.code, error.syscall, error.path], [code, syscall, file.path]);
  };
  for (const [syscall, flush] of AWAITED) check(await errorOf(flush(file)), syscall);
  for (const [syscall, flush] of BLOCKING) {
    check(assertThrows(() => flush(file), AioSystemError) as SystemError, syscall);
  }
}

for (const [operation, at] of [["fsync", 0], ["fdatasync", 1], ["flush_range", 2]] as const) {
  testSharedCores(
    `all flushes fail after a failed ${operation}, and close() tells it`,
    async (fixture) => {
      const { aio, file } = fixture;
      await file.sync();
      failNext(aio, operation, ENOSPC);
      const error = await errorOf(AWAITED[at]![1](file));
      assertEquals([error.code, error.syscall], ["ENOSPC", AWAITED[at]![0]]);
      await checkFailsAlways(fixture, "ENOSPC");
      // Transfers go on: what is there can be saved elsewhere.
      await file.writeAt(new Uint8Array(10), 0);
      assertEquals(await file.readAt(new Uint8Array(10), 0), 10);
      await checkCloses(fixture, "ENOSPC");
      assertEquals(backendOf(aio).files.count, 0);
      await using again = await aio.openFile(file.path, { write: true });
      await again.sync();
      again.syncDataSync();
    },
  );
}

testSharedCores("a failed syncSync() fails all later flushes, and closeSync()", async (fixture) => {
  const { aio, file } = fixture;
  failNext(aio, "fsync", EIO);
  assertThrows(() => file.syncSync(), AioSystemError, "EIO");
  await checkFailsAlways(fixture, "EIO");
  const closed = assertThrows(() => file.closeSync(), AioSystemError, "an earlier flush of it");
  assertEquals((closed as SystemError).code, "EIO");
  assertEquals([file.isClosed, backendOf(aio).files.count], [true, 0]);
  file.closeSync();
});

testSharedCores("the first error stays, whatever later flushes hear", async (fixture) => {
  const { aio, file } = fixture;
  failNext(aio, "fsync", ENOSPC);
  assertEquals((await errorOf(file.sync())).code, "ENOSPC");
  failNext(aio, "fsync", EIO);
  await errorOf(file.sync());
  await checkFailsAlways(fixture, "ENOSPC");
  await checkCloses(fixture, "ENOSPC");
});

testSharedCores("a flush that was not executed fails alone", async (fixture) => {
  const { aio, file } = fixture;
  for (const errno of [4, 9, 11, 22, 38, 95, 125]) {
    failNext(aio, "fdatasync", errno);
    const outcome = await file.syncData().then(() => null, (error: SystemError) => error);
    assertEquals(outcome?.errno, errno);
    assert(!outcome!.message.includes(REMEDY), outcome!.message);
    await file.sync();
    file.syncDataSync();
  }
  await file.close();
});

testSharedCores("one of two sync() at once that fails fails both", async (fixture) => {
  const { aio, file } = fixture;
  failNext(aio, "fsync", EIO);
  const errors = await Promise.all([file.sync(), file.sync()].map(errorOf));
  assertEquals(errors.map(({ code }) => code), ["EIO", "EIO"]);
  await checkCloses(fixture, "EIO");
});

testSharedCores("another opening of the same file fails by itself", async (fixture) => {
  const { aio, file } = fixture;
  const other = await aio.openFile(file.path, { read: true, write: true });
  failNext(aio, "fsync", EIO);
  await errorOf(other.sync());
  // The system reports to each opening by itself, so this flush asks it.
  await file.sync();
  await checkCloses({ file: other }, "EIO");
});

testSharedCores("the slot's next file is not blamed for the one before", async (fixture) => {
  const { aio, file } = fixture;
  failNext(aio, "fsync", EIO);
  await errorOf(file.sync());
  await checkCloses(fixture, "EIO");
  for (let i = 0; i < 3; i++) {
    const next = await aio.openFile(file.path, { write: true });
    await next.sync();
    await next.close();
  }
}, { options: { maxFiles: 1 } });

testSharedCores("await using is quiet about a failure that sync() threw", async (fixture) => {
  const { aio, file } = fixture;
  const thrown = await errorOf((async () => {
    await using opened = await aio.openFile(file.path, { write: true });
    failNext(aio, "fsync", EIO);
    await opened.sync();
  })());
  assertEquals(thrown.syscall, "fsync");
});

testEachMethod("aio.close() tells failed flushes that no call has thrown", async (method) => {
  await using dir = await tempDir();
  // Closed by hand, as the second close of a block would report the same errors again.
  const aio = await openAio(method);
  const open = (name: string) => aio.openFile(dir.join(name), { write: true, create: true });
  const [thrown, file] = [await open("thrown"), await open("other")];
  failNext(aio, "fsync", EIO);
  await errorOf(thrown.sync());
  failNext(aio, "fsync", ENOSPC);
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  file.startFsync(handle);
  await aio.wait(ref);
  const closed = await errorOf(aio.close());
  assertEquals([closed.code, closed.path], ["ENOSPC", file.path]);
  assertEquals([file.isClosed, thrown.isClosed], [true, true]);
});

testSharedCores("await using tells a failure that only the core has seen", async (fixture) => {
  const { aio, file } = fixture;
  const thrown = await errorOf((async () => {
    await using opened = await aio.openFile(file.path, { write: true });
    failNext(aio, "fsync", EIO);
    const ret = new AioReturn();
    const handle = aio.acquire(null, ret);
    const ref = handle.waitRef();
    opened.startFsync(handle);
    await aio.wait(ref);
    assertEquals([ret.result.status, ret.result.errorData], ["error", EIO]);
  })());
  assertEquals(thrown.syscall, "close");
});

testSharedCores("startFsync() has an error after a flush that failed", async (fixture) => {
  const { aio, file } = fixture;
  failNext(aio, "fdatasync", EIO);
  await errorOf(file.syncData());
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  file.startFsync(handle);
  await aio.wait(ref);
  assertEquals([ret.result.status, ret.result.errorData], ["error", EIO]);
  assertThrows(
    () => aio.reportResult(ret.result, ret.targetData, "error"),
    AioSystemError,
    "could not fsync file",
  );
  await checkCloses(fixture, "EIO");
});

// --- writes of files opened with O_DSYNC ---

testSharedCores("a failed write counts as a failed flush with dsync", async (fixture) => {
  const { aio } = fixture;
  const file = await openDurable(fixture);
  failNext(aio, "writev", EIO);
  assertEquals((await errorOf(file.writeAt(new Uint8Array(10), 0))).syscall, "pwritev");
  await checkFailsAlways({ file }, "EIO");
  const later = await errorOf(file.writeAt(new Uint8Array(10), 0));
  assertEquals([later.code, later.syscall, later.path], ["EIO", "pwritev", file.path]);
  assertThrows(() => file.writeAtSync(new Uint8Array(10), 0), AioSystemError, "EIO");
  assertEquals(await file.readAt(new Uint8Array(10), 0), 10);
  await checkCloses({ file }, "EIO");
});

testSharedCores("a failed write fails alone without dsync", async (fixture) => {
  const { aio, file } = fixture;
  failNext(aio, "writev", EIO);
  await errorOf(file.writeAt(new Uint8Array(10), 0));
  await file.writeAt(new Uint8Array(10), 0);
  await file.sync();
  file.syncDataSync();
  await file.close();
});

testSharedCores("a write fails with dsync after a flush that failed", async (fixture) => {
  const { aio } = fixture;
  const file = await openDurable(fixture);
  failNext(aio, "fsync", ENOSPC);
  await errorOf(file.sync());
  assertEquals((await errorOf(file.writeAt(new Uint8Array(10), 0))).code, "ENOSPC");
  assertThrows(() => file.writeAtSync(new Uint8Array(10), 0), AioSystemError, "ENOSPC");
  await checkCloses({ file }, "ENOSPC");
});

// --- threads that die ---

/** Has a Worker start a flush and die. @returns the flush */
async function leaveFlush(fixture: Fixture, hasBegun: boolean): Promise<WaitRef> {
  const { aio, file } = fixture;
  const { control, libc } = backendOf(aio);
  await using worker = await AttachedWorker.start(aio, file);
  const threadId = Atomics.load(control.words, control.backendAt(1) + BACKEND.threadId);
  const ref = await worker.ask<WaitRef>({ what: "startSync" });
  // As if the Worker itself had begun to execute the flush.
  if (hasBegun) control.words[control.handleAt(ref.index) + HANDLE.flags]! |= BEGUN_BIT;
  worker.terminate();
  await untilDead(libc, threadId);
  return ref;
}

Deno.test("held: a flush that a thread had begun when it died counts as failed", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  const ref = await leaveFlush(fixture, true);
  const ours = file.sync();
  await completeOwn(fixture);
  assert(await settles(ours.catch(() => {})));
  assertEquals((await errorOf(ours)).code, "EIO");
  assert(aio.checkDone(ref));
  await checkCloses(fixture, "EIO");
});

Deno.test("held: a flush that a dead thread had not begun is executed", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  const ref = await leaveFlush(fixture, false);
  const ours = file.sync();
  await completeOwn(fixture);
  await ours;
  assert(aio.checkDone(ref));
});

testSharedCores("a synchronous flush says in its handle that it has begun", (fixture) => {
  const { aio, file } = fixture;
  const flags: number[] = [];
  aio.attachInjectionPoint(POINT, (handle) => {
    const { words, base } = backendOf(aio).handleOf(handle.id);
    flags.push(words[base + HANDLE.flags]! & BEGUN_BIT);
  });
  file.syncSync();
  file.syncDataSync();
  file.writeAtSync(new Uint8Array(10), 0);
  file.readAtSync(new Uint8Array(10), 0);
  aio.detachInjectionPoint(POINT);
  assertEquals(flags, [BEGUN_BIT, BEGUN_BIT, BEGUN_BIT, 0]);
});

// --- the word itself ---

Deno.test("held: noteFlushError() of a file that was closed says nothing about the next one", async () => {
  await using fixture = await openHeld({ maxFiles: 2 });
  const { control } = backendOf(fixture.aio);
  const slot = 1;
  const at = control.fileAt(slot) + FILE.generation;
  for (const generation of [1, 2, 0x7fffffff, -0x80000000, -1]) {
    control.words[at] = generation;
    noteFlushError(control, { slot, generation: generation - 1 | 0 }, EIO);
    assertEquals(flushErrorOf(control, { slot, generation }), 0);
    noteFlushError(control, { slot, generation }, ENOSPC);
    noteFlushError(control, { slot, generation }, EIO);
    assertEquals(flushErrorOf(control, { slot, generation }), ENOSPC);
    assertEquals(flushErrorOf(control, { slot, generation: generation + 1 | 0 }), 0);
  }
});
