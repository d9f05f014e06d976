/**
 * operation.ts: what an IO can do, how it is defined on a handle, and how it is done at once.
 *
 * @module
 */

import { EINVAL } from "../../ffi/errno.ts";
import * as system from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import * as addresses from "../../ffi/memory.ts";
import type { OperationName } from "./callback.ts";
import * as flags from "./handle_flag.ts";
import { refuseDescriptor, refuseEnd, refuseOffset, refuseTransfer } from "./refusals.ts";
import * as layout from "../memory/shared_memory.ts";
import type { Control } from "../memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { IOVEC_WORDS, TRANSFER_BYTES_MAX } = system;
const { highWord, lowWord } = addresses;
const { BEGUN_BIT } = flags;
const { HANDLE } = layout;

/** None yet. */
export const OP_INVALID = 0;
/** Reads into the handle's iovec. */
export const OP_READV = 1;
/** Writes the handle's iovec. */
export const OP_WRITEV = 2;
/** Makes a file's data and metadata durable. */
export const OP_FSYNC = 3;
/** Makes a file's data durable, and of its metadata what reading it back needs. */
export const OP_FDATASYNC = 4;

/** Has the system begin to write a range of a file back. */
export const OP_FLUSH_RANGE = 5;

/** The operations by number. */
export const OPERATION_NAMES: readonly OperationName[] = [
  "invalid",
  "readv",
  "writev",
  "fsync",
  "fdatasync",
  "flush_range",
];

/**
 * Refuses a file descriptor or an offset that cannot be one.
 *
 * @throws {TypeError} if either is not a number
 * @throws {RangeError} if either is out of its range
 */
export function checkPosition(call: string, fd: number, offset: number): void {
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff) refuseDescriptor(call, fd);
  checkOffset(call, offset);
}

/**
 * Refuses an offset that is negative, no integer, or too large to be exact.
 *
 * @throws {TypeError} if it is not a number
 * @throws {RangeError} if it is out of its range
 */
export function checkOffset(call: string, offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) refuseOffset(call, offset);
}

/**
 * Refuses a transfer that ends beyond what the kernel, or a Number, can address.
 *
 * @throws {RangeError} if it does
 */
export function checkTransfer(call: string, offset: number, length: number): void {
  if (length > TRANSFER_BYTES_MAX || offset + length > Number.MAX_SAFE_INTEGER) {
    refuseTransfer(call, offset, length);
  }
}

/**
 * Refuses what ends beyond what a Number holds exactly, however many IOs it takes.
 *
 * @throws {RangeError} if it does
 */
export function checkEnd(call: string, offset: number, length: number): void {
  if (offset + length > Number.MAX_SAFE_INTEGER) refuseEnd(call, offset, length);
}

/** Writes the operation's data into the handle. */
export function defineOperation(
  words: Int32Array,
  base: number,
  op: number,
  fd: number,
  offset: number,
): void {
  words[base + HANDLE.operation] = op;
  words[base + HANDLE.fd] = fd;
  words[base + HANDLE.offsetLow] = lowWord(offset);
  words[base + HANDLE.offsetHigh] = highWord(offset);
  words[base + HANDLE.rawResult] = 0;
}

/** Writes one entry of a handle's iovec. */
export function writeIovec(words: Int32Array, at: number, address: number, length: number): void {
  words[at + IOVEC_WORDS.baseLow] = lowWord(address);
  words[at + IOVEC_WORDS.baseHigh] = highWord(address);
  words[at + IOVEC_WORDS.lengthLow] = length | 0;
  words[at + IOVEC_WORDS.lengthHigh] = 0;
}

/**
 * Does an IO in this thread, now. Retries nothing: what the system says is the result.
 *
 * @param libc does the calls
 * @param control where the handle is
 * @param base of the handle
 * @param iovec the handle's iovec as bytes
 * @returns bytes, or 0 for a flush, or -errno
 */
export function performSynchronously(
  libc: Libc,
  control: Control,
  base: number,
  iovec: Uint8Array,
): number {
  const words = control.words;
  const fd = words[base + HANDLE.fd]!;
  const count = words[base + HANDLE.iovecLength]!;
  switch (words[base + HANDLE.operation]) {
    case OP_READV:
      return libc.preadv(fd, iovec, count, control.longs[(base + HANDLE.offsetLow) >> 1]!);
    case OP_WRITEV:
      words[base + HANDLE.flags]! |= BEGUN_BIT;
      return libc.pwritev(fd, iovec, count, control.longs[(base + HANDLE.offsetLow) >> 1]!);
    case OP_FSYNC:
      words[base + HANDLE.flags]! |= BEGUN_BIT;
      return libc.fsync(fd);
    case OP_FDATASYNC:
      words[base + HANDLE.flags]! |= BEGUN_BIT;
      return libc.fdatasync(fd);
    case OP_FLUSH_RANGE:
      words[base + HANDLE.flags]! |= BEGUN_BIT;
      return libc.flushRange(
        fd,
        control.longs[(base + HANDLE.offsetLow) >> 1]!,
        words[base + HANDLE.length]!,
      );
    default:
      return -EINVAL;
  }
}
