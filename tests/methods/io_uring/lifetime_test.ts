/**
 * lifetime_test.ts: IO that outlives its issuer: nobody holds its handle, its memory or its thread
 * any more. The kernel writes nothing to memory that has another owner by then, and waiters get
 * whatever data there is.
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND, HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { ECANCELED, EFAULT } from "../../../ffi/errno.ts";
import { CQE_WORDS } from "../../../ffi/uring_layout.ts";
import { SLOT } from "../../../methods/io_uring/memory.ts";
import type { RingForm } from "../../../methods/io_uring/setup.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import { fileContent, type Fixture, startRead } from "../../support/core.ts";
import { runForgotten, testForgottenReads } from "../../support/forgotten_reads.ts";
import { fuseAvailable, shareFuse } from "../../support/disks/fuse_server.ts";
import { Sentinels } from "../../support/sentinel/sentinel.ts";
import {
  collect,
  countRings,
  openUring,
  Pipe,
  PIPE_BYTES,
  PIPE_DATA,
  replaceProperty,
  ringOf,
  slotWord,
  startRawRead,
  testEachForm,
} from "../../support/rings/uring.ts";
import {
  shareUringThread,
  URING_ENDINGS,
  type UringEnding,
  UringWorker,
} from "../../support/rings/uring_attached.ts";
import { until } from "../../support/patience.ts";

const startUringWorker = shareUringThread();
const takeServer = shareFuse();

const SENTINEL_BYTES = 4 * 1_048_576;
/** So many reads go into each kind of memory. */
const READS = 4;

testForgottenReads(200);

testEachForm("a read that is pointed at plain memory by force is found", async (form) => {
  const { late, changed } = await runForgotten("canary", form, 1);
  assertEquals([late, changed], [1, 1]);
});

/** Reads of a Worker that are in the kernel. */
interface WorkersReads {
  /** Those into the arena, whose memory this thread has, too. */
  readonly refs: readonly WaitRef[];
  readonly views: readonly Uint8Array[];
  /** Those into memory that the Worker alone had. */
  readonly own: readonly WaitRef[];
}

async function startWorkersReads(
  { aio }: Fixture,
  worker: UringWorker,
  fd: number,
): Promise<WorkersReads> {
  const refs: WaitRef[] = [];
  const own: WaitRef[] = [];
  const views = Array.from({ length: READS }, () => aio.alloc(PIPE_BYTES).fill(0));
  for (const view of views) {
    refs.push(await worker.read(fd, view));
    own.push(await worker.read(fd, null));
  }
  return { refs, views, own };
}

/** Points IO at a file: doing it again means to read at a position, which a pipe cannot. */
function pointAtFile({ aio, file }: Fixture, refs: readonly WaitRef[], fd = file.fd): void {
  const { control } = backendOf(aio);
  for (const { index } of refs) control.words[control.handleAt(index) + HANDLE.fd] = fd;
}

function rawResultOf({ aio }: Fixture, { index }: WaitRef): number {
  const { control } = backendOf(aio);
  return control.words[control.handleAt(index) + HANDLE.rawResult]!;
}

/**
 * Asserts that the slot of a dead thread is free, and that the next thread goes on with its ring.
 */
async function assertSlotWorks(fixture: Fixture, form: RingForm, id: number): Promise<void> {
  const { aio, file } = fixture;
  const { control } = backendOf(aio);
  assertEquals(control.words[control.backendAt(id) + BACKEND.threadId], 0);
  assertEquals(slotWord(fixture, id, SLOT.isUsed), 0);
  const ring = slotWord(fixture, id, SLOT.fd);
  await using next = await startUringWorker(fixture, form);
  assertEquals([next.id, slotWord(fixture, id, SLOT.fd)], [id, ring]);
  using pipe = await Pipe.open();
  const views = [aio.alloc(PIPE_BYTES), aio.alloc(PIPE_BYTES)] as const;
  const refs = [await next.read(pipe.fd, views[0]), await next.read(file.fd, views[1], 5)] as const;
  pipe.write();
  // This thread has used the ring as the dead thread's.
  for (const ref of refs) aio.waitSync(ref);
  for (const ref of refs) assertEquals(await next.ask({ what: "result", ref }), PIPE_BYTES);
  assertEquals(new Uint8Array(views[0]), PIPE_DATA);
  assertEquals(new Uint8Array(views[1]), fileContent(5, PIPE_BYTES));
  assertEquals(aio.backends()[id]!.counters.synchronousByMethod, 0);
  for (const view of views) aio.free(view);
}

async function endWhileReading(form: RingForm, ending: UringEnding): Promise<void> {
  await using fixture = await openUring(form);
  const { aio } = fixture;
  const rings = countRings();
  const free = backendOf(aio).arena.freeBytes;
  using pipe = await Pipe.open();
  const worker = await UringWorker.start(fixture, form);
  assertEquals(countRings(), rings + 1);
  const { refs, views, own } = await startWorkersReads(fixture, worker, pipe.fd);
  assertEquals(ringOf(fixture, worker.id).inKernel, 2 * READS);
  worker.end(ending);
  await worker.untilDead();
  collect();
  const sentinels = new Sentinels();
  sentinels.addOfEachSize(SENTINEL_BYTES);
  // Nobody reads these: the kernel gives the reads up, as their thread is gone.
  pipe.write(2 * READS);
  for (const view of views) assertEquals(new Uint8Array(view), new Uint8Array(PIPE_BYTES));
  pointAtFile(fixture, [...refs, ...own]);
  await Promise.all([...refs, ...own].map((ref) => aio.wait(ref)));
  for (const view of views) assertEquals(new Uint8Array(view), fileContent(0, PIPE_BYTES));
  // Memory that the thread alone had is still there.
  assertEquals(own.map((ref) => rawResultOf(fixture, ref)), own.map(() => PIPE_BYTES));
  assertEquals([pipe.drain(), sentinels.changed()], [2 * READS * PIPE_BYTES, 0]);
  // The waiters may have completed them without knowing that their thread is dead.
  backendOf(aio).reapDead();
  for (const view of views) aio.free(view);
  // The ring stays for the next thread.
  assertEquals([countRings(), aio.ios(), backendOf(aio).arena.freeBytes], [rings + 1, [], free]);
  await assertSlotWorks(fixture, form, worker.id);
}

// The quick part has each ending once.
for (const ending of URING_ENDINGS) {
  testEachForm(
    `reads in flight when their thread ends (${ending}) are done again`,
    async (form) => {
      await endWhileReading(form, ending);
    },
    0,
    true,
    ending === "selfClose",
  );
}

for (const ending of URING_ENDINGS) {
  testEachForm(
    `data that comes while a thread ends (${ending}) is not lost`,
    async (form) => {
      await using fixture = await openUring(form);
      const { aio } = fixture;
      using pipe = await Pipe.open();
      const worker = await UringWorker.start(fixture, form);
      const { refs, views } = await startWorkersReads(fixture, worker, pipe.fd);
      worker.end(ending);
      for (let i = 0; i < 2 * READS; i++) pipe.write();
      await Promise.all(refs.map((ref) => aio.wait(ref)));
      await worker.untilDead();
      backendOf(aio).reapDead();
      // Each read has brought all of its data or none, and the pipe has the rest.
      const filled = views.filter((view) => view[0] !== 0);
      for (const view of filled) assertEquals(new Uint8Array(view), PIPE_DATA);
      const left = pipe.drain() / PIPE_BYTES;
      assert(left >= READS - filled.length && left <= 2 * READS - filled.length);
      await assertSlotWorks(fixture, form, worker.id);
    },
    0,
    true,
    ending !== "selfClose",
  );
}

testEachForm(
  "whoever attaches in a dead thread's place takes what the kernel did for it",
  async (form) => {
    // One slot beside the opener's, and the opener does not look which threads live.
    await using fixture = await openUring(form, { maxBackends: 2, maxConcurrency: READS });
    const { aio } = fixture;
    using pipe = await Pipe.open();
    const start = async (worker: UringWorker, view: Uint8Array) => {
      const refs: WaitRef[] = [];
      for (let i = 0; i < READS; i++) refs.push(await worker.read(pipe.fd, view));
      return refs;
    };
    const views = [aio.alloc(PIPE_BYTES), aio.alloc(PIPE_BYTES)] as const;
    const dead = await UringWorker.start(fixture, form);
    const refs = await start(dead, views[0]);
    pipe.write(READS);
    const ring = ringOf(fixture, dead.id);
    await until(() => ring.ready >= READS, "the kernel has done the reads");
    dead.end("terminate");
    await dead.untilDead();

    await using next = await startUringWorker(fixture, form);
    assertEquals([next.id, ring.ready, aio.ios()], [dead.id, 0, []]);
    for (const ref of refs) assert(aio.checkDone(ref));
    assertEquals(new Uint8Array(views[0]), PIPE_DATA);
    // It has each handle once: with one read more than it has handles, it waits.
    const nextRefs = await start(next, views[1]);
    const last = next.read(pipe.fd, views[1]);
    pipe.write(READS + 1);
    for (const ref of [...nextRefs, await last]) {
      assertEquals(await next.ask({ what: "result", ref }), PIPE_BYTES);
    }
  },
);

/** Waits until the kernel has given up so many IOs, and makes the result of each -EFAULT. */
async function falsifyGivenUp(fixture: Fixture, id: number, count: number): Promise<void> {
  const ring = ringOf(fixture, id);
  await until(() => ring.ready >= count, "the kernel has given up the reads");
  const head = ring.words[slotWord(fixture, id, SLOT.cqHead)]!;
  for (let i = head; i < head + count; i++) {
    assertEquals(setResult(fixture, id, i, -EFAULT), -ECANCELED);
  }
}

/** Changes the result of an IO in the ring. @returns the kernel's own */
function setResult(fixture: Fixture, id: number, entry: number, result: number): number {
  const ring = ringOf(fixture, id);
  const cqe = (entry & (ring.cqEntries - 1)) * CQE_WORDS.size;
  const at = slotWord(fixture, id, SLOT.cqes) + cqe + CQE_WORDS.result;
  const said = ring.words[at]!;
  ring.words[at] = result;
  return said;
}

/** Makes a Worker's reads fail as they do if a cold page arrives after the thread is gone. */
async function endWithFault(form: RingForm, isReaped: boolean): Promise<void> {
  await using fixture = await openUring(form);
  const { aio } = fixture;
  using pipe = await Pipe.open();
  const worker = await UringWorker.start(fixture, form);
  const { refs, views, own } = await startWorkersReads(fixture, worker, pipe.fd);
  worker.end("terminate");
  await worker.untilDead();
  pipe.write();
  await falsifyGivenUp(fixture, worker.id, 2 * READS);
  pointAtFile(fixture, [...refs, ...own]);
  if (isReaped) backendOf(aio).reapDead();
  for (const ref of refs) aio.waitSync(ref);
  for (const view of views) assertEquals(new Uint8Array(view), fileContent(0, PIPE_BYTES));
}

testEachForm(
  "reads that failed for their thread's death are done again: by a reaper",
  async (form) => {
    await endWithFault(form, true);
  },
);

testEachForm(
  "reads that failed for their thread's death are done again: by a waiter",
  async (form) => {
    await endWithFault(form, false);
  },
);

testEachForm(
  "a read that failed as if its thread had died is done again by whoever awaits it, if that looks no more",
  async (form) => {
    await using fixture = await openUring(form);
    const { aio, file } = fixture;
    using pipe = await Pipe.open();
    await using worker = await AttachedWorker.start(aio, file);
    using _blind = replaceProperty("isReady", () => false);
    const { ref, view } = startRawRead(fixture, pipe.fd);
    pipe.write();
    setResult(fixture, 0, 0, -EFAULT);
    pointAtFile(fixture, [ref]);
    await worker.ask({ what: "await", ref });
    assertEquals(new Uint8Array(view), fileContent(0, PIPE_BYTES));
  },
);

testEachForm(
  "reads that ended with their thread are done again, and no event loop stands",
  async (form) => {
    const server = await takeServer();
    await using fixture = await openUring(form);
    const { aio } = fixture;
    await using slow = await aio.openFile(server.join("file"));
    using pipe = await Pipe.open();
    const worker = await UringWorker.start(fixture, form);
    const { refs, views, own } = await startWorkersReads(fixture, worker, pipe.fd);
    worker.end("terminate");
    await worker.untilDead();
    pipe.write(2 * READS);
    pointAtFile(fixture, [...refs, ...own], slow.fd);
    await server.hold("READ");
    const awaited = Promise.all(refs.map((ref) => aio.wait(ref)));
    await server.untilHeld("READ");
    await server.release("READ");
    await awaited;
    const sevens = new Uint8Array(PIPE_BYTES).fill(7);
    for (const view of views) assertEquals(new Uint8Array(view), sevens);
  },
  0,
  fuseAvailable(),
);

testEachForm("good and failed IO is completed by another thread that waits", async (form) => {
  await using fixture = await openUring(form);
  const { aio } = fixture;
  await using worker = await startUringWorker(fixture, form);
  // This thread does not look at its ring, not even while it submits.
  const blind = replaceProperty("isReady", () => false);
  const good = startRead(fixture, 300);
  const bad = startRawRead(fixture, 1_000_000);
  for (const { ref } of [good, bad]) await worker.ask({ what: "waitSync", ref });
  assertEquals(aio.backends()[1]!.counters.completedForOthers, 2);
  blind[Symbol.dispose]();
  for (const { ref } of [good, bad]) aio.waitSync(ref);
  const { completedBySelf, completedByOthers } = aio.backends()[0]!.counters;
  assertEquals([completedBySelf, completedByOthers], [0, 2]);
  assertEquals([good.ret.result.status, good.ret.result.result], ["ok", good.view.length]);
  assertEquals(new Uint8Array(good.view), fileContent(300, good.view.length));
  assertEquals(bad.ret.result.result, -9);
});
