/**
 * loop_test.ts: a Worker executes awaited IO of the worker method, whatever state the pool and its
 * queue are in; a thread executes IO itself only where it blocks for it.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { Aio, type AioToken } from "../../../mod.ts";
import { FLAG_BITS } from "../../../core/io/handle_flag.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { POOL, poolAt } from "../../../methods/worker/memory.ts";
import { WorkerQueue } from "../../../methods/worker/queue.ts";
import { replace } from "../../support/bells/bells.ts";
import { shareThread } from "../../support/threads/attached.ts";
import { failingModule } from "../../support/workers/failing_module.ts";
import {
  open,
  openGate,
  READ_BYTES,
  readAndCheck,
  SEED,
  start,
  synchronousCount,
} from "../../support/workers/opened_pool.ts";
import { gateAt } from "../fixtures/worker_faults.ts";
import { hangs, settles, until, untilDead } from "../../support/patience.ts";
import { contentAt, tempDir, writeRandomFile } from "../../support/temp.ts";
import {
  lockQueue,
  METHODS_FOR_TESTS,
  poolUp,
  poolWord,
  runningWorkers,
  untilRunning,
} from "../../support/workers/worker_pool.ts";

const startWorker = shareThread();

Deno.test("worker: no Worker is started before the first IO, which waits for it", async () => {
  await using opened = await open();
  const { aio } = opened;
  await new Promise((resolve) => setTimeout(resolve, 30));
  assertEquals([aio.workers(), poolWord(aio, POOL.isStarted)], [[], 0]);
  await readAndCheck(opened, 0);
  await readAndCheck(opened, 100);
  assertEquals([synchronousCount(aio), aio.workers()[0]!.ios], [0, 2]);
});

Deno.test("worker: a thread that looks for its first IO in a loop has the pool started too", async () => {
  await using opened = await open();
  const { aio } = opened;
  const { ref, ret } = start(opened, "whoCompletes");
  const isHanging = hangs();
  // Without a turn of the event loop.
  while (!aio.checkDone(ref)) assert(!isHanging());
  assertEquals([ret.result.status, ret.result.result], ["ok", 1000]);
});

Deno.test("worker: a blocking wait executes its IO where no Worker runs, and the flags say so", async () => {
  await using opened = await open();
  const { aio } = opened;
  let flags = 0;
  aio.attachInjectionPoint("aio-before-reclaim", ({ id }) => {
    const { control } = backendOf(aio);
    flags = control.words[control.handleAt(id) + HANDLE.flags]!;
  });
  const { ref, ret } = start(opened, "whoCompletes");
  aio.waitSync(ref);
  assertEquals([ret.result.result, synchronousCount(aio)], [999, 1]);
  assertEquals(flags & FLAG_BITS.synchronous, FLAG_BITS.synchronous);
});

Deno.test("worker: a blocking wait executes another thread's IO where no Worker runs", async () => {
  await using opened = await open();
  const { aio, file } = opened;
  await using other = await startWorker(aio, file);
  // The opener blocks until its look finds the other one's IO; only the opener could start a
  // Worker.
  const written = other.ask({ what: "write", bytes: contentAt(SEED, 0, READ_BYTES), offset: 0 });
  const isHanging = hangs();
  const ofOther = () => aio.ios().find(({ backendId }) => backendId === 1);
  while (ofOther()?.state !== "SUBMITTED") assert(!isHanging());
  const { ioId, ioGeneration } = ofOther()!;
  aio.waitSync({ index: ioId, generation: ioGeneration });
  assertEquals([aio.workers(), synchronousCount(aio)], [[], 0]);
  await written;
});

Deno.test("worker: IO whose completion a hook is to see is executed by its thread", async () => {
  await using opened = await open();
  const { aio } = opened;
  let seen = 0;
  aio.attachInjectionPoint("aio-process-completion-before-shared", () => void seen++);
  const { ref, ret } = start(opened, "whoCompletes");
  await aio.wait(ref);
  assertEquals([ret.result.result, seen, synchronousCount(aio)], [999, 1, 1]);
});

Deno.test("worker: IO with hooks at other places goes to the pool", async () => {
  await using opened = await open();
  const { aio } = opened;
  let seen = 0;
  aio.attachInjectionPoint("aio-after-staging", () => void seen++);
  aio.attachInjectionPoint("aio-before-reclaim", () => void seen++);
  const { ref, ret } = start(opened, "whoCompletes");
  await aio.wait(ref);
  assertEquals([ret.result.result, seen, synchronousCount(aio)], [1000, 2, 0]);
});

Deno.test("worker: the first IO of another thread has the opener start the pool", async () => {
  await using opened = await open();
  const { aio, file } = opened;
  await using other = await startWorker(aio, file);
  await other.ask({ what: "write", bytes: contentAt(SEED, 0, READ_BYTES), offset: 0 });
  await readAndCheck(opened, 0);
  assertEquals([synchronousCount(aio), aio.workers()[0]!.ios], [0, 2]);
});

Deno.test("worker: every handle finds room in the queue", async () => {
  await using opened = await open({ workers: { min: 1, max: 1 }, maxConcurrency: 128 });
  const { aio } = opened;
  await poolUp(aio);
  const slow = start(opened, "gated");
  await until(() => aio.workers()[0]!.ioId !== null, "the Worker is busy");
  const reads = Array.from({ length: 127 }, () => start(opened, "whoCompletes"));
  openGate(aio);
  for (const { ref, ret } of [slow, ...reads]) {
    await aio.wait(ref);
    assertEquals([ret.result.status, ret.result.result > 0], ["ok", true]);
  }
  assertEquals([synchronousCount(aio), aio.workers()[0]!.ios], [0, 128]);
});

/** Opens the gate where this thread blocks for too long: a fault would block it for ever. */
function openWhereHanging(aio: Aio): Disposable {
  const isHanging = hangs();
  const wait = Atomics.wait;
  return replace(Atomics, "wait", (...call: unknown[]) => {
    if (isHanging()) openGate(aio);
    return Reflect.apply(wait, Atomics, call);
  });
}

for (const way of ["wait", "waitSync"] as const) {
  Deno.test(`worker: ${way}() of an IO ends while another of its batch takes long`, async () => {
    await using opened = await open({ workers: { min: 2, max: 2 } });
    const { aio } = opened;
    await poolUp(aio);
    // Each finds one IO, so Workers learn not to wake each other.
    for (let i = 0; i < 20; i++) {
      await untilRunning(aio);
      await readAndCheck(opened, i);
    }
    await untilRunning(aio);
    const [long, short] = aio.batch(() =>
      [start(opened, "gated"), start(opened, "whoCompletes")] as const
    );
    using _open = openWhereHanging(aio);
    const waited = Promise.resolve(aio[way](short.ref));
    const ends = await settles(waited);
    const { control } = backendOf(aio);
    const isGateOpen = Atomics.load(control.words, gateAt(control)) !== 0;
    openGate(aio);
    await waited;
    await aio.wait(long.ref);
    assertEquals([ends, isGateOpen, long.ret.result.status], [true, false, "ok"]);
  });
}

Deno.test("worker: what finds the queue locked waits, and the event loop goes on", async () => {
  await using opened = await open();
  const { aio } = opened;
  await poolUp(aio);
  const unlock = lockQueue(aio);
  const reads = Array.from({ length: 5 }, () => start(opened, "whoCompletes"));
  const all = Promise.all(reads.map(({ ref }) => aio.wait(ref)));
  for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(reads.map(({ ret }) => ret.result.status), Array(5).fill("unknown"));
  unlock();
  await all;
  assertEquals(reads.map(({ ret }) => ret.result.result), Array(5).fill(1000));
  assertEquals(synchronousCount(aio), 0);
});

Deno.test("worker: a blocking wait executes an IO that finds the queue locked", async () => {
  await using opened = await open();
  const { aio } = opened;
  await poolUp(aio);
  const unlock = lockQueue(aio);
  const { ref, ret } = start(opened, "whoCompletes");
  aio.waitSync(ref);
  assertEquals([ret.result.result, synchronousCount(aio)], [999, 1]);
  unlock();
  await readAndCheck(opened, 0);
});

Deno.test("worker: what waits outside a locked queue is cancelled there", async () => {
  await using opened = await open();
  const { aio } = opened;
  await poolUp(aio);
  const unlock = lockQueue(aio);
  const { ref, ret } = start(opened, "whoCompletes");
  aio.cancel(ref);
  await aio.wait(ref);
  assertEquals(ret.result.status, "error");
  unlock();
  for (let i = 0; i < 5; i++) await readAndCheck(opened, i);
  assertEquals(aio.workers()[0]!.ios, 5);
});

Deno.test("worker: IO waits for a Worker that cannot be started at first, which is reported once", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("fails"), "");
  const callbackModules = [failingModule(dir.join("fails"))];
  await using opened = await open({ callbackModules });
  const { aio, warnings } = opened;
  const read = readAndCheck(opened, 0);
  await until(() => warnings.length > 0, "a warning comes");
  await Deno.remove(dir.join("fails"));
  await read;
  assertEquals([synchronousCount(aio), aio.workers()[0]!.ios], [0, 1]);
  assertEquals(warnings.length, 1);
  const [warning] = warnings;
  assert(warning!.startsWith("Cannot start an IO worker, so it is tried again: "), warning);
  assert(warning!.includes("not to be had"), warning);
});

Deno.test("worker: IO fails where no Worker can be started, until one can", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("fails"), "");
  const callbackModules = [failingModule(dir.join("fails"))];
  await using opened = await open({ callbackModules });
  const { aio, warnings } = opened;
  await assertRejects(() => readAndCheck(opened, 0), Deno.errors.WouldBlock);
  assertEquals(warnings.length, 2);
  assert(warnings[1]!.startsWith("Cannot start IO workers, so IO fails with EAGAIN"), warnings[1]);
  assertEquals(aio.ios(), []);
  await Deno.remove(dir.join("fails"));
  await until(() => {
    if (aio.ios().length === 0) readAndCheck(opened, 0).catch(() => {});
    return runningWorkers(aio) > 0;
  }, "a Worker runs");
  await readAndCheck(opened, 0);
  assertEquals(synchronousCount(aio), 0);
});

/** Reads in a thread that is attached, once its opener has died with all Workers. */
async function readAfterOpener(prepare: (aio: Aio) => void): Promise<void> {
  const url = new URL("../fixtures/opener_worker.ts", import.meta.url);
  const opener = new Worker(url, { type: "module" });
  const { token, threadId } = await new Promise<{ token: AioToken; threadId: number }>(
    (resolve) => {
      opener.onmessage = ({ data }) => resolve(data);
    },
  );
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), 4096, SEED);
  const aio = await Aio.attach(token, {}, METHODS_FOR_TESTS);
  const file = await aio.openFile(dir.join("file"));
  const view = aio.alloc(READ_BYTES);
  opener.postMessage("end");
  await untilDead(backendOf(aio).libc, threadId);
  await endWorkers(aio);
  prepare(aio);
  for (let offset = 0; offset < 5; offset++) {
    const read = file.readAt(view, offset);
    const ends = await settles(read);
    // Without that the test could not end.
    if (!ends) setKeeper(aio, 0);
    assertEquals([ends, await read], [true, READ_BYTES]);
    assertEquals(new Uint8Array(view), contentAt(SEED, offset, READ_BYTES));
  }
  const own = aio.backends().find(({ backendId }) => backendId === aio.backendId)!;
  assertEquals(own.counters.synchronousByMethod, 0);
  await file.close();
  await aio.close();
  opener.terminate();
}

/** They end with their opener, but not before they look around. */
async function endWorkers(aio: Aio): Promise<void> {
  const { control, libc } = backendOf(aio);
  Atomics.store(control.words, poolAt(control) + POOL.isEnding, 1);
  new WorkerQueue(control, libc.threadId(), () => true).wakeAll();
  await until(() => runningWorkers(aio) === 0, "all Workers have ended");
}

function setKeeper(aio: Aio, threadId: number): void {
  const { control } = backendOf(aio);
  Atomics.store(control.words, poolAt(control) + POOL.keeper, threadId);
}

Deno.test("worker: where the opener has died, another thread starts Workers for awaited IO", async () => {
  await readAfterOpener(() => {});
});

Deno.test("worker: where the opener has died, a thread that got its thread id starts Workers", async () => {
  await readAfterOpener((aio) => setKeeper(aio, backendOf(aio).libc.threadId()));
});

Deno.test("worker: the warning that none comes counts no time in which Workers took IO", async () => {
  let ms = 0;
  using _clock = replace(performance, "now", () => ms += 0.001);
  await using opened = await open();
  const { aio, warnings } = opened;
  const { words } = backendOf(aio).control;
  const first = start(opened, "whoCompletes");
  assertEquals(aio.checkDone(first.ref), false);
  // Nobody looks while the first Worker comes.
  await until(() => aio.ios()[0]!.state === "COMPLETED_SHARED", "a Worker has executed the read");
  await untilRunning(aio);
  ms += 3_600_000;
  // As where all Workers have died just now.
  const unlock = lockQueue(aio);
  const runningAt = poolAt(backendOf(aio).control) + POOL.running;
  const running = Atomics.exchange(words, runningAt, 0);
  const second = start(opened, "whoCompletes");
  assertEquals(aio.checkDone(second.ref), false);
  Atomics.store(words, runningAt, running);
  unlock();
  await Promise.all([first, second].map(({ ref }) => aio.wait(ref)));
  assertEquals(warnings, []);
});
