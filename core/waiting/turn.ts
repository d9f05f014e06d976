/**
 * turn.ts: whose turn it is: this module's, or the rest of the event loop's.
 *
 * Completions that are there at once resolve promises at once, and a program of tasks that await
 * cached reads would thereby never reach its timers. So a turn ends 1 ms after the last macrotask
 * of ours: from then on completions are handed out by `setImmediate`, after everybody else had
 * theirs. The clock costs a tenth of a cached read, so it is looked at once per few IOs; more often
 * where IOs turn out to be slow.
 *
 * Timers run between two such turns, but Deno looks for sockets and signals only when its loop
 * comes to rest, or every 61st time around. So every 10 ms a turn ends with a break, in which the
 * loop goes around with nothing to do until they were looked at (event_loop.ts). How often that
 * happens, and how long completions wait for it, is recorded (wake_ups.ts).
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { WakeUps } from "./wake_ups.ts";

/** Told when an IO is done. One object may be used for IO after IO. */
export interface CompletionWaiter {
  /** Called once, from the event loop, never from within another call of this module. */
  completed(): void;
}

const TURN_MS_MAX = 1;
/** Longest time between two looks for sockets and signals. */
const BREAK_EVERY_MS = 10;
/** Units of work between two looks at the clock: IOs, or 16 KiB of a larger IO. */
const UNITS_PER_LOOK = 8;
const UNIT_BYTES_SHIFT = 14;
/** So many IOs that are only completed here are one unit. */
const COMPLETED_PER_UNIT = 4;
/** A unit slower than this is worth a look at the clock of its own. */
const SLOW_UNIT_MS = 0.05;

/** The turn of one thread. */
export class Turn {
  #startedAt = performance.now();
  #lookedAt = this.#startedAt;
  #unitsPerLook = UNITS_PER_LOOK;
  #unitsLeft = UNITS_PER_LOOK;
  #completed = 0;
  #isOver = false;
  #nextTurn: CompletionWaiter[] = [];
  #soon: CompletionWaiter[] = [];
  readonly #goAround: () => Promise<unknown>;
  readonly #record: Pick<WakeUps, "turned">;
  #endedAt = this.#startedAt;
  #brokeAt = this.#startedAt;
  #break: Promise<void> | null = null;

  /**
   * The turn of a thread that just began one.
   *
   * @param goAround resolves when sockets and signals were looked at
   * @param record takes the turns that ended with completions left
   */
  constructor(goAround: () => Promise<unknown>, record: Pick<WakeUps, "turned">) {
    this.#goAround = goAround;
    this.#record = record;
  }

  /** Resolves when no break is under way, after which none begins by itself. For `close()`. */
  async settled(): Promise<void> {
    while (this.#break !== null) await this.#break;
  }

  /** Counts an IO that was executed in this thread. */
  spend(bytes: number): void {
    this.#unitsLeft -= 1 + (bytes >> UNIT_BYTES_SHIFT);
  }

  /**
   * Counts an IO that was completed here: the kernel, which executed it, does not wait in this
   * thread.
   */
  spendCompleted(bytes: number): void {
    this.#completed += 1 + (bytes >> UNIT_BYTES_SHIFT) * COMPLETED_PER_UNIT;
    if (this.#completed < COMPLETED_PER_UNIT) return;
    this.#unitsLeft -= Math.floor(this.#completed / COMPLETED_PER_UNIT);
    this.#completed %= COMPLETED_PER_UNIT;
  }

  /** Says that the event loop has just come around. */
  renew(now: number): void {
    // The time before was others', or nobody's: it tells nothing of how slow the IOs are.
    this.#lookedAt = now;
    // Those that wait for the next turn come first.
    if (this.#nextTurn.length === 0) this.#restart(now);
  }

  #restart(now: number): void {
    this.#startedAt = this.#lookedAt = now;
    this.#unitsLeft = this.#unitsPerLook;
    this.#isOver = false;
  }

  /** Whether the rest of the event loop is to be let in before anything else is handed out. */
  isOver(): boolean {
    if (this.#unitsLeft <= 0) this.#look();
    // Nobody overtakes those who wait for the next one.
    return this.#isOver || this.#nextTurn.length > 0;
  }

  /** Whether completions wait for the next turn, so that the event loop has something to do. */
  get isNextWanted(): boolean {
    return this.#nextTurn.length > 0;
  }

  #look(): void {
    const now = performance.now();
    const units = this.#unitsPerLook - this.#unitsLeft;
    this.#unitsPerLook = (now - this.#lookedAt) / units > SLOW_UNIT_MS ? 1 : UNITS_PER_LOOK;
    this.#unitsLeft = this.#unitsPerLook;
    this.#lookedAt = now;
    this.#isOver ||= now - this.#startedAt > TURN_MS_MAX;
  }

  /** Hands a completion out: in this turn if it is not over, else in the next. */
  handOut(waiter: CompletionWaiter): void {
    if (this.isOver()) {
      this.#nextTurn.push(waiter);
      if (this.#nextTurn.length === 1) this.#end();
    } else {
      this.#soon.push(waiter);
      if (this.#soon.length === 1) queueMicrotask(this.#runSoon);
    }
  }

  #end(): void {
    this.#endedAt = performance.now();
    if (this.#lookedAt - this.#brokeAt < BREAK_EVERY_MS) {
      setImmediate(this.#beginNext);
      return;
    }
    this.#break = this.#goAround().then(() => {
      this.#break = null;
      this.#brokeAt = performance.now();
      this.#begin(true);
    });
  }

  readonly #beginNext = (): void => this.#begin(false);

  #begin(hadBreak: boolean): void {
    const now = performance.now();
    const waitedMs = now - this.#endedAt;
    this.#restart(now);
    // Where IOs are slow, each waiter's next one is a turn of its own.
    const count = this.#unitsPerLook === 1 ? 1 : this.#nextTurn.length;
    const waiters = this.#nextTurn.splice(0, count);
    if (this.#nextTurn.length > 0) this.#end();
    this.#record.turned(waiters.length, waitedMs, hadBreak);
    tellAll(waiters);
  }

  readonly #runSoon = (): void => {
    const waiters = this.#soon;
    this.#soon = [];
    tellAll(waiters);
  };
}

/** One that throws must not keep the others waiting: its error goes where uncaught ones go. */
function tellAll(waiters: readonly CompletionWaiter[]): void {
  for (const waiter of waiters) {
    try {
      waiter.completed();
    } catch (error) {
      reportError(error);
    }
  }
}
