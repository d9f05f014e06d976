/**
 * doze_bound.ts: for how long the pump stays awake and dozes before it sleeps until something
 * comes, and how long one doze may be.
 *
 * To sleep and be woken takes 40 to 90 µs, by way of another thread: longer than a fast disk needs.
 * So it is learnt how long IOs have taken of late, and while one takes less than 0.7 ms the pump
 * stays awake for twice the usual time between two completions. After slower ones it gives the next
 * only a moment.
 *
 * @module
 */

import { DOZE_MS_MAX } from "./doze.ts";

/** The longest time to stay awake. */
const LONGEST_MS = 1;
/** Where IOs take longer than this, to be woken costs little beside them. */
const QUICK_MS = 0.7;
/** What an IO is given of which nothing is known. */
const SHORTEST_MS = 0.05;
/** How many times as long as usual an IO may take. */
const USUAL_TIMES_MAX = 2;
/** The weight of what is known beside one more IO. */
const MEMORY = 8;

/** What one pump has learnt. */
export class DozeBound {
  readonly #dozeMs: number;
  readonly #longestMs: number;
  readonly #shortestMs: number;
  /** From one look that found completions to the next, or from the first IO in flight. */
  #usualMs = SHORTEST_MS;
  /** How many completions such a look found. */
  #count = 1;
  /** How many IOs were in flight before it. */
  #depth = 1;
  #since = 0;

  /**
   * Made by the pump.
   *
   * @param maxMicroseconds the option `dozeMicroseconds`; null: as is worth it
   */
  constructor(maxMicroseconds: number | null) {
    this.#dozeMs = maxMicroseconds === null ? DOZE_MS_MAX : maxMicroseconds / 1000;
    this.#longestMs = this.#dozeMs === 0 ? 0 : Math.max(LONGEST_MS, this.#dozeMs);
    this.#shortestMs = Math.min(SHORTEST_MS, this.#dozeMs);
  }

  /** Something is in flight again, from now on. */
  begin(now: number): void {
    this.#since = now;
  }

  /**
   * IOs were found completed just now.
   *
   * @param count how many
   * @param left how many are still in flight
   */
  learn(now: number, count: number, left: number): void {
    // One that took seconds says no more than one that took a little too long.
    const tookMs = Math.min(now - this.#since, USUAL_TIMES_MAX * LONGEST_MS);
    this.#usualMs += (tookMs - this.#usualMs) / MEMORY;
    this.#count += (count - this.#count) / MEMORY;
    this.#depth += (count + left - this.#depth) / MEMORY;
    this.#since = now;
  }

  /**
   * How long the next doze may be, in ms.
   *
   * @returns 0 or less: none, it is time to sleep
   */
  left(now: number): number {
    const limitMs = this.#latencyMs() < QUICK_MS ? USUAL_TIMES_MAX * this.#usualMs : 0;
    const awakeMs = Math.min(Math.max(limitMs, this.#shortestMs), this.#longestMs);
    return Math.min(awakeMs - (now - this.#since), this.#dozeMs);
  }

  /**
   * Little's law: an IO takes as long as all in flight need to come, at the rate at which they
   * come.
   */
  #latencyMs(): number {
    return this.#usualMs / this.#count * this.#depth;
  }
}
