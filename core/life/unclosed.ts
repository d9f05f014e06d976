/**
 * unclosed.ts: an Aio that a test does not close shows itself to the sanitizers of `Deno.test`, and
 * is reported when the tests of a file are over.
 *
 * The sanitizers count what Deno itself keeps for a program: resources, operations and timers. What
 * an Aio keeps is mostly memory and descriptors that they do not see. So each open Aio has an
 * interval that hardly ever fires and does not keep the event loop alive. Both sanitizers report
 * it; with `--trace-leaks` they show its stack, with the function below, whose name says what is
 * wrong, and the line that opened the Aio. Of all that Deno counts, only a stack shows a name that
 * a module can set.
 *
 * The sanitizers may be off, and their report is short without that flag. So at the end a warning
 * names the line, too. A program that is no test ends without a word.
 *
 * @module
 */

// Not the global functions: tests put their own clock in place of those.
import { clearInterval, setInterval } from "node:timers";

/** What the reports show. */
const NAME = "deno-aio: an Aio that was not closed; call aio.close()";
/** The longest that a timer can have: 24 days. */
const PERIOD_MS = 2 ** 31 - 1;

/** A frame of Deno's test runner, below those of a test. */
const RUNNER = /^ +at .*\bext:cli\/.*test/m;
/** The frame below those of this module: `called` is the last of them. */
const OPENER = /\/core\/base\/caller\.ts:\d+:\d+\)\n +at (?:.* \(|async )?(.+:\d+:\d+)\)?$/m;

/** What an open Aio leaves for the sanitizers to see. */
export interface OpenMark {
  /** Takes it away: the Aio is closed. */
  remove(): void;
}

/** An open Aio. */
interface Opened {
  readonly warn: (message: string) => void;
  /** Of the call that opened it; put into words only if it is read. */
  readonly stack?: string;
}

/** Those of this thread. */
const OPENED = new Set<Opened>();

/**
 * Makes the mark of an Aio that this thread opens or attaches.
 *
 * @param warn takes the warning at the end
 */
export const markOpen: (warn: (message: string) => void) => OpenMark = Object.defineProperty(
  (warn: (message: string) => void) => {
    const interval = setInterval(() => {}, PERIOD_MS);
    interval.unref();
    const opened: Opened = { warn };
    Error.captureStackTrace(opened);
    if (OPENED.size === 0) addEventListener("unload", tellOpened);
    OPENED.add(opened);
    return { remove: () => remove(opened, interval) };
  },
  "name",
  { value: NAME },
);

function remove(opened: Opened, interval: ReturnType<typeof setInterval>): void {
  clearInterval(interval);
  OPENED.delete(opened);
  if (OPENED.size === 0) removeEventListener("unload", tellOpened);
}

function tellOpened(): void {
  for (const { warn, stack = "" } of OPENED) {
    if (!RUNNER.test(stack)) continue;
    const place = OPENER.exec(stack)?.[1] ?? "an unknown place";
    warn(`an Aio was not closed, opened at ${place}: call aio.close()`);
  }
}
