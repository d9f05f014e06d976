/**
 * worker_memory.ts: what the threads of the worker method share, in the method's part of the control
 * memory.
 *
 * ```text
 * queue: lock, head, tail, idle set │ calls to the opener │ settings │ 64 entries │ 32 IO Workers │
 * ```
 *
 * An IO Worker has a number from 0 to 31. Its record as a helper (core/helper.ts) has its thread; here
 * is what wakes it.
 *
 * @module
 */

import { CACHE_LINE_WORDS, type Control, HEADER } from "../core/shared_memory.ts";

/** IO Workers that there can be. */
export const WORKERS_MAX = 32;
/** IOs that can wait in the queue; a power of two. */
export const QUEUE_SIZE = 64;

const ENTRY_WORDS = 2;
const QUEUE_AT = 48;

/** Where what is, in words. Each line that different threads write has a cache line of its own. */
export const POOL = {
  /** Guards the next five: the thread id of its holder, or 0. */
  lock: 0,
  head: 1,
  tail: 2,
  /** Workers that sleep and nobody has chosen yet, one bit each. */
  idle: 3,
  /** Workers that were chosen and have not looked into the queue since, one bit each. */
  waking: 4,
  /** 1: somebody put IO in and woke nobody for it, as one was on its way. Until nothing is left. */
  isOwed: 5,
  /** Moves when the opener has something to do for the pool. */
  bell: 16,
  /** 1: another Worker is wanted. */
  isGrowthWanted: 17,
  /** 1: Workers end as soon as they see it. */
  isEnding: 18,
  /** 1: Workers cannot be started here, so nobody need ask for any. */
  hasFailed: 19,
  /** Workers that run, one bit each. */
  running: 20,
  /** 1 from the first IO on: the least number of Workers is kept. */
  isStarted: 21,
  min: 32,
  max: 33,
  idleTimeoutMs: 34,
  launchIntervalMs: 35,
  queue: QUEUE_AT,
  workers: QUEUE_AT + QUEUE_SIZE * ENTRY_WORDS,
  size: QUEUE_AT + QUEUE_SIZE * ENTRY_WORDS + WORKERS_MAX * CACHE_LINE_WORDS,
} as const;

/** A Worker. */
export const WORKER = {
  /** Moves when it is to look around. */
  wake: 0,
  /** The handle that it executes an IO of, and 1; 0: none. */
  handle: 1,
  /** How often it was woken. */
  wakeUps: 2,
  /** 1: it is to end, whatever the others do. */
  isToEnd: 3,
  /** 1: it was started without a hitch, whatever becomes of it. */
  hasJoined: 4,
} as const;

/** Bytes of it. */
export const POOL_BYTES = POOL.size * Int32Array.BYTES_PER_ELEMENT;

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
  return poolAt(control) + POOL.queue + (position & (QUEUE_SIZE - 1)) * ENTRY_WORDS;
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
