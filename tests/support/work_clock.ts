/**
 * work_clock.ts: a clock that moves only by the work that a test makes up, so that the test knows
 * what the library measures.
 *
 * @module
 */

import { replace } from "./bells/bells.ts";

/** The clock of this thread, until the end of the scope. */
export class WorkClock implements Disposable {
  #now: number;
  readonly #replaced: Disposable;

  /** @param startMs what it shows at first */
  constructor(startMs = 0) {
    this.#now = startMs;
    this.#replaced = replace(performance, "now", () => this.#now);
  }

  /** So much work is done. */
  busy(ms: number): void {
    this.#now += ms;
  }

  [Symbol.dispose](): void {
    this.#replaced[Symbol.dispose]();
  }
}
