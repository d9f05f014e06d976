/**
 * file_callbacks.ts: the callbacks of the layer nearest to the file: `fileReadv`, `fileWritev`, and
 * `fileSync` for all that moves no bytes. They turn what the system said into a status and keep the
 * error number.
 *
 * Those of flushes, and of writes with the data 1 (durable by themselves), also keep that a
 * flush of the file has failed, and fail for it from then on: flush_error.ts.
 *
 * @module
 */

import { EIO } from "../../ffi/errno.ts";
import { fromWords } from "../../ffi/memory.ts";
import type { AioCallbacks, CallbackHandle } from "../io/callback.ts";
import { systemError } from "../base/errors.ts";
import type { FileSlot } from "./file_slot.ts";
import { FILE_FLAGS } from "./file_table.ts";
import { flushedFile, flushErrorOf, mayLoseWrites, noteFlushError } from "./flush_error.ts";
import { OPERATION_ROWS, type OperationRow, OPERATIONS } from "../io/operation_table.ts";
import type { AioResult } from "../io/result.ts";
import { type Control, FILE } from "../memory/shared_memory.ts";
import { FILE_TARGET, type TargetIdentity } from "../io/target.ts";

/** The data of a callback of a write that is a flush as well: by `O_DSYNC`, or by a flag. */
export const DURABLE_WRITE = 1;

/** Says how large an open file is, by its descriptor, or throws. */
type SizeOf = (fd: number) => number;

/** These callbacks by name, in the order of their ids. */
export function fileCallbacks(
  control: Control,
  sizeOf: SizeOf,
): Readonly<Record<string, AioCallbacks>> {
  return {
    fileReadv: {
      completeShared: (handle, prior) => distil(prior, handle.length),
      report: (result, data, target) => reportTransfer(OPERATIONS.readv, result, data, target),
    },
    fileWritev: {
      completeShared(handle, prior, data) {
        const result = distil(prior, handle.length);
        if (data !== DURABLE_WRITE || hasNotBegun(control, handle, result, sizeOf)) return result;
        return withFlushError(control, handle, result);
      },
      report: (result, data, target) => reportTransfer(OPERATIONS.writev, result, data, target),
    },
    fileSync: {
      completeShared(handle, prior) {
        const result = distil(prior, 0);
        const { operation } = handle;
        if (operation !== "invalid" && OPERATIONS[operation].tellsLostWrites === "never") {
          return result;
        }
        return withFlushError(control, handle, result);
      },
      report: (result, _data, target) => reportOther(result, target),
    },
  };
}

/**
 * Whether a durable append has failed before it came to its flush, as on a full disk: then nothing
 * of it is in the file, which ends where it was to begin, or before that where others have failed.
 * A file on a server may have lost what the flush was of, and tells nothing. One may have been cut
 * meanwhile, so an error of the disk itself always counts as one of the flush.
 */
function hasNotBegun(
  control: Control,
  handle: CallbackHandle,
  { status, errorData }: AioResult,
  sizeOf: SizeOf,
): boolean {
  if (status !== "error" || errorData === EIO) return false;
  const { targetData, isOnFile } = handle;
  if (!isOnFile || targetData[FILE_TARGET.isAppend] !== 1) return false;
  const file = flushedFile(control, handle);
  if (file === null || isOnServer(control, file)) return false;
  const offset = fromWords(
    targetData[FILE_TARGET.offsetLow]!,
    targetData[FILE_TARGET.offsetHigh]!,
  );
  try {
    return sizeOf(handle.operationData.fd) <= offset;
  } catch {
    return false;
  }
}

function isOnServer(control: Control, { slot }: FileSlot): boolean {
  return (control.words[control.fileAt(slot) + FILE.flags]! & FILE_FLAGS.flushesAtClose) !== 0;
}

/** A flush that fails is remembered; one that goes well fails if an earlier one has failed. */
function withFlushError(control: Control, handle: CallbackHandle, result: AioResult): AioResult {
  const isError = result.status === "error";
  if (isError && !mayLoseWrites(result.errorData)) return result;
  const file = flushedFile(control, handle);
  if (file === null) return result;
  if (isError) {
    noteFlushError(control, file, result.errorData);
    return result;
  }
  const errno = flushErrorOf(control, file);
  if (errno === 0) return result;
  result.status = "error";
  result.errorData = errno;
  result.result = 0;
  return result;
}

function reportTransfer(
  { verb, syscall, moves }: OperationRow,
  result: AioResult,
  targetData: Int32Array,
  target: TargetIdentity,
): string | Error {
  const range = rangeOf(targetData, target);
  const what = `could not ${verb} ${target.describe()}`;
  if (result.errorData !== 0) {
    return systemError(result.errorData, what, { syscall, ...range });
  }
  const done = moves === "in" ? "read" : "wrote";
  const asked = range === null ? "" : ` of ${range.length}`;
  return `${what}: ${done} only ${result.result}${asked} bytes`;
}

/** Of an operation that moves no bytes. */
function reportOther(result: AioResult, target: TargetIdentity): Error {
  const { verb, syscall } = OPERATION_ROWS[result.operationId] ?? OPERATIONS.fsync;
  return systemError(result.errorData, `could not ${verb} ${target.describe()}`, { syscall });
}

/**
 * Where in the file the IO was; null for an IO about another target, whose words mean something
 * else.
 */
function rangeOf(
  targetData: Int32Array,
  target: TargetIdentity,
): { offset: number; length: number } | null {
  if (!target.isFile) return null;
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
