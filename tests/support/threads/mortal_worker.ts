/**
 * mortal_worker.ts: runs a Worker that answers once, and may die instead.
 *
 * @module
 */

import { Prng } from "../prng.ts";

/** What a message means: others follow, it was the last, or it was, as the thread dies. */
export type Heard = "more" | "last" | "dies";

/** One of the threads that follow each other as they die. */
export interface Life {
  /** The number of its first record. */
  readonly first: number;
  /** How many are left. */
  readonly records: number;
  readonly seed: number;
  /** Before which of its atomic steps it dies; Infinity: it lives. */
  readonly diesAt: number;
}

/** What such a thread answers: how many records it has begun. */
export type LifeAnswer =
  | { readonly begun: number; readonly isDead: boolean }
  | { readonly error: string };

/** How threads follow each other. */
export interface Lives {
  /** The place that they have after each other. */
  readonly thread: number;
  /** Records of all of them together. */
  readonly records: number;
  /** How many die. */
  readonly deaths: number;
  readonly seed: number;
  /** Atomic steps a record, at the least. */
  readonly stepsARecord: number;
}

/** Runs one thread after another, as they die. @returns how many did */
export async function runLives(
  { thread, records, deaths, seed, stepsARecord }: Lives,
  run: (life: Life) => Promise<LifeAnswer>,
): Promise<number> {
  const prng = new Prng(seed + thread);
  let died = 0;
  for (let first = 0; first < records;) {
    const answer = await run({
      first,
      records: records - first,
      seed: seed + 1000 * thread + died >>> 0,
      diesAt: died < deaths ? prng.below(Math.ceil(stepsARecord * records / deaths)) : Infinity,
    });
    if ("error" in answer) throw new Error(answer.error);
    if (answer.isDead) died++;
    first += answer.begun;
  }
  return died;
}

/**
 * Runs it.
 *
 * @param module of the Worker
 * @param ask is posted to it
 * @param hear is called with each message
 * @returns the last message, or the error that ended the Worker
 */
export function runMortal<Message>(
  module: URL,
  ask: unknown,
  hear: (message: Message) => Heard,
): Promise<Message | { readonly error: string }> {
  const worker = new Worker(module, { type: "module" });
  const { promise, resolve } = Promise.withResolvers<Message | { readonly error: string }>();
  worker.onmessage = ({ data }: MessageEvent<Message>) => {
    const heard = hear(data);
    if (heard === "more") return;
    // A thread that dies ends by itself: terminate() would let it go on to its next turn.
    if (heard === "last") worker.terminate();
    resolve(data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    resolve({ error: event.message });
  };
  worker.postMessage(ask);
  return promise;
}
