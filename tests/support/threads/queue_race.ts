/**
 * queue_race.ts: threads that put IO into the queue of the worker method and threads that take it
 * out, as fast as they can, so that they meet at its lock. Nothing is executed: whoever takes an IO
 * makes its handle free again.
 *
 * @module
 */

import { effectiveOptions } from "../../../core/base/options.ts";
import { createControl } from "../../../core/memory/shared_memory.ts";
import { POOL, poolAt, poolBytes } from "../../../methods/worker/memory.ts";
import { until } from "../patience.ts";

const PRODUCERS = 3;
const CONSUMERS = 2;
const HANDLES = 16;

/** Words that the threads share. */
export const RACE = { isOver: 0, doorbell: 1, rounds: 2, outside: 3, taken: 4, size: 5 } as const;

/** The order of a thread. */
export interface Racer {
  readonly control: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The backend of a thread that puts in, or the Worker's number of one that takes out. */
  readonly id: number;
  readonly isProducer: boolean;
  readonly rounds: number;
  /** For the canary: unlocks without a look at what waits. */
  readonly isDeaf: boolean;
}

/** What came of it. */
export interface RaceOutcome {
  /** IOs that were put in, and taken out. */
  readonly put: number;
  readonly taken: number;
  /** How many of these found the queue locked. */
  readonly outside: number;
  /** Whether nothing went on any more. */
  readonly isStuck: boolean;
}

/** Has each producer put all its handles in, so many times. */
export async function race(rounds: number, isDeaf = false): Promise<RaceOutcome> {
  const options = effectiveOptions({
    maxConcurrency: HANDLES,
    maxBackends: PRODUCERS,
    arenaBytes: 4096,
  });
  const control = createControl(options, poolBytes(PRODUCERS * HANDLES), CONSUMERS);
  const words = new Int32Array(new SharedArrayBuffer(RACE.size * Int32Array.BYTES_PER_ELEMENT));
  const url = new URL("./queue_race_worker.ts", import.meta.url);
  const workers: Worker[] = [];
  const ends: Promise<unknown>[] = [];
  for (let i = 0; i < PRODUCERS + CONSUMERS; i++) {
    const worker = new Worker(url, { type: "module" });
    ends.push(new Promise((resolve) => worker.onmessage = resolve));
    const isProducer = i < PRODUCERS;
    const id = isProducer ? i : i - PRODUCERS;
    const racer: Racer = { control: control.buffer, words, id, isProducer, rounds, isDeaf };
    worker.postMessage(racer);
    workers.push(worker);
  }
  let looks = 0;
  let seen = -1;
  const isStuck = () => {
    const now = Atomics.load(words, RACE.taken);
    const isOutside = control.words[poolAt(control) + POOL.outside] !== 0;
    looks = isOutside && now === seen ? looks + 1 : 0;
    seen = now;
    return looks > 1000;
  };
  const all = PRODUCERS * rounds;
  await until(
    () => Atomics.load(words, RACE.rounds) === all || (isDeaf && isStuck()),
    "the race ends",
  );
  Atomics.store(words, RACE.isOver, 1);
  Atomics.notify(words, RACE.doorbell);
  await Promise.all(ends);
  for (const worker of workers) worker.terminate();
  return {
    put: words[RACE.rounds]! * HANDLES,
    taken: words[RACE.taken]!,
    outside: words[RACE.outside]!,
    isStuck: words[RACE.rounds] !== all,
  };
}
