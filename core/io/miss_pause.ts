/**
 * miss_pause.ts: how many reads go without an attempt at the page cache after one that has missed:
 * twice as many after each miss in a row, so that those of a file on the disk cost next to nothing.
 *
 * @module
 */

/** The most reads that skip the attempt after a miss. */
const PAUSE_MAX = 64;

/** The pauses of one kind of attempt, in one thread. */
export class MissPause {
  #pause = 0;
  #left = 0;

  /** Whether a read that is about to begin makes no attempt: of these it is one less then. */
  skips(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }

  /** The attempt has found what it looked for, or has not. @returns whether it has */
  note(isHit: boolean): boolean {
    this.#pause = isHit ? 0 : Math.min(PAUSE_MAX, 2 * this.#pause + 1);
    this.#left = this.#pause;
    return isHit;
  }
}
