/**
 * buffer_ring.ts: the few buffers that a large scan uses over and over, so that it leaves the rest
 * of the pool alone: PostgreSQL's access strategy for bulk reads.
 *
 * A ring begins empty, and takes what the clock sweep finds. Once it is full, each victim of the
 * scan is the buffer that it took longest ago, unless somebody else uses that now, or changed it.
 *
 * @module
 */

import { BUFFER, BUFFER_STATE, NO_BUFFER, type PoolMemory } from "./pool_memory.ts";
import type { Pins } from "./pins.ts";

/** What a buffer that is changed or torn is in. */
const KEEPS = BUFFER_STATE.dirty | BUFFER_STATE.torn;
const RING_BYTES = 262_144;

/** How many buffers a ring has: 256 KiB, and what may be in flight; at most an eighth of a pool. */
export function ringSize(
  { pages, pageBytes }: Pick<PoolMemory, "pages" | "pageBytes">,
  combineLimit: number,
  concurrency: number,
): number {
  const wanted = RING_BYTES / pageBytes + combineLimit * concurrency;
  return Math.max(1, Math.min(Math.floor(pages / 8), Math.floor(wanted)));
}

/** The ring of one scan. */
export class BufferRing {
  readonly #buffers: Int32Array;
  #current = 0;

  /** @param size how many buffers */
  constructor(size: number) {
    this.#buffers = new Int32Array(size).fill(NO_BUFFER);
  }

  /** How many buffers it has at most. */
  get size(): number {
    return this.#buffers.length;
  }

  /** Goes on to the next buffer, and pins it. @returns `NO_BUFFER` if it cannot be the victim */
  tryTake(memory: PoolMemory, pins: Pick<Pins, "tryOwn" | "unpin">): number {
    this.#current = (this.#current + 1) % this.size;
    const buffer = this.#buffers[this.#current]!;
    if (buffer === NO_BUFFER) return NO_BUFFER;
    const { words } = memory;
    const at = memory.at(buffer);
    const isKept = (Atomics.load(words, at + BUFFER.state) & KEEPS) !== 0;
    // More than one use is somebody else's.
    if (isKept || words[at + BUFFER.usage]! > 1) return NO_BUFFER;
    if (Atomics.load(words, at + BUFFER.io) !== 0 || !pins.tryOwn(buffer)) return NO_BUFFER;
    // An IO that began between the two looks had a pin: it is over, or still there.
    if (Atomics.load(words, at + BUFFER.io) === 0) return buffer;
    pins.unpin(buffer);
    return NO_BUFFER;
  }

  /** Has a buffer in the place of the one that {@linkcode tryTake} came to. */
  put(buffer: number): void {
    this.#buffers[this.#current] = buffer;
  }
}
