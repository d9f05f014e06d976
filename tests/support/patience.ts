/**
 * patience.ts: how long tests wait. No test goes by the clock: it waits for an event, and only
 * gives up after {@linkcode HANG_MS}, which no event takes on any machine. Speed belongs to
 * `bench`.
 *
 * Where a delay is the subject, its limit is a multiple of one that is measured beside it, on the
 * same busy machine: {@linkcode Patience} does so for the library's own patience. A thread that
 * waits checks after a hundred sleeps of 1 ms whether the other threads still live; those take
 * longer where the processors are busy elsewhere.
 *
 * @module
 */

import type { Libc } from "../../ffi/libc.ts";

/** Whatever is not over by then hangs. */
export const HANG_MS = 60_000;

/** Says, from its call on, whether a loop hangs: for one that timers may not interrupt. */
export function hangs(): () => boolean {
  const end = performance.now() + HANG_MS;
  return () => performance.now() > end;
}

/** Whether something becomes so, seen from turns of the event loop: false only where it hangs. */
export async function becomes(isSo: () => boolean): Promise<boolean> {
  for (const isHanging = hangs(); !isSo();) {
    if (isHanging()) return false;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return true;
}

/** Returns when something is so, without a turn of the event loop. @throws where it hangs */
export function spinUntil(isSo: () => boolean): void {
  for (const isHanging = hangs(); !isSo();) {
    if (isHanging()) throw new Error(`Not in ${HANG_MS / 1000} s`);
  }
}

/**
 * Resolves when something is so.
 *
 * @param what is so, in words; a function is called where it hangs, and can say how it is instead
 * @throws an Error that says what never was, where it hangs
 */
export async function until(isSo: () => boolean, what: string | (() => string)): Promise<void> {
  if (await becomes(isSo)) return;
  throw new Error(`Not in ${HANG_MS / 1000} s: ${typeof what === "string" ? what : what()}`);
}

/** Resolves when a thread has ended, with all that the system keeps for it. */
export async function untilDead(libc: Libc, threadId: number): Promise<void> {
  await until(() => !libc.isThreadAlive(threadId), `thread ${threadId} ends`);
}

/**
 * Whether a promise settles: false only where it hangs.
 *
 * @param ms less only for one that must not settle
 */
export async function settles(promise: Promise<unknown>, ms = HANG_MS): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([promise.then(() => true, () => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Resolves as a promise of long work does, for as long as the work goes on.
 *
 * @param count of what was done until now
 * @param state says where it hangs how it is
 * @throws an Error with that state when nothing is done for {@linkcode HANG_MS}
 */
export async function goesOn<T>(
  work: Promise<T>,
  count: () => number,
  state: () => string,
): Promise<T> {
  for (let done = -1; done !== count();) {
    done = count();
    if (await settles(work)) return await work;
  }
  const message = `Nothing is done for ${HANG_MS / 1000} s, after ${count()}: ${state()}`;
  // What is left may hang on, so that nobody hears of the error.
  console.error(message);
  throw new Error(message);
}

const SLEEPS = 100;

/** Words shared with the Worker: the longest until now in ms, and whether it is over. */
const LONGEST = 0;
const IS_OVER = 1;

const PROGRAM = `
  const asleep = new Int32Array(new SharedArrayBuffer(4));
  self.onmessage = ({ data: words }) => {
    while (Atomics.load(words, ${IS_OVER}) === 0) {
      const since = performance.now();
      for (let i = 0; i < ${SLEEPS}; i++) Atomics.wait(asleep, 0, 0, 1);
      const ms = Math.ceil(performance.now() - since);
      if (ms > words[${LONGEST}]) Atomics.store(words, ${LONGEST}, ms);
    }
    self.postMessage("over");
  };
`;

/** Measures it again and again, in a thread of its own, until the end of its scope. */
export class Patience implements AsyncDisposable {
  readonly #words = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  readonly #worker = new Worker(`data:text/javascript,${encodeURIComponent(PROGRAM)}`, {
    type: "module",
  });
  readonly #isOver = new Promise((resolve) => this.#worker.onmessage = resolve);

  constructor() {
    this.#worker.postMessage(this.#words);
  }

  /** The longest it took until now. */
  get longestMs(): number {
    return Math.max(SLEEPS, Atomics.load(this.#words, LONGEST));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    Atomics.store(this.#words, IS_OVER, 1);
    await this.#isOver;
    this.#worker.terminate();
  }
}
