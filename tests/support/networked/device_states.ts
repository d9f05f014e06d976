/**
 * device_states.ts: what a device may hold after a power cut, made of its log: what was flushed,
 * and of all else any part. A sector has some of the first writes to it since the last flush.
 *
 * @module
 */

import type { Prng } from "../prng.ts";
import { type DeviceEntry, SECTOR_BYTES } from "./device_log.ts";

/** Of 16 pending sectors, how many are there: a few, half of them, or all but a few. */
const SHARES = [1, 8, 15] as const;

/** A device, moved from entry to entry of its log. */
export class DeviceDisk {
  readonly #durable: Uint8Array;
  readonly #entries: readonly DeviceEntry[];
  #count = 0;
  /** By sector: what was written to it since the last flush. */
  readonly #pending = new Map<number, Uint8Array[]>();

  /** @param base what it holds at first */
  constructor(base: Uint8Array, entries: readonly DeviceEntry[]) {
    this.#durable = base.slice();
    this.#entries = entries;
  }

  /** Goes on to a later moment. @param count of entries by then */
  advance(count: number): void {
    for (; this.#count < count; this.#count++) {
      const { offset, bytes, isFlush } = this.#entries[this.#count]!;
      if (isFlush) {
        for (const [sector, writes] of this.#pending) this.#write(sector, writes.at(-1)!);
        this.#pending.clear();
      }
      for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
        const sector = (offset + at) / SECTOR_BYTES;
        const writes = this.#pending.get(sector) ?? [];
        writes.push(bytes.subarray(at, at + SECTOR_BYTES));
        this.#pending.set(sector, writes);
      }
    }
  }

  #write(sector: number, bytes: Uint8Array): void {
    this.#durable.set(bytes, sector * SECTOR_BYTES);
  }

  /** Draws one of the states that it may be in now. */
  state(prng: Prng): Uint8Array<ArrayBuffer> {
    const state = this.#durable.slice();
    const share = prng.pick(SHARES);
    for (const [sector, writes] of this.#pending) {
      if (!prng.chance(share, 16)) continue;
      const newest = prng.chance(share, 16) ? writes.length : prng.between(1, writes.length);
      state.set(writes[newest - 1]!, sector * SECTOR_BYTES);
    }
    return state;
  }
}

/**
 * Moments to cut the power at, in order: many of them are around flushes.
 *
 * @param first the entries before the first moment
 */
export function drawCuts(
  prng: Prng,
  entries: readonly DeviceEntry[],
  first: number,
  cuts: number,
): number[] {
  const flushes = entries.flatMap(({ isFlush }, i) => isFlush && i >= first ? [i] : []);
  const drawn = Array.from({ length: cuts }, () => {
    // Before a flush, when most is pending, or behind it, when the program goes on.
    if (flushes.length > 0 && prng.chance(1, 2)) return prng.pick(flushes) + prng.below(2);
    return prng.between(first, entries.length);
  });
  return drawn.sort((one, other) => one - other);
}
