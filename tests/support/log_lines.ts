/**
 * log_lines.ts: the lines of the log, as tests keep them.
 *
 * @module
 */

import type { LogLevel } from "../../core/base/log_level.ts";
import type { AioOptions } from "../../core/base/options.ts";

/** A line and its level. */
export type Line = [message: string, level: LogLevel];

/** Options that keep the lines of the log. */
export function keeping(lines: Line[], logLevel: LogLevel): AioOptions {
  return { logLevel, onLog: (message, level) => lines.push([message, level]) };
}
