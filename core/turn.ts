/**
 * turn.ts: whose turn it is: this module's, or the rest of the event loop's.
 *
 * Completions that are there at once resolve promises at once, and a program of tasks that await
 * cached reads would thereby never reach its timers. So a turn ends 1 ms after the last macrotask
 * of ours: from then on completions are handed out by `setImmediate`, after everybody else had
 * theirs. The clock costs a tenth of a cached read, so it is looked at once per few IOs; more often
 * where IOs turn out to be slow.
 *
 * @module
 */

import { setImmediate } from "node:timers";

/** Told when an IO is done. One object may be used for IO after IO. */
export interface CompletionWaiter {
  /** Called once, from the event loop, never from within another call of this module. */
  completed(): void;
}

const TURN_MS_MAX = 1;
/** Units of work between two looks at the clock: IOs, or 16 KiB of a larger IO. */
const UNITS_PER_LOOK = 8;
const UNIT_BYTES_SHIFT = 14;
/** A unit slower than this is worth a look at the clock of its own. */
const SLOW_UNIT_MS = 0.05;

/** The turn of one thread. */
export class Turn {
  #startedAt = performance.now();
  #lookedAt = this.#startedAt;
  #unitsPerLook = UNITS_PER_LOOK;
  #unitsLeft = UNITS_PER_LOOK;
  #isOver = false;
  #nextTurn: CompletionWaiter[] = [];
  #soon: CompletionWaiter[] = [];

  /** Counts work that was done in this thread. */
  spend(bytes: number): void {
    this.#unitsLeft -= 1 + (bytes >> UNIT_BYTES_SHIFT);
  }

  /** Whether the rest of the event loop is to be let in before anything else is handed out. */
  isOver(): boolean {
    if (this.#isOver) return true;
    if (this.#unitsLeft > 0) return false;
    const now = performance.now();
    const units = this.#unitsPerLook - this.#unitsLeft;
    this.#unitsPerLook = (now - this.#lookedAt) / units > SLOW_UNIT_MS ? 1 : UNITS_PER_LOOK;
    this.#unitsLeft = this.#unitsPerLook;
    this.#lookedAt = now;
    this.#isOver = now - this.#startedAt > TURN_MS_MAX;
    return this.#isOver;
  }

  /** Hands a completion out: in this turn if it is not over, else in the next. */
  handOut(waiter: CompletionWaiter): void {
    if (this.isOver()) {
      this.#nextTurn.push(waiter);
      if (this.#nextTurn.length === 1) setImmediate(this.#begin);
    } else {
      this.#soon.push(waiter);
      if (this.#soon.length === 1) queueMicrotask(this.#runSoon);
    }
  }

  readonly #begin = (): void => {
    this.#startedAt = this.#lookedAt = performance.now();
    this.#unitsLeft = this.#unitsPerLook;
    this.#isOver = false;
    const waiters = this.#nextTurn;
    this.#nextTurn = [];
    for (const waiter of waiters) waiter.completed();
  };

  readonly #runSoon = (): void => {
    const waiters = this.#soon;
    this.#soon = [];
    for (const waiter of waiters) waiter.completed();
  };
}
