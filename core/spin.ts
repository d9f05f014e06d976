/**
 * spin.ts: for how long the pump looks for completions, once a turn of the event loop, before it sleeps
 * until one comes.
 *
 * To sleep and be woken takes 40 to 90 µs, by way of another thread: longer than a fast disk needs. So
 * it is learnt how long IOs have taken of late, and while they come within a millisecond the pump
 * stays awake for twice that. After slower ones it gives the next only a moment.
 *
 * @module
 */

/** Where IOs take longer than this, sleeping costs little. */
const LONGEST_MS = 1;
/** What an IO is given of which nothing is known. */
const SHORTEST_MS = 0.05;
/** How many times as long as usual an IO may take. */
const PATIENCE = 2;
/** The weight of what is known beside one more IO. */
const MEMORY = 8;

/** The spin of one pump. */
export class Spin {
  readonly #longestMs: number;
  readonly #shortestMs: number;
  /** From one completion to the next, or from the first IO in flight. */
  #usualMs = SHORTEST_MS;
  #since = 0;

  /**
   * Made by the pump.
   *
   * @param maxMicroseconds the option `spinMicroseconds`; null: as long as it is worth it
   */
  constructor(maxMicroseconds: number | null) {
    this.#longestMs = maxMicroseconds === null ? LONGEST_MS : maxMicroseconds / 1000;
    this.#shortestMs = Math.min(SHORTEST_MS, this.#longestMs);
  }

  /** Something is in flight again, from now on. */
  begin(now: number): void {
    this.#since = now;
  }

  /** Something was completed just now. */
  learn(now: number): void {
    // One that took seconds says no more than one that took a little too long.
    const tookMs = Math.min(now - this.#since, PATIENCE * LONGEST_MS);
    this.#usualMs += (tookMs - this.#usualMs) / MEMORY;
    this.#since = now;
  }

  /** Whether to look once more before sleeping. */
  isWorthwhile(now: number): boolean {
    const isQuick = this.#usualMs < LONGEST_MS;
    const limitMs = isQuick ? PATIENCE * this.#usualMs : 0;
    return now - this.#since <
      Math.min(Math.max(limitMs, this.#shortestMs), this.#longestMs);
  }
}
