/**
 * linux_aio/memory.ts: what the method shares between threads beside the pool of IO Workers, behind
 * that pool's part of the control memory.
 *
 * ```text
 * the pool (worker/memory.ts) │ slot of backend 0 │ slot 1 │ …
 * ```
 *
 * A slot says where the kernel keeps a backend's IO, for the threads that look after it.
 *
 * @module
 */

import { CACHE_LINE_WORDS, type Control, HANDLE } from "../../core/memory/shared_memory.ts";
import type { EffectiveOptions } from "../../core/base/options.ts";
import { IO_EVENT_WORDS } from "../../ffi/linux_aio_layout.ts";
import { alignUp } from "../../ffi/memory.ts";
import { poolAt, poolBytes } from "../worker/memory.ts";

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** Completions that one call takes at most. */
export const EVENTS_MAX = 32;

/** A slot, in words. */
export const SLOT = {
  /** The context, which is an address; 0: there is none. */
  contextLow: 0,
  contextHigh: 1,
  /** The eventfd that the kernel writes to when an IO is over. */
  eventFd: 2,
  /**
   * 1: a thread uses it; if none does it waits for the next one, or for the end of the Aio.
   */
  isUsed: 3,
  /** 1 during the call that hands IOs to the kernel: nobody else knows how many of them it took. */
  isSubmitting: 4,
  /** 1 while completions are taken: {@linkcode SLOT.events} may have some of a thread that died. */
  isTaking: 5,
  /** What a blocking wait polls. */
  pollfd: 6,
  /** IOs that were handed over, and those of them that were taken back; both wrap around. */
  submitted: 8,
  taken: 9,
  /**
   * Where the kernel writes completions. The first word of one, the handle plus 1, is 0 as soon as
   * what it says is in the handle.
   */
  events: 16,
  size: alignUp(16 + EVENTS_MAX * IO_EVENT_WORDS.size, CACHE_LINE_WORDS),
} as const;

/** The word of a handle that says which use of it the kernel has, if any. */
const IN_KERNEL = HANDLE.method + 1;
/** In place of a generation whose low word is 0, which stands for none. */
const USE_ZERO = 0x5555_5555;

/**
 * Says that the kernel has the present use of a handle. The mark ends with that use by itself:
 * whoever reaps a thread submits what it had staged without the method, which cannot take the last
 * use's mark away.
 */
export function markInKernel(words: Int32Array, base: number): void {
  words[base + IN_KERNEL] = words[base + HANDLE.generationLow] || USE_ZERO;
}

/** The kernel does not have it, or no longer. */
export function unmarkInKernel(words: Int32Array, base: number): void {
  Atomics.store(words, base + IN_KERNEL, 0);
}

/** Whether the kernel has the present use of a handle; else the pool has it, or nobody. */
export function isMarkedInKernel(words: Int32Array, base: number): boolean {
  const use = Atomics.load(words, base + HANDLE.generationLow) || USE_ZERO;
  return Atomics.load(words, base + IN_KERNEL) === use;
}

function poolWords(handleCount: number): number {
  return alignUp(poolBytes(handleCount) / WORD_BYTES, CACHE_LINE_WORDS);
}

/** Bytes of the method's part. */
export function linuxAioBytes({ maxBackends, maxConcurrency }: EffectiveOptions): number {
  return (poolWords(maxBackends * maxConcurrency) + maxBackends * SLOT.size) * WORD_BYTES;
}

/** Where a backend's slot is, in words of the control memory. */
export function slotAt(control: Control, backendId: number): number {
  return poolAt(control) + poolWords(control.handleCount) + backendId * SLOT.size;
}
