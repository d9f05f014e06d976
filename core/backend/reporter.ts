/**
 * reporter.ts: puts the outcomes of one Aio's IOs into words: the callback that set the status
 * describes it, and the target of the IO describes what it was about.
 *
 * @module
 */

import type { Backend } from "./backend.ts";
import type { ResultReporter } from "../io/result.ts";

/** The reporter that an Aio attaches to the results it hands out. */
export function reporterOf({ callbacks, targets, warn, log }: Backend): ResultReporter {
  return {
    errorOf: (result, targetData) =>
      callbacks.errorOf(result, targetData, targets.identify(result.targetId, targetData)),
    tell: (level, message) => level === "warning" ? warn(message) : log?.say("log", message),
  };
}
