/**
 * operation_table.ts: the operations, one row each. What differs from one operation to the next is
 * said here: what a thread is blocked in, the words of its errors, which counters and columns of
 * views it moves, whether it may be executed once more after a death, and by which call a thread
 * executes it.
 *
 * A new operation is a name and a row here, its call in ffi/libc.ts, and its entry in
 * methods/io_uring/submission.ts, where the compiler finds that it is missing.
 *
 * @module
 */

import type { Libc } from "../../ffi/libc.ts";
import * as layout from "../memory/shared_memory.ts";
import type { Control } from "../memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { HANDLE } = layout;

/** The name of an operation that can be started. */
export type StartedName =
  | "readv"
  | "writev"
  | "fsync"
  | "fdatasync"
  | "flush_range"
  | "fallocate"
  | "fadvise";
/** An operation's name; `"invalid"` is that of a handle which has none yet. */
export type OperationName = "invalid" | StartedName;
/** What a thread is blocked in while it executes an operation itself. */
export type OperationWaitEvent =
  | "DataFileRead"
  | "DataFileWrite"
  | "DataFileSync"
  | "DataFileExtend"
  | "DataFilePrefetch";

/**
 * Executes an IO in this thread, now.
 *
 * @param libc makes the call
 * @param control where the handle is
 * @param base of the handle
 * @param iovec the handle's iovec as bytes
 * @returns bytes, or 0 for what moves none, or -errno
 */
export type Perform = (libc: Libc, control: Control, base: number, iovec: Uint8Array) => number;

/** What the library knows of one operation. */
export interface OperationRow {
  /**
   * Its number in the handle. The numbers go from 1 without a gap, and each stays its operation's.
   */
  readonly code: number;
  /** What a thread is blocked in while it executes the operation itself. */
  readonly waitEvent: OperationWaitEvent;
  /** What could not be done, in words: `could not fsync file "a"`. */
  readonly verb: string;
  /** The system call that its errors name. */
  readonly syscall: string;
  /** Where the bytes of its buffers go: `"in"` is a read. Null: it has no buffers. */
  readonly moves: "in" | "out" | null;
  /**
   * Whether it is about a range: an offset, and the length of its buffers or one that it is given.
   */
  readonly range: boolean;
  /** Whether it takes flags. */
  readonly hasFlags: boolean;
  /**
   * Whether its error may tell that earlier writes are lost, which the system tells once
   * (files/flush_error.ts): never, always, or where it is durable itself: by `O_DSYNC` of the file,
   * or the flag `RWF_DSYNC`.
   */
  readonly tellsLostWrites: "never" | "always" | "whenDurable";
  /**
   * Whether another thread may execute it once more where the first one has died half-way: what was
   * executed twice ends, and answers, as what was executed once.
   */
  readonly mayRepeat: boolean;
  /** How a thread executes it itself. */
  readonly perform: Perform;
}

/** The operations. */
export const OPERATIONS = {
  /** Reads into the handle's iovec. */
  readv: {
    code: 1,
    waitEvent: "DataFileRead",
    verb: "read",
    syscall: "preadv",
    moves: "in",
    range: true,
    hasFlags: true,
    tellsLostWrites: "never",
    mayRepeat: true,
    perform: transfer("preadv"),
  },
  /** Writes the handle's iovec. */
  writev: {
    code: 2,
    waitEvent: "DataFileWrite",
    verb: "write",
    syscall: "pwritev",
    moves: "out",
    range: true,
    hasFlags: true,
    tellsLostWrites: "whenDurable",
    mayRepeat: true,
    perform: transfer("pwritev"),
  },
  /** Makes a file's data and metadata durable. */
  fsync: {
    code: 3,
    waitEvent: "DataFileSync",
    verb: "fsync",
    syscall: "fsync",
    moves: null,
    range: false,
    hasFlags: false,
    tellsLostWrites: "always",
    mayRepeat: false,
    perform: (libc: Libc, control: Control, base: number): number =>
      libc.fsync(fdOf(control, base)),
  },
  /** Makes a file's data durable, and of its metadata what reading it back needs. */
  fdatasync: {
    code: 4,
    waitEvent: "DataFileSync",
    verb: "fdatasync",
    syscall: "fdatasync",
    moves: null,
    range: false,
    hasFlags: false,
    tellsLostWrites: "always",
    mayRepeat: false,
    perform: (libc: Libc, control: Control, base: number): number =>
      libc.fdatasync(fdOf(control, base)),
  },
  /** Has the system begin to write a range of a file back. */
  flush_range: {
    code: 5,
    waitEvent: "DataFileSync",
    verb: "flush dirty data of",
    syscall: "sync_file_range",
    moves: null,
    range: true,
    hasFlags: false,
    tellsLostWrites: "always",
    mayRepeat: false,
    perform: (libc: Libc, control: Control, base: number): number =>
      libc.flushRange(fdOf(control, base), offsetOf(control, base), argumentOf(control, base)),
  },
  /** Gives a range of a file its place on the device, frees it, or zeroes it: its flags say. */
  fallocate: {
    code: 6,
    waitEvent: "DataFileExtend",
    verb: "fallocate",
    syscall: "fallocate",
    moves: null,
    range: true,
    hasFlags: true,
    tellsLostWrites: "never",
    // To collapse or to insert a range twice is another change than to do so once.
    mayRepeat: false,
    perform: (libc: Libc, control: Control, base: number): number =>
      libc.allocate(
        fdOf(control, base),
        flagsOf(control, base),
        offsetOf(control, base),
        argumentOf(control, base),
      ),
  },
  /** Tells the system how a range of a file will be used: its flags are the advice. */
  fadvise: {
    code: 7,
    waitEvent: "DataFilePrefetch",
    verb: "advise on",
    syscall: "posix_fadvise",
    moves: null,
    range: true,
    hasFlags: true,
    tellsLostWrites: "never",
    mayRepeat: true,
    perform: (libc: Libc, control: Control, base: number): number =>
      libc.advise(
        fdOf(control, base),
        offsetOf(control, base),
        argumentOf(control, base),
        flagsOf(control, base),
      ),
  },
} as const satisfies Readonly<Record<StartedName, OperationRow>>;

/** The number of an operation, for a switch that the compiler finds to lack one. */
export type OperationCode = (typeof OPERATIONS)[StartedName]["code"];

/** No operation yet. */
export const OP_INVALID = 0;
/** The number of `readv`. */
export const OP_READV = OPERATIONS.readv.code;
/** The number of `writev`. */
export const OP_WRITEV = OPERATIONS.writev.code;
/** The number of `fsync`. */
export const OP_FSYNC = OPERATIONS.fsync.code;
/** The number of `fdatasync`. */
export const OP_FDATASYNC = OPERATIONS.fdatasync.code;
/** The number of `flush_range`. */
export const OP_FLUSH_RANGE = OPERATIONS.flush_range.code;

/** The number of `fallocate`. */
export const OP_FALLOCATE = OPERATIONS.fallocate.code;
/** The number of `fadvise`. */
export const OP_FADVISE = OPERATIONS.fadvise.code;

/** The names that can be started, by number from 1. */
export const STARTED_NAMES = Object.keys(OPERATIONS) as readonly StartedName[];

/** The names by number. */
export const OPERATION_NAMES: readonly OperationName[] = ["invalid", ...STARTED_NAMES];

/** The rows by number; there is none of 0. */
export const OPERATION_ROWS: readonly (OperationRow | null)[] = [
  null,
  ...STARTED_NAMES.map((name) => OPERATIONS[name]),
];

/** The file of an IO. */
function fdOf({ words }: Control, base: number): number {
  return words[base + HANDLE.fd]!;
}

/** Has a thread move the bytes of the iovec, by one of the two system calls. */
function transfer(call: "preadv" | "pwritev"): Perform {
  return (libc, control, base, iovec) => {
    const count = control.words[base + HANDLE.iovecLength]!;
    const flags = flagsOf(control, base);
    const fd = fdOf(control, base);
    const offset = offsetOf(control, base);
    return flags === 0
      ? libc[call](fd, iovec, count, offset)
      : libc[`${call}2`](fd, iovec, count, offset, flags);
  };
}

/** The flags that it was given. */
function flagsOf({ words }: Control, base: number): number {
  return words[base + HANDLE.argumentFlags]!;
}

/** Where in the file it begins, as a system call takes it. */
function offsetOf({ longs }: Control, base: number): bigint {
  return longs[(base + HANDLE.offsetLow) >> 1]!;
}

/** The length that it was given, as a system call takes it. */
function argumentOf({ longs }: Control, base: number): bigint {
  return longs[(base + HANDLE.argumentLow) >> 1]!;
}
