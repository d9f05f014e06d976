/**
 * Lets the event loop in from time to time, for Ctrl-C and for what other threads have found.
 * `scan.ts` and `check_files.ts`, which make calls that block, pause between them.
 *
 * @module
 */

const INTERVAL_MS = 100;

/** The pauses of one task. */
export class Pauses {
  #pausedAt = performance.now();

  /** Pauses, if the last time is long ago. */
  async pause(): Promise<void> {
    if (performance.now() - this.#pausedAt < INTERVAL_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#pausedAt = performance.now();
  }
}
