/**
 * lock.ts: a lock in shared memory, one word: the thread id of its holder, or 0.
 *
 * Held for a handful of loads and stores only: nobody sleeps, calls the system or runs user code
 * while holding one. What a lock protects is written so that it is whole after every single store,
 * because a thread can end between any two of them.
 *
 * @module
 */

import { assert } from "./assert.ts";

const SLICE_MS = 1;

/**
 * Takes the lock, waiting for its holder if there is one.
 *
 * @param words the control memory
 * @param index where the lock's word is
 * @param threadId this thread's id
 */
export function lock(words: Int32Array, index: number, threadId: number): void {
  for (;;) {
    const holder = Atomics.compareExchange(words, index, 0, threadId);
    if (holder === 0) return;
    assert(holder !== threadId, "A lock was taken twice by one thread");
    Atomics.wait(words, index, holder, SLICE_MS);
  }
}

/** Gives the lock back and wakes one thread that waits for it. */
export function unlock(words: Int32Array, index: number, threadId: number): void {
  const holder = Atomics.compareExchange(words, index, threadId, 0);
  assert(holder === threadId, "A lock was given back by a thread that does not hold it");
  Atomics.notify(words, index, 1);
}
