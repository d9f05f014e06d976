/**
 * copy_range.ts: how `copyRangeTo` copies from file to file: by the kernel, off the thread, piece
 * by piece; or, where the kernel cannot, by reads and writes of the two files.
 *
 * ```text
 * the target's end moved ─► a piece: copy_file_range ─┬─► the next piece
 *                                                    ├─ 0 bytes, or refused: from here on by
 *                                                    │  reads and writes
 *                                                    └─ an error, or too few: the end is settled
 * ```
 *
 * A kernel that copies 0 bytes need not be at the end of the source: files of `/proc` have no size.
 * So the end is where a read finds it.
 *
 * @module
 */

import {
  alignUp,
  checkEnd,
  checkOffset,
  errnos,
  type Eventually,
  type FileCalls,
  get,
  isAligned,
  runSteps,
  runStepsSync,
  shown,
  type Steps,
  systemError,
} from "../../core/inside.ts";
import { abortable } from "./abortable.ts";
import type { FileInside } from "./file_inside.ts";
import type { TransferOptions } from "./file_parts.ts";
import { flushedWrite, flushedWriteSync } from "./flush.ts";
import { checkNames } from "./option_names.ts";
import { transferRequest } from "./transfer_request.ts";

/**
 * Most bytes that the kernel copies in one call, which no signal ends: a multiple of all blocks, so
 * that file systems which share blocks can share all of them.
 */
const PIECE_BYTES = 64 * 1024 * 1024;
/** Most bytes that are read, and then written. */
const READ_BYTES = 1024 * 1024;
/** How often in a row a call is made again that was interrupted or found no room. */
const RETRIES_MAX = 1000;

/** What the kernel says where these two files are not for it. */
const REFUSALS: ReadonlySet<number> = new Set([
  errnos.EXDEV,
  errnos.EOPNOTSUPP,
  errnos.EINVAL,
  errnos.ENOSYS,
]);

/** What is copied where, checked. */
export interface Copy {
  readonly source: FileInside;
  readonly target: FileInside;
  readonly offset: number;
  readonly targetOffset: number;
  readonly length: number;
}

/** How it is done: awaited, or blocking. */
interface CopyForms {
  /** The calls of the system. */
  readonly calls: FileCalls;
  /** Reads from the source. */
  read(into: Uint8Array, offset: number): Eventually<number>;
  /** Writes to the target. */
  write(from: Uint8Array, offset: number): Eventually<number>;
}

/**
 * Copies, awaiting it.
 *
 * @returns bytes
 * @throws what the system says, or the signal's reason
 */
export async function copyRange(
  copy: Copy,
  options: TransferOptions | undefined,
): Promise<number> {
  checkCopy(copy, options);
  const signal = options?.signal;
  signal?.throwIfAborted();
  const done = run(copy, signal);
  return await (signal === undefined ? done : abortable(done, signal));
}

async function run(copy: Copy, signal: AbortSignal | undefined): Promise<number> {
  const { source, target } = copy;
  source.begin();
  target.begin();
  try {
    return await runSteps(copySteps(copy, awaitedForms(copy), signal));
  } finally {
    target.end();
    source.end();
  }
}

/** The same, blocking. */
export function copyRangeSync(copy: Copy): number {
  checkCopy(copy, undefined);
  return runStepsSync(copySteps(copy, blockingForms(copy), undefined));
}

/** Transfers as of `readAt` and `writeAt`, also while the files are being closed. */
function awaitedForms({ source, target }: Copy): CopyForms {
  return {
    calls: target.calls.awaited,
    read: (into, offset) =>
      source.transfers.runSlowly(transferRequest(source, "read", into, offset, source.addressOf)),
    write(from, offset) {
      const { transfers } = target;
      const request = transferRequest(target, "write", from, offset, target.addressOf);
      const written = transfers.runSlowly(request);
      if (!target.isDurable) return written;
      return flushedWrite(transfers.aio, target, null, written, undefined);
    },
  };
}

function blockingForms({ source, target }: Copy): CopyForms {
  return {
    calls: target.calls.blocking,
    read: (into, offset) =>
      source.transfers.runSync(transferRequest(source, "read", into, offset, source.addressOf)),
    write(from, offset) {
      const { transfers } = target;
      const request = transferRequest(target, "write", from, offset, target.addressOf);
      if (!target.isDurable) return transfers.runSync(request);
      return flushedWriteSync(transfers.aio, target, null, () => transfers.runSync(request));
    },
  };
}

function* copySteps(
  copy: Copy,
  forms: CopyForms,
  signal: AbortSignal | undefined,
): Steps<number> {
  const { source, target, targetOffset, length } = copy;
  const { calls } = forms;
  const progress: Progress = { done: 0, until: length, signal };
  let end = targetOffset + length;
  target.beginWrite(end);
  try {
    const { size } = yield* get(calls.stat(source.fd, source.path));
    progress.until = untilOf(copy, size);
    // What is not there is not copied, and would be a hole before the next append. Nor is what
    // comes there meanwhile: such an append would be written over.
    if (progress.until < length) {
      const before = end;
      end = progress.until === 0 ? 0 : targetOffset + progress.until;
      yield* target.narrowWrite(calls, before, end);
    }
    // A durable write hears of writes that were lost before: then the file must remember that.
    const answer = target.isDurable ? 0 : yield* copyByKernel(copy, calls, progress);
    if (canRead(copy, progress)) yield* copyByTransfers(copy, forms, progress);
    else if (answer < 0) throw copyError(copy, -answer);
    return progress.done;
  } catch (error) {
    throw signal?.aborted === true ? error : withProgress(error, progress.done);
  } finally {
    target.endWrite(end);
    if (progress.done < length) yield* target.settleFailedSteps(calls);
  }
}

/** Where a copy ends at the latest, from its beginning: a file that says it is empty may not be. */
function untilOf({ source, target, offset, length }: Copy, size: number): number {
  if (size === 0) return length;
  const unit = Math.max(source.alignment.offset, target.alignment.offset);
  return Math.min(length, alignUp(Math.max(0, size - offset), unit));
}

/** How far a copy is, and goes. */
interface Progress {
  done: number;
  until: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Has the kernel copy, as far as it can.
 *
 * @returns 0 where that is all, or there was no more; -errno where these files are not for it
 */
function* copyByKernel(
  { source, target, offset, targetOffset, length }: Copy,
  calls: FileCalls,
  progress: Progress,
): Steps<number> {
  for (let retries = 0; progress.done < progress.until;) {
    progress.signal?.throwIfAborted();
    const { done, until } = progress;
    const from = { fd: source.fd, offset: offset + done };
    const to = { fd: target.fd, offset: targetOffset + done };
    const bytes = Math.min(until - done, PIECE_BYTES);
    const copied = yield* get(calls.copyRange(from, to, bytes));
    if (copied > 0) {
      progress.done += copied;
      target.reaches(targetOffset + progress.done);
      retries = 0;
    } else if (!isRetry(copied) || ++retries > RETRIES_MAX) {
      if (copied === 0 || REFUSALS.has(-copied)) return copied;
      throw copyError({ source, target, offset, targetOffset, length }, -copied);
    }
  }
  return 0;
}

/** Whether there may be more for a read: within a block a direct file ends. */
function canRead({ source, offset }: Copy, { done }: Progress): boolean {
  return isAligned(offset + done, source.alignment.offset);
}

/** Copies by reads and writes, to the end of the source. */
function* copyByTransfers(
  copy: Copy,
  { read, write }: CopyForms,
  progress: Progress,
): Steps<void> {
  const { source, offset, targetOffset } = copy;
  const { until } = progress;
  const bytesMax = Math.min(until - progress.done, READ_BYTES);
  // Of a direct file whole blocks are read, also over its end.
  const buffer = new Uint8Array(alignUp(bytesMax, source.alignment.offset));
  while (progress.done < until && canRead(copy, progress)) {
    progress.signal?.throwIfAborted();
    const { done } = progress;
    const there = Math.min(until - done, yield* get(read(buffer, offset + done)));
    if (there === 0) return;
    progress.done += yield* get(write(buffer.subarray(0, there), targetOffset + done));
  }
}

function isRetry(result: number): boolean {
  return result === -errnos.EINTR || result === -errnos.EAGAIN;
}

function copyError(copy: Copy, errno: number): Error {
  const { target: { path }, targetOffset: offset, length } = copy;
  return systemError(errno, wordsOf(copy), { syscall: "copy_file_range", path, offset, length });
}

/** An error tells how much was copied before: that of a write tells what it wrote itself. */
function withProgress(error: unknown, done: number): unknown {
  if (!(error instanceof Error)) return error;
  const written = "bytesWritten" in error ? Number(error.bytesWritten) : 0;
  return Object.assign(error, { bytesWritten: done + written });
}

function wordsOf({ source, target, offset, targetOffset, length }: Copy): string {
  return `Cannot copy ${length} bytes at offset ${offset} of ${shown(source.path)} to offset ` +
    `${targetOffset} of ${shown(target.path)}`;
}

function checkCopy(copy: Copy, options: TransferOptions | undefined): void {
  const { source, target, offset, targetOffset, length } = copy;
  source.checkOpenFor("read", "copy from");
  target.checkOpenFor("write", "copy to");
  checkOffset("copy", offset);
  checkOffset("put a copy", targetOffset);
  if (!Number.isSafeInteger(length) || length <= 0) refuseLength(length);
  checkEnd("copy", Math.max(offset, targetOffset), length);
  if (options !== undefined) checkNames(wordsOf(copy), options, ["signal"]);
  if (source.isSameAs(target) && Math.abs(offset - targetOffset) < length) {
    throw new RangeError(
      `${wordsOf(copy)}: the two ranges of this file overlap; read all of it before you write it`,
    );
  }
  checkAligned(copy, source, offset);
  checkAligned(copy, target, targetOffset);
}

function checkAligned(copy: Copy, { direct, alignment, path }: FileInside, offset: number): void {
  const { offset: unit } = alignment;
  if (!direct || isAligned(offset, unit) && isAligned(copy.length, unit)) return;
  throw new RangeError(
    `${wordsOf(copy)}: ${
      shown(path)
    } is open with "direct", so its offset and the length must be ` +
      `multiples of ${unit}; open it without`,
  );
}

/** A target that is no open file. */
export function refuseTarget(path: string, target: unknown): never {
  throw new TypeError(
    `Cannot copy from ${shown(path)} to ${shown(target)}: pass a file of aio.openFile()`,
  );
}

function refuseLength(length: number): never {
  const message = `Cannot copy ${shown(length)} bytes: lengths are integers from 1 to ` +
    `${Number.MAX_SAFE_INTEGER}`;
  throw typeof length === "number" ? new RangeError(message) : new TypeError(message);
}
