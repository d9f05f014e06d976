/**
 * worker_test.ts: the pool of the worker method: when it grows, shrinks and ends, and what becomes
 * of IO whose Worker dies.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import { Aio } from "../../mod.ts";
import { createWorkerMethod, poolOf } from "../../methods/worker.ts";
import { POOL, poolAt } from "../../methods/worker/memory.ts";
import { countThreads } from "../support/belongings.ts";
import {
  open,
  openGate,
  readAndCheck,
  start,
  synchronousCount,
} from "../support/workers/opened_pool.ts";
import { until } from "../support/patience.ts";
import { testLeast } from "../support/workers/pool_size.ts";
import { testReplaced } from "../support/workers/replaced.ts";
import { tempDir } from "../support/temp.ts";
import {
  lockQueue,
  poolUp,
  poolWord,
  runningWorkers,
  startPool,
  untilRunning,
} from "../support/workers/worker_pool.ts";
import { FAULTS } from "./fixtures/worker_faults.ts";

Deno.test("worker: IO is completed by a Worker", async () => {
  await using opened = await open();
  const { aio } = opened;
  await poolUp(aio);
  for (const way of ["wait", "waitSync"] as const) {
    await untilRunning(aio);
    const { ref, ret } = start(opened, "whoCompletes");
    await aio[way](ref);
    assertEquals([ret.result.status, ret.result.result], ["ok", 1000]);
  }
  const [worker] = aio.workers();
  assertEquals([worker?.worker, worker?.ios], [0, 2]);
  await until(() => aio.workers()[0]!.ioId === null, "the Worker is idle");
});

Deno.test("worker: the pool grows under load, up to its most, and shrinks to its least", async () => {
  await using opened = await open({ workers: { min: 1, max: 3, launchIntervalMs: 0 } });
  const { aio } = opened;
  let isGrown = false;
  const read = async () => {
    while (!isGrown) {
      const { ref, view } = start(opened, "slow", 5);
      await aio.wait(ref);
      aio.free(view);
    }
  };
  const tasks = Array.from({ length: 32 }, read);
  await until(() => runningWorkers(aio) === 3, "three Workers run");
  isGrown = true;
  await Promise.all(tasks);
  aio.setWorkers({ idleTimeoutMs: 0 });
  await until(() => aio.workers().length === 1, "one Worker is left");
  assertEquals(aio.workers().map(({ worker }) => worker), [0]);
});

Deno.test("worker: the next Worker is started when the last has joined in", async () => {
  // Workers take a while to load this module.
  const module = "await new Promise((r) => setTimeout(r, 50)); export const callbacks = {};";
  const callbackModules = [new URL(`data:text/javascript,${encodeURIComponent(module)}`)];
  await using opened = await open({ workers: { min: 3, max: 3 }, callbackModules });
  const { aio } = opened;
  startPool(aio);
  const counts = new Set<number>();
  await until(() => {
    counts.add(poolOf(backendOf(aio))!.threads.size - runningWorkers(aio));
    return runningWorkers(aio) === 3;
  }, "all Workers run");
  assertEquals([...counts].sort(), [0, 1]);
});

Deno.test("worker: setWorkers() changes the pool while it runs", async () => {
  await using opened = await open({ workers: { min: 1, max: 1 } });
  const { aio } = opened;
  await poolUp(aio);
  assertEquals(aio.setWorkers({ min: 3 }).max, 3);
  await untilRunning(aio, 3);
  assertEquals(aio.setWorkers({ max: 2, idleTimeoutMs: 0 }), {
    min: 2,
    max: 2,
    idleTimeoutMs: 0,
    launchIntervalMs: 100,
  });
  await untilRunning(aio, 2);
  await readAndCheck(opened, 0);
});

for (
  const [name, value] of [["min", 0], ["min", 33], ["max", 0], ["max", 33], ["min", 1.5]] as const
) {
  Deno.test(`worker: workers.${name} ${value} is refused, at the opening and later`, async () => {
    const workers = { [name]: value };
    const message = `"workers.${name}" must be an integer from 1 to 32: got ${value}`;
    await assertRejects(() => Aio.open({ method: "worker", workers }), RangeError, message);
    await using opened = await open();
    assertThrows(
      () => opened.aio.setWorkers(workers),
      RangeError,
      `Cannot set workers as ${message}`,
    );
  });
}

Deno.test("worker: setWorkers() is refused where no method has any", async () => {
  await using aio = await Aio.open({ method: "sync" });
  assertEquals(aio.workers(), []);
  assertThrows(() => aio.setWorkers({ min: 3 }), Deno.errors.NotSupported, '"sync"');
});

testLeast(3);

// The other ways to end: below, and in worker_long_test.ts.
testReplaced("closesHolding");

Deno.test("worker: a flush that a Worker had begun when it died counts as failed", async () => {
  await using opened = await open({ workers: { min: 1, max: 1 } });
  const { aio } = opened;
  await using dir = await tempDir();
  const file = await aio.openFile(dir.join("flushed"), { write: true, create: true });
  await poolUp(aio);
  await aio.wait(start(opened, "endsInNext").ref);
  const error = await assertRejects(() => file.syncData());
  assert(error instanceof Error && "code" in error && error.code === "EIO", String(error));
  await assertRejects(() => file.close());
  await readAndCheck(opened, 0);
});

Deno.test("worker: an allocation that a Worker had begun when it died counts as failed", async () => {
  await using opened = await open({ workers: { min: 1, max: 1 } });
  const { aio } = opened;
  await using dir = await tempDir();
  await using file = await aio.openFile(dir.join("allocated"), { write: true, create: true });
  await poolUp(aio);
  await aio.wait(start(opened, "endsInNext").ref);
  const error = await assertRejects(() => file.allocate(0, 100));
  assert(error instanceof Error && "code" in error && error.code === "EIO", String(error));
  // It is no flush, whose failure would stay.
  await file.sync();
});

Deno.test("worker: a write that a Worker had begun when it died is done by another", async () => {
  await using opened = await open({ workers: { min: 1, max: 1 } });
  const { aio } = opened;
  await using dir = await tempDir();
  await using file = await aio.openFile(dir.join("written"), { write: true, create: true });
  await poolUp(aio);
  await aio.wait(start(opened, "endsInNext").ref);
  assertEquals(await file.writeAt(new Uint8Array(100), 0), 100);
  assertEquals([await file.size(), synchronousCount(aio)], [100, 0]);
});

Deno.test("worker: a Worker is woken if whoever chose it died before waking it", async () => {
  await using opened = await open();
  const { aio } = opened;
  await poolUp(aio);
  const { words } = backendOf(aio).control;
  const at = poolAt(backendOf(aio).control);
  words[at + POOL.idle] = 0;
  words[at + POOL.waking] = 1;
  createWorkerMethod().reapBackend!(backendOf(aio), 1, "wait");
  await until(
    () => poolWord(aio, POOL.idle) === 1 && poolWord(aio, POOL.waking) === 0,
    "the Worker is idle again",
  );
});

Deno.test("worker: after a death whoever has the queue looks for IO outside of all backends", async () => {
  await using opened = await open({ maxBackends: 4 });
  const { aio } = opened;
  await poolUp(aio);
  const unlock = lockQueue(aio);
  createWorkerMethod().reapBackend!(backendOf(aio), 1, "wait");
  assertEquals(poolWord(aio, POOL.outside), 0b1111);
  unlock();
  await readAndCheck(opened, 0);
  assertEquals(poolWord(aio, POOL.outside), 0);
});

Deno.test("worker: a Worker that is terminated with an IO does it, and is replaced", async () => {
  await using opened = await open({ workers: { min: 1, max: 1 } });
  const { aio } = opened;
  await poolUp(aio);
  const before = aio.workers()[0]!.threadId;
  const { ref, ret } = start(opened, "gated");
  await until(() => aio.workers()[0]!.ioId !== null, "the Worker is busy");
  poolOf(backendOf(aio))!.threads.get(0)!.thread.terminate();
  openGate(aio);
  await aio.wait(ref);
  assertEquals(ret.result.status, "ok");
  await until(() => {
    const [worker] = aio.workers();
    return worker !== undefined && worker.threadId !== before && runningWorkers(aio) === 1;
  }, "another Worker takes its place");
  await readAndCheck(opened, 0);
});

Deno.test("worker: IO that a terminated Worker was to take is done by another", async () => {
  await using opened = await open();
  const { aio } = opened;
  await poolUp(aio);
  for (let i = 0; i < 2; i++) {
    // A Worker that sleeps is chosen: it wakes, and dies.
    for (const { thread } of poolOf(backendOf(aio))!.threads.values()) thread.terminate();
    await readAndCheck(opened, i);
  }
  await untilRunning(aio);
});

for (const fault of [FAULTS.throwsIdle, FAULTS.throwsLocking]) {
  Deno.test(`worker: with all Workers dead a blocking wait ends all the same (${fault})`, async () => {
    await using opened = await open({ workers: { min: 1, max: 1 } });
    const { aio } = opened;
    await poolUp(aio);
    // The opener blocks all the time, and only the opener could start another one.
    aio.waitSync(start(opened, "fault", fault).ref);
    for (let i = 0; i < 3; i++) {
      const { ref, ret } = start(opened, "whoCompletes");
      aio.waitSync(ref);
      assertEquals(ret.result.status, "ok");
    }
    await untilRunning(aio);
    await readAndCheck(opened, 0);
  });
}

Deno.test("worker: a callback that throws in a Worker is an error of its IO, and a warning here", async () => {
  await using opened = await open();
  const { aio, warnings } = opened;
  await poolUp(aio);
  const { ref, ret } = start(opened, "throwing");
  await aio.wait(ref);
  assertEquals(ret.result.status, "error");
  await until(() => warnings.length > 0, "a warning comes");
  assert(warnings[0]!.includes("thrown by a callback"), warnings[0]);
  await readAndCheck(opened, 0);
});

Deno.test("worker: what waits in the queue is cancelled there", async () => {
  await using opened = await open({ workers: { min: 1, max: 1 } });
  const { aio } = opened;
  await poolUp(aio);
  const slow = start(opened, "gated");
  await until(() => aio.workers()[0]!.ioId !== null, "the Worker is busy");
  const waiting = start(opened, "whoCompletes");
  aio.cancel(waiting.ref);
  await aio.wait(waiting.ref);
  assertEquals([waiting.ret.result.status, slow.ret.result.status], ["error", "unknown"]);
  openGate(aio);
  await aio.wait(slow.ref);
  assertEquals(slow.ret.result.status, "ok");
  await untilRunning(aio);
  await readAndCheck(opened, 0);
  assertEquals(aio.workers()[0]!.ios, 2);
});

Deno.test("worker: close() ends all Workers, during load too", async () => {
  const threadsBefore = countThreads();
  for (let i = 0; i < 2; i++) {
    const opened = await open({ workers: { min: 2, max: 3, launchIntervalMs: 0 } });
    await poolUp(opened.aio);
    const reads = Array.from({ length: 100 }, (_, j) => readAndCheck(opened, j));
    await Promise.all([Promise.allSettled(reads), opened.aio.close()]);
    assertEquals(opened.aio.isClosed, true);
    await opened[Symbol.asyncDispose]();
  }
  // From its first Worker on, Deno keeps one thread more.
  await until(() => countThreads() <= threadsBefore + 1, "the threads are gone");
});

Deno.test("worker: reads in the page cache do not go to the pool", async () => {
  await using opened = await open({}, true);
  const { aio } = opened;
  await poolUp(aio);
  for (let i = 0; i < 10; i++) await readAndCheck(opened, i);
  // They do where the file system cannot say what is in memory.
  const ios = aio.workers()[0]!.ios;
  assert(ios === 0 || ios === 10, `${ios}`);
});
