/**
 * lock.ts: a lock in shared memory, one word: the thread id of its holder, or 0; and a bit beside
 * the id while others may sleep for it, as only then somebody has to be woken.
 *
 * Held for a handful of loads and stores only: nobody sleeps, calls the system or runs user code
 * while holding one. What a lock protects is written so that it is whole after every single store,
 * because a thread can end between any two of them. The lock on the ring of a dead thread is held
 * for longer, while the kernel lets go of its IO; it is only tried by others.
 *
 * @module
 */

import { AioInvariantError, assert } from "../base/assert.ts";
import { CHECK_ALIVE_MS, LOOK_AGAIN_MS } from "../base/pauses.ts";

/**
 * To sleep and be woken takes a hundred times as long as most holders keep a lock: some looks
 * first.
 */
const LOOKS = 200;

/** Others may sleep for the lock. No system has thread ids as high as this. */
export const AWAITED = 1 << 30;

/**
 * A thread takes a lock that it has. Either the library is wrong, or the thread was ended at a jump
 * back while it had the lock: the engine cuts what runs, and the rest of its turn still runs.
 */
export class LockedTwiceError extends AioInvariantError {
  constructor() {
    super("A lock was taken twice by one thread");
  }
}

/**
 * How many locks this thread has. Where it has none and a lock has its number, that is another
 * thread's, which had the number before and died.
 */
let held = 0;

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
  if (Atomics.compareExchange(words, index, 0, threadId) !== 0) {
    lockSlowly(words, index, threadId, isThreadAlive);
  }
  held++;
}

function lockSlowly(
  words: Int32Array,
  index: number,
  threadId: number,
  isThreadAlive: IsThreadAlive,
): void {
  for (let looks = 0; looks < LOOKS; looks++) {
    if (Atomics.load(words, index) !== 0) continue;
    if (Atomics.compareExchange(words, index, 0, threadId) === 0) return;
  }
  // Whoever has slept cannot know whether others still do.
  const taken = threadId | AWAITED;
  for (let waitedMs = 0;; waitedMs += LOOK_AGAIN_MS) {
    const seen = Atomics.compareExchange(words, index, 0, taken);
    if (seen === 0) return;
    const holder = seen & ~AWAITED;
    if (isLeftTo(threadId, holder) || waitedMs >= CHECK_ALIVE_MS && !isThreadAlive(holder)) {
      if (Atomics.compareExchange(words, index, seen, taken) === seen) return;
    }
    const awaited = holder | AWAITED;
    if (seen === awaited || Atomics.compareExchange(words, index, seen, awaited) === seen) {
      Atomics.wait(words, index, awaited, LOOK_AGAIN_MS);
    }
  }
}

/**
 * Whether a lock is what a dead thread has left that had this thread's number before.
 *
 * @throws {LockedTwiceError} if this thread may have it itself
 */
function isLeftTo(threadId: number, holder: number): boolean {
  if (holder !== threadId) return false;
  if (held > 0) throw new LockedTwiceError();
  return true;
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
  const seen = Atomics.compareExchange(words, index, 0, threadId);
  if (seen !== 0) {
    const holder = seen & ~AWAITED;
    if (!isLeftTo(threadId, holder) && (!isAsking || isThreadAlive(holder))) return false;
    const taken = threadId | seen & AWAITED;
    if (Atomics.compareExchange(words, index, seen, taken) !== seen) return false;
  }
  held++;
  return true;
}

/** Gives the lock back, and wakes one thread if any may sleep for it. */
export function unlock(words: Int32Array, index: number, threadId: number): void {
  if (Atomics.compareExchange(words, index, threadId, 0) !== threadId) {
    const awaited = threadId | AWAITED;
    const seen = Atomics.compareExchange(words, index, awaited, 0);
    assert(seen === awaited, "A lock was given back by a thread that does not hold it");
    Atomics.notify(words, index, 1);
  }
  held--;
}

/** Does something while having the lock: see {@linkcode lock}. */
export function locked<T>(
  words: Int32Array,
  index: number,
  threadId: number,
  isThreadAlive: IsThreadAlive,
  use: () => T,
): T {
  lock(words, index, threadId, isThreadAlive);
  try {
    return use();
  } finally {
    unlock(words, index, threadId);
  }
}
