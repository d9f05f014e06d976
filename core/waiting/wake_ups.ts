/**
 * wake_ups.ts: what the waiting of one thread is recorded in, so that a late wake-up has an
 * explanation: counters for everybody to read (counters.ts), and two kinds of lines of the log for
 * whoever wants each.
 *
 * ```text
 * slept 4.92 of at most 100 ms, until a bell 0.08 ms ago: 1 done, 2 left
 * turn over: 31 handed out in the next, 0.21 ms later
 * ```
 *
 * The clock is the one that the pump and the turn read anyway, and whoever rings reads it once
 * more. It is not read for an IO that nobody slept for, and so never for a cached read.
 *
 * @module
 */

import type { DozeEnd } from "./doze.ts";
import { COUNTER } from "../io/counters.ts";
import type { IoLog } from "../io/io_log.ts";

/**
 * What ended a sleep of an event loop: the bell of another thread, the same if it was meant for an
 * earlier sleep, this thread itself, the descriptor of the method, or nothing before its time was
 * over.
 */
export type SleepEnd = "bell" | "lateBell" | "self" | "descriptor" | "time";

const ENDS: Readonly<Record<SleepEnd, string>> = {
  bell: "a bell",
  lateBell: "a bell for an earlier sleep",
  self: "this thread ended it",
  descriptor: "the method had something",
  time: "its time was over",
};

/** One sleep of an event loop: one object for them all. */
export class Sleep {
  /** How long it was to be at most, in ms. */
  longestMs = 0;
  /** How long it was. */
  sleptMs = 0;
  /** What ended it. */
  end: SleepEnd = "time";
  /** How long ago the bell was rung that ended it; NaN where there was none. */
  rungMsAgo = NaN;
  /** How many IOs were found done by it, and words changed. */
  found = 0;
  /** How many are still in flight, or awaited. */
  left = 0;
}

/** The record of one thread. */
export class WakeUps {
  readonly #counters: Float64Array;
  /** Null: nobody wants lines. */
  readonly #log: IoLog | null;

  /**
   * @param counters this thread's own
   * @param log takes lines
   */
  constructor(counters: Float64Array, log: IoLog | null) {
    this.#counters = counters;
    this.#log = log?.has("debug4") ? log : null;
  }

  /** Records that this thread sleeps, blocking. */
  blocks(): void {
    this.#counters[COUNTER.blockingSleeps]!++;
  }

  /** Records a doze of this thread. */
  dozed(end: DozeEnd): void {
    const counters = this.#counters;
    counters[COUNTER.dozes]!++;
    if (end === "time") counters[COUNTER.dozesTimedOut]!++;
    else if (end === "eventLoop") counters[COUNTER.dozesForOthers]!++;
  }

  /** Records a sleep of the event loop, after the look that followed it. */
  slept(sleep: Sleep): void {
    const counters = this.#counters;
    const { end, rungMsAgo, sleptMs } = sleep;
    counters[COUNTER.sleeps]!++;
    if (end === "time") counters[COUNTER.sleepsTimedOut]!++;
    if (end === "bell" || end === "lateBell") {
      counters[COUNTER.bells]!++;
      if (sleep.found === 0) counters[COUNTER.bellsForNothing]!++;
    }
    // No time during the sleep: the ringer has not stored it yet, or its clock was set.
    const isKnown = rungMsAgo >= 0 && rungMsAgo <= sleptMs;
    if (isKnown) counters[COUNTER.wakeUpMs]! += rungMsAgo;
    if (this.#log !== null) this.#log.say("debug4", describeSleep(sleep, isKnown));
  }

  /**
   * Records a turn that had ended with completions for the next one, when that begins.
   *
   * @param count how many are handed out now
   * @param waitedMs since the end
   * @param hadBreak whether sockets and signals were looked at between the two
   */
  turned(count: number, waitedMs: number, hadBreak: boolean): void {
    this.#counters[COUNTER.turnsEnded]!++;
    this.#counters[COUNTER.turnWaitMs]! += waitedMs;
    if (hadBreak) this.#counters[COUNTER.breaks]!++;
    if (this.#log === null) return;
    const since = hadBreak ? " and a look for sockets and signals" : "";
    this.#log.say(
      "debug4",
      `turn over: ${count} handed out in the next, ${shownMs(waitedMs)}${since} later`,
    );
  }
}

function describeSleep(sleep: Sleep, isTimeKnown: boolean): string {
  const { sleptMs, longestMs, end, rungMsAgo, found, left } = sleep;
  const since = isTimeKnown ? ` ${shownMs(rungMsAgo)} ago` : "";
  return `slept ${sleptMs.toFixed(2)} of at most ${longestMs} ms, until ${ENDS[end]}${since}: ` +
    `${found} done, ${left} left`;
}

function shownMs(ms: number): string {
  return `${ms.toFixed(2)} ms`;
}
