/**
 * worker/memory.ts: what the threads of the worker method share, in the method's part of the
 * control memory.
 *
 * ```text
 * queue: lock, head, tail, idle set │ calls to the opener │ settings │ 32 IO Workers │ entries │
 * ```
 *
 * The queue has an entry for each handle of the Aio, so it has room for every IO there can be.
 *
 * An IO Worker has a number from 0 to 31. Its record as a helper (core/life/helper_thread.ts) has
 * its thread; here is what wakes it.
 *
 * @module
 */

import { CACHE_LINE_WORDS, type Control, HANDLE, HEADER } from "../../core/memory/shared_memory.ts";

/** IO Workers that there can be. */
export const WORKERS_MAX = 32;

const ENTRY_WORDS = 2;
const WORKERS_AT = 48;

/** Where what is, in words. Each line that different threads write has a cache line of its own. */
export const POOL = {
  /** Guards the next five: the thread id of its holder, or 0. */
  lock: 0,
  head: 1,
  tail: 2,
  /** Workers that sleep and nobody has chosen yet, one bit each. */
  idle: 3,
  /**
   * Workers that were chosen and have not looked into the queue since, one bit each; and maybe some
   * that have gone.
   */
  waking: 4,
  /**
   * 1: IO was queued without a wake-up because a Worker was already waking. Cleared when the queue
   * is empty.
   */
  isOwed: 5,
  /**
   * Backends with IO that found the lock taken, one bit each. Whoever gives the lock back looks
   * here and puts that IO in.
   */
  outside: 6,
  /** Moves when the opener has something to do for the pool. */
  bell: 16,
  /** 1: another Worker is wanted. */
  isGrowthWanted: 17,
  /** 1: Workers end as soon as they see it. */
  isEnding: 18,
  /** 1: Workers could not be started, again and again, so IO fails at once until one joins. */
  hasFailed: 19,
  /** Workers that run, one bit each. */
  running: 20,
  /** 1 from the first IO on: the least number of Workers is kept. */
  isStarted: 21,
  /**
   * The thread that starts Workers, by its id: the opener, or the thread that took over from it; 0:
   * none.
   */
  keeper: 22,
  min: 32,
  max: 33,
  idleTimeoutMs: 34,
  launchIntervalMs: 35,
  workers: WORKERS_AT,
  queue: WORKERS_AT + WORKERS_MAX * CACHE_LINE_WORDS,
} as const;

/** A Worker. */
export const WORKER = {
  /** Moves when it is to look around. */
  wake: 0,
  /** Index of the handle being executed, plus 1; 0 if none. */
  handle: 1,
  /** How often it was woken. */
  wakeUps: 2,
  /** 1: it is to end, whatever the others do. */
  isToEnd: 3,
  /** 1: it was started without a hitch, whatever becomes of it. */
  hasJoined: 4,
} as const;

/** Entries of a queue with room for so many handles: a power of two. */
function queueSizeFor(handleCount: number): number {
  return 1 << (32 - Math.clz32(handleCount - 1));
}

/** IOs that can wait in the queue. */
export function queueSize({ handleCount }: Control): number {
  return queueSizeFor(handleCount);
}

/** Bytes of all that, for so many handles. */
export function poolBytes(handleCount: number): number {
  return (POOL.queue + queueSizeFor(handleCount) * ENTRY_WORDS) * Int32Array.BYTES_PER_ELEMENT;
}

/** Where the pool's part begins, in words. */
export function poolAt(control: Control): number {
  return control.words[HEADER.methodOffset]!;
}

/** Where what concerns one Worker begins. */
export function workerAt(control: Control, number: number): number {
  return poolAt(control) + POOL.workers + number * CACHE_LINE_WORDS;
}

/** Where an entry of the queue is: a handle, and the low bits of its generation. */
export function entryAt(control: Control, position: number): number {
  return poolAt(control) + POOL.queue + (position & (queueSize(control) - 1)) * ENTRY_WORDS;
}

/** In place of a generation of 0, as no mark is 0: a use that comes 2^31 later. */
const MARK_OF_ZERO = 1 << 31;

/**
 * What a handle's word for the method says while its present use waits outside the queue; never 0.
 * A mark that is left says nothing about the next use: that may be one that its issuer executes
 * without a claim.
 */
function outsideMark(generationLow: number): number {
  return generationLow === 0 ? MARK_OF_ZERO : generationLow;
}

/** Says that an IO waits outside the queue. */
export function markOutside(words: Int32Array, base: number): void {
  const mark = outsideMark(words[base + HANDLE.generationLow]!);
  Atomics.store(words, base + HANDLE.method, mark);
}

/**
 * Whether an IO waits outside the queue. It may say so of one that is in it, because a thread died
 * after putting it in. Two entries for one IO do no harm, as it is claimed once.
 */
export function isOutside(
  words: Int32Array,
  base: number,
  generationLow: number = Atomics.load(words, base + HANDLE.generationLow),
): boolean {
  return Atomics.load(words, base + HANDLE.method) === outsideMark(generationLow);
}

/**
 * Says that an IO is in the queue. If its handle was used anew meanwhile, for one that waits
 * outside, that one's mark stays.
 */
export function unmarkOutside(words: Int32Array, base: number, generationLow: number): void {
  Atomics.compareExchange(words, base + HANDLE.method, outsideMark(generationLow), 0);
}

/** How many bits are set. */
export function countBits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** The lowest Worker of a set; -1: it is empty. */
export function lowestOf(mask: number): number {
  return mask === 0 ? -1 : 31 - Math.clz32(mask & -mask);
}

/** The highest Worker of a set; -1: it is empty. */
export function highestOf(mask: number): number {
  return 31 - Math.clz32(mask);
}
