/**
 * clock_sweep.ts: which buffer gets another block: the clock's hand goes round all of them, and
 * takes the first that is whole, without a pin, without an IO, and with a usage count of 0. Each
 * use of a buffer adds 1 to that count, up to 5; the hand takes 1 away when it comes by.
 *
 * @module
 */

import { BUFFER, BUFFER_STATE, NO_BUFFER, POOL, type PoolMemory } from "./pool_memory.ts";
import type { Pins } from "./pins.ts";

/** How often a buffer counts as used, at most. */
export const USAGE_MAX = 5;

/** Counts a use of a buffer. Two threads may count one use: it only has to be about right. */
export function countUse(words: Int32Array, at: number): void {
  const usage = words[at + BUFFER.usage]!;
  if (usage < USAGE_MAX) words[at + BUFFER.usage] = usage + 1;
}

/** The same for a scan with a ring of its own, however often it comes by. */
export function countScan(words: Int32Array, at: number): void {
  if (words[at + BUFFER.usage] === 0) words[at + BUFFER.usage] = 1;
}

/**
 * Finds a buffer for another block, and pins it.
 *
 * @returns `NO_BUFFER` if each is pinned or torn, or has an IO
 */
export function sweep(memory: PoolMemory, pins: Pins): number {
  const { words, pages } = memory;
  for (let left = pages; left > 0; left--) {
    const buffer = (Atomics.add(words, POOL.hand, 1) >>> 0) % pages;
    const at = memory.at(buffer);
    if (Atomics.load(words, at + BUFFER.pins) !== 0) continue;
    if (Atomics.load(words, at + BUFFER.io) !== 0) continue;
    // It keeps its block until somebody repairs or forgets it.
    if ((words[at + BUFFER.state]! & BUFFER_STATE.torn) !== 0) continue;
    const usage = words[at + BUFFER.usage]!;
    if (usage > 0 && words[at + BUFFER.file] !== 0) {
      words[at + BUFFER.usage] = usage - 1;
      left = pages;
    } else if (pins.tryOwn(buffer)) {
      // An IO that began between the two looks had a pin: it is over, or still there.
      if (Atomics.load(words, at + BUFFER.io) === 0) return buffer;
      pins.unpin(buffer);
    }
  }
  return NO_BUFFER;
}

/** Has the next sweep begin with the buffer that the last one found, which is not needed now. */
export function stepBack({ words }: PoolMemory): void {
  Atomics.sub(words, POOL.hand, 1);
}
