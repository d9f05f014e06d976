/**
 * lock.ts: a lock in shared memory, one word: the thread id of its holder, or 0.
 *
 * Held for a handful of loads and stores only: nobody sleeps, calls the system or runs user code
 * while holding one. What a lock protects is written so that it is whole after every single store,
 * because a thread can end between any two of them. The lock on the ring of a dead thread is held
 * for longer, while the kernel lets go of its IO; it is only tried by others.
 *
 * @module
 */

import { assert } from "../base/assert.ts";
import { CHECK_ALIVE_MS, LOOK_AGAIN_MS } from "../base/pauses.ts";

/**
 * To sleep and be woken takes a hundred times as long as most holders keep a lock: some looks
 * first.
 */
const LOOKS = 200;

/** Whether a thread of this process still runs. */
export type IsThreadAlive = (threadId: number) => boolean;

/**
 * Takes the lock, waiting for its holder if there is one. From a holder that has died it is taken
 * over: what the lock protects is whole.
 *
 * @param words the control memory
 * @param index where the lock's word is
 * @param threadId this thread's id
 * @param isThreadAlive asks the system
 */
export function lock(
  words: Int32Array,
  index: number,
  threadId: number,
  isThreadAlive: IsThreadAlive = () => true,
): void {
  for (let looks = 0; looks < LOOKS; looks++) {
    if (Atomics.load(words, index) !== 0) continue;
    if (Atomics.compareExchange(words, index, 0, threadId) === 0) return;
  }
  for (let waitedMs = 0;; waitedMs += LOOK_AGAIN_MS) {
    const holder = Atomics.compareExchange(words, index, 0, threadId);
    if (holder === 0) return;
    assert(holder !== threadId, "A lock was taken twice by one thread");
    if (waitedMs >= CHECK_ALIVE_MS && !isThreadAlive(holder)) {
      if (Atomics.compareExchange(words, index, holder, threadId) === holder) return;
    }
    Atomics.wait(words, index, holder, LOOK_AGAIN_MS);
  }
}

/**
 * Takes the lock if nobody has it, or if its holder has died.
 *
 * @param isAsking whether to ask the system about a holder, which costs a call
 * @returns whether this thread has it now
 */
export function tryLock(
  words: Int32Array,
  index: number,
  threadId: number,
  isThreadAlive: IsThreadAlive,
  isAsking: boolean,
): boolean {
  const holder = Atomics.compareExchange(words, index, 0, threadId);
  if (holder === 0) return true;
  assert(holder !== threadId, "A lock was taken twice by one thread");
  if (!isAsking || isThreadAlive(holder)) return false;
  return Atomics.compareExchange(words, index, holder, threadId) === holder;
}

/** Gives the lock back and wakes one thread that waits for it. */
export function unlock(words: Int32Array, index: number, threadId: number): void {
  const holder = Atomics.compareExchange(words, index, threadId, 0);
  assert(holder === threadId, "A lock was given back by a thread that does not hold it");
  Atomics.notify(words, index, 1);
}
