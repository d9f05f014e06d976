/**
 * file_callbacks.ts: the callbacks of the layer nearest to the file: `fileReadv`, `fileWritev` and
 * `fileSync`. They turn what the system said into a status and keep the error number.
 *
 * @module
 */

import { fromWords } from "../ffi/memory.ts";
import type { AioCallbacks, CallbackHandle } from "./callback.ts";
import { systemError } from "./errors.ts";
import { FILE_TARGET } from "./open_file.ts";
import type { AioResult } from "./result.ts";

/** Describes a file by the data of the target `file`. */
export type DescribeFile = (targetData: Int32Array) => string;

/**
 * Makes the built-in callbacks, by name, in the order of their ids.
 *
 * @param describe describes the file that an IO was about
 */
export function fileCallbacks(
  describe: DescribeFile,
): readonly (readonly [string, AioCallbacks])[] {
  return [
    ["fileReadv", transferCallbacks("read", "preadv", describe)],
    ["fileWritev", transferCallbacks("write", "pwritev", describe)],
    ["fileSync", {
      completeShared: (_handle, prior) => distil(prior, 0),
      report: (result, targetData) =>
        systemError(result.errorData, `could not fsync ${describe(targetData)}`, {
          syscall: "fsync",
        }),
    }],
  ];
}

function transferCallbacks(
  verb: "read" | "write",
  syscall: string,
  describe: DescribeFile,
): AioCallbacks {
  return {
    completeShared(handle: CallbackHandle, prior: AioResult): AioResult {
      return distil(prior, handle.length);
    },
    report(result: AioResult, targetData: Int32Array): string | Error {
      const offset = fromWords(
        targetData[FILE_TARGET.offsetLow]!,
        targetData[FILE_TARGET.offsetHigh]!,
      );
      const length = targetData[FILE_TARGET.length]!;
      const what = `could not ${verb} ${describe(targetData)}`;
      if (result.errorData !== 0) {
        return systemError(result.errorData, what, { syscall, offset, length });
      }
      const done = verb === "read" ? "read" : "wrote";
      return `${what}: ${done} only ${result.result} of ${length} bytes`;
    },
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
