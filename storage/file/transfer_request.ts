/**
 * transfer_request.ts: what a user asked for, and what the outcome of one IO means for it: go on,
 * try again, done, or an error in words.
 *
 * @module
 */

import {
  checkEnd,
  errnos,
  type FileSlot,
  isAligned,
  systemError,
  TRANSFER_BYTES_MAX,
} from "../../core/inside.ts";
import type { AioHandle, AioReturn, StartOptions, SystemError } from "../../core/mod.ts";
import { type AddressOf, type Alignment, misaligned, misalignmentOfAll } from "./alignment.ts";
import { checkViews, totalBytes, ViewCursor } from "./view_cursor.ts";

const { EAGAIN, EINTR, EOPNOTSUPP } = errnos;

/** Which way the bytes go. */
export type Direction = "read" | "write";

/** An open file whose transfers go through the page cache. */
export interface BufferedFile extends FileSlot {
  /** Its descriptor. */
  readonly fd: number;
}

/** What a transfer needs of its file. */
export interface TransferFile {
  /** Its path, for errors. */
  readonly path: string;
  /** What errors call it: its path, in quotes, or what it is a part of. */
  readonly shownName: string;
  /** Whether `O_DIRECT` is in force. */
  readonly direct: boolean;
  /** What addresses and offsets must be multiples of. */
  readonly alignment: Alignment;
  /** Where what is in the page cache may be read without an IO. */
  readonly buffered?: BufferedFile | null;
  /** Bytes of it now. */
  sizeSync(): number;
  /** Starts one IO of it. */
  start(direction: Direction, handle: AioHandle, offset: number, options?: StartOptions): void;
  /** Counts an operation that the descriptor must outlive. */
  begin(): void;
  /** The end of what `begin` counted. */
  end(): void;
  /**
   * Gives up what a transfer should have been beside where it goes, as the system has refused
   * that.
   *
   * @param before how often that has happened to this transfer
   * @returns whether the same call is worth another try
   */
  giveUpRefused?(before: number): boolean;
  /** A write reaches so far, of one IO that is executed in the call that starts it. */
  reaches?(end: number): void;
  /**
   * A write begins that is not one IO, or not at once: until {@linkcode endWrite} appends keep
   * behind all of it.
   */
  beginWrite?(end: number): void;
  /** Such a write is over. */
  endWrite?(end: number): void;
  /**
   * Any write has failed, and is over: appends need not keep behind it.
   *
   * @returns null if there is nothing to do, as no thread appends to the file
   */
  settleFailed?(): Promise<void> | null;
  /** The same, blocking. */
  settleFailedSync?(): void;
}

/** One transfer that a user asked for. */
export interface TransferRequest {
  /** The file. */
  readonly file: TransferFile;
  /** Which way. */
  readonly direction: Direction;
  /** From or to where. */
  readonly cursor: ViewCursor;
  /** Where in the file it begins. */
  readonly offset: number;
  /** Whether all views are memory that the kernel may keep. */
  readonly isStraight: boolean;
  /** Ends the wait for it. */
  readonly signal?: AbortSignal | undefined;
  /** How often the system has refused what it should have been beside where it goes. */
  refusals?: number;
  /** Whether it is the rest of a write for which `beginWrite` was called: when it came short. */
  hasBegun?: boolean;
}

/**
 * Checks the buffers of a transfer.
 *
 * @param addressOf where memory is that the kernel may keep
 * @throws {TypeError} or {RangeError} for buffers that cannot be transferred there
 */
export function transferRequest(
  file: TransferFile,
  direction: Direction,
  buffers: Uint8Array | readonly Uint8Array[],
  offset: number,
  addressOf: AddressOf,
  signal?: AbortSignal,
): TransferRequest {
  const views = checkViews(direction, buffers);
  const total = totalBytes(views);
  checkEnd(direction, offset, total);
  let isStraight = views.every((view) => addressOf(view) >= 0);
  if (file.direct) {
    const problem = misalignmentOfAll(file.alignment, views, offset, total, addressOf);
    // Over the end of the file a read is rounded up, which takes space of its own.
    if (problem !== null && !isReadOverEnd(file, direction, offset, total)) {
      throw misaligned(file.alignment, direction, file.path, offset, total, problem);
    }
    isStraight &&= problem === null;
  }
  return { file, direction, cursor: new ViewCursor(views), offset, isStraight, signal };
}

function isReadOverEnd(
  file: TransferFile,
  direction: Direction,
  offset: number,
  total: number,
): boolean {
  if (direction !== "read" || !isAligned(offset, file.alignment.offset)) return false;
  return !isAligned(total, file.alignment.offset) && offset + total >= file.sizeSync();
}

/** How often in a row a call is made again that was interrupted or found no room. */
const RETRIES_MAX = 1000;

/** Bytes, or -errno: the file callbacks keep the error number. */
export function outcomeOf(ret: AioReturn): number {
  const { result } = ret;
  return result.status === "error" ? -result.errorData : result.result;
}

/** Moves the cursor over what one IO did, taking the bytes out of the bounce space first. */
export function advance(
  request: TransferRequest,
  outcome: number,
  bounce: Uint8Array | null,
): number {
  if (outcome <= 0) return outcome;
  const { cursor, direction } = request;
  const bytes = Math.min(outcome, cursor.remaining);
  if (bounce !== null && direction === "read") cursor.copyFrom(bounce.subarray(0, bytes));
  cursor.advance(bytes);
  return outcome;
}

/** Whether a transfer whose only IO has done less than all may go on. */
export function mayGoOn(outcome: number): boolean {
  return outcome > 0 || isRetry(outcome) || outcome === -EOPNOTSUPP;
}

/** Whether the system asks for the same call again. */
export function isRetry(outcome: number): boolean {
  return outcome === -EINTR || outcome === -EAGAIN;
}

/**
 * Whether a transfer is over after an IO.
 *
 * @throws if the IO failed, or a write gets nowhere
 */
export function isEnd(request: TransferRequest, outcome: number, retries: number): boolean {
  const { direction, cursor, file, offset } = request;
  if (isRetry(outcome) && retries <= RETRIES_MAX) return false;
  if (outcome === -EOPNOTSUPP && file.giveUpRefused?.(request.refusals ?? 0) === true) {
    request.refusals = (request.refusals ?? 0) + 1;
    return false;
  }
  if (outcome < 0) throw withProgress(request, transferError(request, -outcome));
  if (cursor.remaining === 0) return true;
  if (direction === "read") {
    // A direct read that ends unaligned has met the end of the file, and could not go on anyway.
    return outcome === 0 || !isAligned(offset + cursor.done, file.alignment.offset);
  }
  if (outcome > 0 && isAligned(offset + cursor.done, file.alignment.offset)) return false;
  const message = `${what(request)}: wrote only ${cursor.done} of ${cursor.total} bytes`;
  const error = new Deno.errors.WriteZero(message);
  throw withProgress(request, Object.assign(error, { syscall: "pwritev" }));
}

function what({ direction, file, cursor, offset }: TransferRequest): string {
  return `Cannot ${direction} ${cursor.total} bytes at offset ${offset} of ${file.shownName}`;
}

function transferError(request: TransferRequest, errno: number): SystemError {
  const { direction, file, cursor, offset } = request;
  return systemError(errno, what(request), {
    syscall: direction === "read" ? "preadv" : "pwritev",
    path: file.path,
    offset,
    length: cursor.total,
  });
}

/** The error of a transfer that the end of its Aio overtook. */
export function closedMeanwhile(request: TransferRequest, cause: unknown): Error {
  return new Deno.errors.BadResource(`${what(request)}: aio was closed meanwhile`, { cause });
}

/** An error that ended a write tells how much of it was written, whatever the error is. */
export function withProgress(request: TransferRequest, error: unknown): unknown {
  const { direction, cursor, offset, file } = request;
  if (direction !== "write" || !(error instanceof Error)) return error;
  const { path } = file;
  return Object.assign(error, { path, offset, length: cursor.total, bytesWritten: cursor.done });
}

/**
 * Whether a buffer is one that a single IO can do; one that cannot is refused or split elsewhere.
 */
export function isOneIo(buffer: Uint8Array): boolean {
  return buffer.byteLength > 0 && buffer.byteLength <= TRANSFER_BYTES_MAX;
}

/** After a write that has failed: see `TransferFile.settleFailed`. @returns null: nothing to do */
export function settleFailed(file: TransferFile, direction: Direction): Promise<void> | null {
  return direction === "write" ? file.settleFailed?.() ?? null : null;
}
