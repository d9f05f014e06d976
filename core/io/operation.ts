/**
 * operation.ts: how an operation is checked, defined on a handle, and executed in this thread.
 * Which there are is in operation_table.ts.
 *
 * @module
 */

import { EINVAL } from "../../ffi/errno.ts";
import * as system from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import * as addresses from "../../ffi/memory.ts";
import * as flags from "./handle_flag.ts";
import {
  OPERATION_ROWS,
  type OperationRow,
  OPERATIONS,
  type Perform,
  type StartedName,
} from "./operation_table.ts";
import * as refusals from "./refusals.ts";
import { refuseDescriptor, refuseEnd, refuseOffset, refuseTransfer } from "./refusals.ts";
import * as layout from "../memory/shared_memory.ts";
import type { Control } from "../memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { IOVEC_WORDS, TRANSFER_BYTES_MAX } = system;
const { fromWords, highWord, lowWord } = addresses;
const { BEGUN_BIT } = flags;
const { HANDLE } = layout;

/** What an operation is started with; its row says which of these it takes. */
export interface Operands {
  /** Where in the file, in bytes. */
  readonly offset?: number;
  /** How much, in bytes: for an operation without buffers. */
  readonly length?: number;
  /** As the system call has them; default: 0. */
  readonly flags?: number;
}

/** By number: how a thread executes it. */
const PERFORM: readonly Perform[] = OPERATION_ROWS.map((row) => row?.perform ?? (() => -EINVAL));
/** By number: whether the handle must say that a thread has begun, in case that one dies. */
const IS_MARKED: readonly boolean[] = OPERATION_ROWS.map((row) =>
  row !== null && (!row.mayRepeat || row.tellsLostWrites !== "never")
);

/**
 * The row of an operation that is started by its name.
 *
 * @throws {TypeError} if there is no such operation
 */
export function rowNamed(name: StartedName): OperationRow {
  // What every object inherits has names, too.
  return Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : refusals.refuseOperation(name);
}

/**
 * Refuses what an operation does not take, and a length or flags that cannot be such. The offset is
 * for {@linkcode checkPosition}.
 *
 * @throws {TypeError} for one too many, and for what is not a number
 * @throws {RangeError} for a number out of its range
 */
export function checkOperands(call: string, row: OperationRow, operands: Operands): void {
  const { offset, length, flags } = operands;
  const hasLength = row.range && row.moves === null;
  if (!row.range && offset !== undefined) refusals.refuseOperand(call, "offset");
  if (!hasLength && length !== undefined) refusals.refuseOperand(call, "length");
  if (!row.hasFlags && flags !== undefined) refusals.refuseOperand(call, "flags");
  if (hasLength) checkLength(call, offset!, length!);
  if (flags !== undefined && flags !== flags >>> 0) refusals.refuseFlags(call, flags);
}

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

/** Refuses a length that is negative, no integer, or ends beyond what a Number holds exactly. */
function checkLength(call: string, offset: number, length: number): void {
  if (!Number.isSafeInteger(length) || length < 0) refusals.refuseLength(call, length);
  checkEnd(call, offset, length);
}

/** Writes what every operation has into the handle. */
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

/** Writes what only some operations have: reads and writes of a file have no length. */
export function defineArguments(
  words: Int32Array,
  base: number,
  length: number,
  flags: number,
): void {
  words[base + HANDLE.argumentLow] = lowWord(length);
  words[base + HANDLE.argumentHigh] = highWord(length);
  words[base + HANDLE.argumentFlags] = flags;
}

/** Where an IO begins in its file, and how many bytes it is about; null: it is about no range. */
export function rangeIn(
  words: Int32Array,
  base: number,
): { readonly offset: number; readonly length: number } | null {
  const row = OPERATION_ROWS[words[base + HANDLE.operation]!] ?? null;
  if (row === null || !row.range) return null;
  return {
    offset: fromWords(words[base + HANDLE.offsetLow]!, words[base + HANDLE.offsetHigh]!),
    length: row.moves === null
      ? fromWords(words[base + HANDLE.argumentLow]!, words[base + HANDLE.argumentHigh]!)
      : words[base + HANDLE.length]!,
  };
}

/** Writes one entry of a handle's iovec. */
export function writeIovec(words: Int32Array, at: number, address: number, length: number): void {
  words[at + IOVEC_WORDS.baseLow] = lowWord(address);
  words[at + IOVEC_WORDS.baseHigh] = highWord(address);
  words[at + IOVEC_WORDS.lengthLow] = length | 0;
  words[at + IOVEC_WORDS.lengthHigh] = 0;
}

/**
 * Executes an IO in this thread, now. Retries nothing: what the system says is the result.
 *
 * @param libc does the calls
 * @param control where the handle is
 * @param base of the handle
 * @param iovec the handle's iovec as bytes
 * @returns bytes, or 0 for what moves none, or -errno
 */
export function performSynchronously(
  libc: Libc,
  control: Control,
  base: number,
  iovec: Uint8Array,
): number {
  const { words } = control;
  const operation = words[base + HANDLE.operation]!;
  if (IS_MARKED[operation]) words[base + HANDLE.flags]! |= BEGUN_BIT;
  return (PERFORM[operation] ?? PERFORM[0]!)(libc, control, base, iovec);
}
