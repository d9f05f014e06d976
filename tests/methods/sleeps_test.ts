/**
 * sleeps_test.ts: how a thread sleeps while it waits for an IO of each method, and what ends the
 * sleep, as `aio.backends()` counts it. The IO takes as long as the test wants: with io_uring it
 * reads an empty pipe, with worker an IO Worker holds it.
 */

import { assert, assertEquals } from "@std/assert";
import { Worker } from "node:worker_threads";
import { backendOf } from "../../core/inside.ts";
import { type BackendCounters, COUNTER } from "../../core/io/counters.ts";
import { BACKEND } from "../../core/memory/shared_memory.ts";
import { availableMethods } from "../../methods/mod.ts";
import type { WaitRef } from "../../core/mod.ts";
import type { Aio, AioOptions } from "../../mod.ts";
import { PollWatch } from "../support/bells/bells.ts";
import { openSync } from "../support/core.ts";
import { until } from "../support/patience.ts";
import { Pipe, PIPE_BYTES, startRawRead } from "../support/rings/uring.ts";
import { open, openGate, start } from "../support/workers/opened_pool.ts";
import { gateAt } from "./fixtures/worker_faults.ts";

/** An Aio, and an IO that is over once somebody writes. */
interface SlowIo extends AsyncDisposable {
  readonly aio: Aio;
  readonly ref: WaitRef;
  /** Ends the IO, in this thread. */
  finish(): void;
  /** The same in a program of another thread, which has `words` and `writeFileSync`. */
  readonly finishProgram: string;
}

/** It has a target for descriptors that are not those of files. */
const LAYERS = new URL("../core/fixtures/layers.ts", import.meta.url);

/** The event loop then sleeps at once. */
const OPTIONS: AioOptions = { dozeMicroseconds: 0, arenaBytes: 1024 * 1024 };

async function openUring(): Promise<SlowIo> {
  await using opened = new AsyncDisposableStack();
  const fixture = opened.use(
    await openSync({ ...OPTIONS, method: "io_uring", callbackModules: [LAYERS] }),
  );
  const { aio } = fixture;
  const pipe = opened.use(await Pipe.open());
  const { ref } = startRawRead(fixture, pipe.fd);
  const kept = opened.move();
  return {
    aio,
    ref,
    finish: () => pipe.write(),
    finishProgram: `writeFileSync("/proc/self/fd/${pipe.fd}", new Uint8Array(${PIPE_BYTES}))`,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function openWorker(): Promise<SlowIo> {
  const opened = await open(OPTIONS);
  const { aio } = opened;
  const { ref } = start(opened, "gated");
  // Where no Worker runs, a thread that blocks executes the IO.
  await until(() => aio.workers().some(({ ioId }) => ioId !== null), "a Worker takes the IO");
  return {
    aio,
    ref,
    finish: () => openGate(aio),
    finishProgram: `Atomics.store(words, ${gateAt(backendOf(aio).control)}, 1)`,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** `bells` counts the bells that end a sleep of the event loop: a ring's descriptor is none. */
const METHODS = [
  { name: "io_uring", openSlow: openUring, bells: 0 },
  { name: "worker", openSlow: openWorker, bells: 1 },
] as const;

function countersOf({ aio }: SlowIo): BackendCounters {
  return aio.backends()[0]!.counters;
}

/**
 * Ends the IO from another thread once this one sleeps for it, blocking; in any case after a
 * minute.
 */
async function finishOnceAsleep({ aio, finishProgram }: SlowIo): Promise<Worker> {
  const { control } = backendOf(aio);
  const at = (control.backendAt(aio.backendId) + BACKEND.counters) / 2 + COUNTER.blockingSleeps;
  const program = `
    import { parentPort, workerData } from "node:worker_threads";
    import { writeFileSync } from "node:fs";
    const words = new Int32Array(workerData);
    const counters = new Float64Array(workerData);
    parentPort.postMessage("runs");
    const asleep = new Int32Array(new SharedArrayBuffer(4));
    for (let looks = 0; looks < 60_000 && counters[${at}] === 0; looks++) Atomics.wait(asleep, 0, 0, 1);
    ${finishProgram};
  `;
  const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
  const worker = new Worker(url, { workerData: control.buffer });
  await new Promise((resolve) => worker.once("message", resolve));
  return worker;
}

for (const { name, openSlow, bells } of METHODS) {
  const ignore = availableMethods().find((method) => method.name === name)?.ok !== true;

  Deno.test(`${name}: aio.wait() sleeps until its IO is done`, { ignore }, async () => {
    await using slow = await openSlow();
    const { aio, ref, finish } = slow;
    using watch = new PollWatch(backendOf(aio).libc);
    const awaited = aio.wait(ref);
    await watch.untilParked();
    finish();
    await awaited;
    const counters = countersOf(slow);
    assert(counters.sleeps > 0);
    assertEquals(counters.sleepsTimedOut, 0);
    assertEquals([counters.bells > 0, counters.wakeUpMs > 0], [bells > 0, bells > 0]);
  });

  Deno.test(`${name}: aio.waitSync() counts its sleeps`, { ignore }, async () => {
    await using slow = await openSlow();
    const worker = await finishOnceAsleep(slow);
    const isOver = new Promise((resolve) => worker.once("exit", resolve));
    slow.aio.waitSync(slow.ref);
    await isOver;
    assert(countersOf(slow).blockingSleeps > 0);
  });
}
