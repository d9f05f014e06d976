/**
 * worker_pool.ts: the pool of the worker method, for tests: they start it before the first IO, so
 * that IO really goes through it, and look at its words.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import type { AioCore } from "../../../core/mod.ts";
import type { WorkerPoolOptions } from "../../../core/base/options.ts";
import type { IoMethod } from "../../../core/io/method.ts";
import { METHODS } from "../../../methods/registry.ts";
import { createLinuxAioMethod } from "../../../methods/linux_aio.ts";
import { createWorkerMethod } from "../../../methods/worker.ts";
import { countBits, POOL, poolAt } from "../../../methods/worker/memory.ts";
import { WorkerQueue } from "../../../methods/worker/queue.ts";
import { until } from "../patience.ts";

/** The methods of this version, except that no IO of a pool is executed in the submit. */
export const METHODS_FOR_TESTS: readonly IoMethod[] = METHODS.map((method) => {
  switch (method.name) {
    case "linux_aio":
      return createLinuxAioMethod(false, true);
    case "worker":
      return createWorkerMethod(false);
    default:
      return method;
  }
});

/** Whether a method has such a pool. */
export function hasPool(method: string): boolean {
  return method === "linux_aio" || method === "worker";
}

/** As few Workers as can show anything, which start without delay. */
export const SMALL_POOL: WorkerPoolOptions = { min: 1, max: 2, launchIntervalMs: 0 };

/**
 * One Worker that stays, for an Aio that tests share: what a Worker opens would count as a leak of
 * the test during which it starts.
 */
export const ONE_WORKER: WorkerPoolOptions = { min: 1, max: 1 };

/** A word of the pool: see `POOL`. */
export function poolWord(aio: AioCore, word: number): number {
  const { control } = backendOf(aio);
  return Atomics.load(control.words, poolAt(control) + word);
}

/**
 * Locks the queue as another living thread would. The lock has the id of a thread of Deno's own, as
 * a Worker would refuse to lock twice. @returns unlocks it
 */
export function lockQueue(aio: AioCore): () => void {
  const { control } = backendOf(aio);
  const own = [...Deno.readDirSync("/proc/self/task")].find(({ name }) =>
    Deno.readTextFileSync(`/proc/self/task/${name}/comm`).startsWith("V8 ")
  );
  const at = poolAt(control) + POOL.lock;
  Atomics.store(control.words, at, Number(own!.name));
  return () => void Atomics.store(control.words, at, 0);
}

/** How many Workers run. */
export function runningWorkers(aio: AioCore): number {
  return countBits(poolWord(aio, POOL.running));
}

/** Has the least number of Workers started, as the first IO does. */
export function startPool(aio: AioCore): void {
  const { control, libc } = backendOf(aio);
  Atomics.store(control.words, poolAt(control) + POOL.isStarted, 1);
  new WorkerQueue(control, libc.threadId(), () => true).ringOpener();
}

/**
 * Resolves when so many Workers run, by default the least number, and all are idle: a Worker that
 * looks for IO locks the queue, and a thread that submits then goes without the lock.
 */
export async function untilRunning(aio: AioCore, count = poolWord(aio, POOL.min)): Promise<void> {
  const isSo = () =>
    runningWorkers(aio) === count && poolWord(aio, POOL.idle) === poolWord(aio, POOL.running);
  await until(
    () => isSo() || poolWord(aio, POOL.hasFailed) !== 0,
    `${count} idle Workers, and no other one`,
  );
}

/** Starts the pool of an Aio that has one, and waits for it. */
export async function poolUp<T extends AioCore>(aio: T): Promise<T> {
  if (!hasPool(aio.method)) return aio;
  startPool(aio);
  await untilRunning(aio);
  return aio;
}
