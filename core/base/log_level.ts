/**
 * log_level.ts: how detailed a line of the log is, and the hook that takes it.
 *
 * @module
 */

import { shown } from "./errors.ts";

/**
 * `"log"`: outcomes that `reportResult` was to log, threads that were reaped; `"debug2"`: waiting
 * for handles, descriptors and the end; `"debug3"`: the steps of each IO; `"debug4"`: each call of
 * a callback, each submit, each handle taken back, each sleep of the event loop and what ended it,
 * each turn of the event loop that ended with completions left.
 */
export type LogLevel = "log" | "debug2" | "debug3" | "debug4";

/** From the most important to the most detailed. */
export const LOG_LEVELS: readonly LogLevel[] = ["log", "debug2", "debug3", "debug4"];

/** Takes a line of the log, without its end. */
export type LogHook = (message: string, level: LogLevel) => void;

/** The level that is meant, `"debug3"` by default. @throws {RangeError} naming those there are */
export function checkLogLevel(level: LogLevel | undefined): LogLevel {
  if (level === undefined) return "debug3";
  if (LOG_LEVELS.includes(level)) return level;
  throw new RangeError(
    `Cannot open aio as "logLevel" must be one of ${LOG_LEVELS.join(", ")}: got ${shown(level)}`,
  );
}
