/**
 * file_callbacks.ts: the callbacks of the layer nearest to the file: `fileReadv`, `fileWritev` and
 * `fileSync`. They turn what the system said into a status and keep the error number.
 *
 * @module
 */

import { fromWords } from "../ffi/memory.ts";
import type { AioCallbacks, CallbackHandle } from "./callback.ts";
import { systemError } from "./errors.ts";
import { FILE_TARGET, FILE_TARGET_NAME } from "./open_file.ts";
import type { AioResult } from "./result.ts";
import type { TargetIdentity } from "./target.ts";

/** The built-in callbacks, by name, in the order of their ids. */
export const FILE_CALLBACKS: readonly (readonly [string, AioCallbacks])[] = [
  ["fileReadv", transferCallbacks("read", "preadv")],
  ["fileWritev", transferCallbacks("write", "pwritev")],
  ["fileSync", {
    completeShared: (_handle, prior) => distil(prior, 0),
    report: (result, _targetData, target) =>
      systemError(result.errorData, `could not fsync ${target.describe()}`, { syscall: "fsync" }),
  }],
];

function transferCallbacks(verb: "read" | "write", syscall: string): AioCallbacks {
  return {
    completeShared(handle: CallbackHandle, prior: AioResult): AioResult {
      return distil(prior, handle.length);
    },
    report(result: AioResult, targetData: Int32Array, target: TargetIdentity): string | Error {
      const range = rangeOf(targetData, target);
      const what = `could not ${verb} ${target.describe()}`;
      if (result.errorData !== 0) {
        return systemError(result.errorData, what, { syscall, ...range });
      }
      const done = verb === "read" ? "read" : "wrote";
      const asked = range === null ? "" : ` of ${range.length}`;
      return `${what}: ${done} only ${result.result}${asked} bytes`;
    },
  };
}

/** Where in the file the IO was; null for an IO about another target, whose words mean something else. */
function rangeOf(
  targetData: Int32Array,
  target: TargetIdentity,
): { offset: number; length: number } | null {
  if (target.name !== FILE_TARGET_NAME) return null;
  const low = targetData[FILE_TARGET.offsetLow]!;
  return {
    offset: fromWords(low, targetData[FILE_TARGET.offsetHigh]!),
    length: targetData[FILE_TARGET.length]!,
  };
}

/** Negative: an error that keeps its number. Fewer than asked: partial. Anything else: as it is. */
function distil(prior: AioResult, asked: number): AioResult {
  if (prior.status !== "ok") return prior;
  if (prior.result < 0) {
    prior.status = "error";
    prior.errorData = -prior.result;
    prior.result = 0;
  } else if (prior.result < asked) {
    prior.status = "partial";
  }
  return prior;
}
