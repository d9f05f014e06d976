/**
 * flush.ts: how `sync`, `syncData` and `flushRange` become IOs of the core.
 *
 * A failed flush is never tried again: the system may have marked the data clean, and a second try
 * would then report a success that is none. So once one has failed all others fail, too:
 * flush_failure.ts.
 *
 * @module
 */

import { OPERATIONS, shown } from "../../core/inside.ts";
import type { AioCore, AioReturn } from "../../core/mod.ts";
import { abortable } from "./abortable.ts";
import type { FlushFailure } from "./flush_failure.ts";
import { type PlainIo, type PlainIoFile, runPlain, runPlainSync } from "./plain_io.ts";

/** Which flush, and of what: without operands, of the file. */
export interface Flush extends PlainIo {
  /** Which. */
  readonly operation: "fsync" | "fdatasync" | "flush_range";
}

/** The system call of a flush, for errors. */
function callOf({ operation }: Flush): string {
  return OPERATIONS[operation].syscall;
}

/** What a flush needs of its file. */
export interface FlushFile extends PlainIoFile {
  /** Its path, for errors. */
  readonly path: string;
  /** What became of its flushes, of all threads. */
  readonly flushFailure: FlushFailure;
  /** Whether the system may forget that a write is to be a flush as well. */
  readonly forgetsDsync: boolean;
  /** Refuses a call after the file was closed. */
  checkOpen(verb: string): void;
}

/** Flushes, awaiting it. @throws what the system says, or the signal's reason */
export async function flush(
  aio: AioCore,
  file: FlushFile,
  what: Flush,
  signal: AbortSignal | undefined,
): Promise<void> {
  file.checkOpen("sync");
  await flushBegun(aio, file, what, signal);
}

/** The same as a part of a call that has begun, also while the file is being closed. */
export async function flushBegun(
  aio: AioCore,
  file: FlushFile,
  what: Flush,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const done = run(aio, file, what, signal);
  try {
    await (signal === undefined ? done : abortable(done, signal));
  } catch (error) {
    throw file.flushFailure.noteTold(error);
  }
}

async function run(
  aio: AioCore,
  file: FlushFile,
  what: Flush,
  signal: AbortSignal | undefined,
): Promise<void> {
  // The descriptor must outlive the look for other flushes, too.
  file.begin();
  try {
    check(file, await runPlain(aio, file, what, signal), what);
    await file.flushFailure.settle(cannotSync, callOf(what));
  } finally {
    file.end();
  }
}

/** Flushes, blocking. @throws what the system says */
export function flushSync(aio: AioCore, file: FlushFile, what: Flush): void {
  file.checkOpen("sync");
  const ret = runPlainSync(aio, file, what);
  try {
    check(file, ret, what);
    file.flushFailure.settleSync(cannotSync, callOf(what));
  } catch (error) {
    throw file.flushFailure.noteTold(error);
  }
}

/** Makes the data of a file durable for whoever wrote it, also while the file is being closed. */
export function flushWritten(aio: AioCore, file: FlushFile): Promise<void> {
  return run(aio, file, { operation: "fdatasync" }, undefined);
}

function check(file: FlushFile, ret: AioReturn, what: Flush): void {
  if (ret.result.status !== "error") return;
  throw file.flushFailure.error(ret.result.errorData, cannotSync, callOf(what));
}

function cannotSync(path: string): string {
  return `Cannot sync ${shown(path)}`;
}

/** Says once a write is done whether a flush is due, as it was made without its flag. */
type Flagged = { readonly isFlushOwed: boolean } | null;

/** Whether a write that is done is not durable yet. @param flagged null: by `O_DSYNC` */
function isFlushOwed(file: FlushFile, flagged: Flagged): boolean {
  return flagged === null ? file.forgetsDsync : flagged.isFlushOwed;
}

/**
 * Awaits a write that is a flush as well: by `O_DSYNC`, or by a flag. A flush follows where the
 * system has refused the flag, or forgets such a write.
 *
 * @param flagged null: by `O_DSYNC`
 * @returns its value
 */
export async function flushedWrite<T>(
  aio: AioCore,
  file: FlushFile,
  flagged: Flagged,
  written: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  file.begin();
  try {
    const done = await written;
    if (!isFlushOwed(file, flagged)) {
      await file.flushFailure.settle(cannotWrite, "pwritev");
      return done;
    }
    const flushed = run(aio, file, { operation: "fdatasync" }, signal);
    await (signal === undefined ? flushed : abortable(flushed, signal));
    return done;
  } catch (error) {
    throw file.flushFailure.noteTold(error);
  } finally {
    file.end();
  }
}

/** The same, blocking. */
export function flushedWriteSync(
  aio: AioCore,
  file: FlushFile,
  flagged: Flagged,
  write: () => number,
): number {
  try {
    const bytes = write();
    if (isFlushOwed(file, flagged)) flushSync(aio, file, { operation: "fdatasync" });
    else file.flushFailure.settleSync(cannotWrite, "pwritev");
    return bytes;
  } catch (error) {
    throw file.flushFailure.noteTold(error);
  }
}

function cannotWrite(path: string): string {
  return `Cannot make a write to ${shown(path)} durable`;
}
