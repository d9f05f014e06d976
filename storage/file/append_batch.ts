/**
 * append_batch.ts: appends that one transfer writes: how they get into a row, and what becomes of
 * those whose memory its caller has taken away.
 *
 * @module
 */

import { called } from "../../core/inside.ts";
import { changedBuffer } from "./append_error.ts";
import { totalBytes } from "./view_cursor.ts";

/** One append that is not over. */
export interface Append {
  readonly views: readonly Uint8Array[];
  readonly bytes: number;
  readonly isDurable: boolean;
  readonly resolve: (offset: number | Promise<number>) => void;
  /** Ends its listening to a signal. */
  ignoreAbort: () => void;
  /** Its promise has rejected, though its bytes are written. */
  isGivenUp: boolean;
}

/** Appends that one transfer writes. */
export interface Batch {
  appends: Append[];
  bytes: number;
}

/** One that is written, and where. */
export interface WholeAppend {
  readonly append: Append;
  readonly offset: number;
}

/** One that is not written, and where it was to be in the place of its batch. */
export interface FailedAppend {
  readonly append: Append;
  readonly at: number;
}

/** What became of the write of a batch. */
export interface Written {
  /** Bytes, from the beginning of its place. */
  readonly bytes: number;
  /** Why it was not all of them; null: it was. */
  readonly error: unknown;
}

/** Whether all of a batch are to be durable. */
export function areDurable({ appends }: Batch): boolean {
  return appends.every(({ isDurable }) => isDurable);
}

/** Copies all of a batch in a row. @returns false if a buffer is no longer what it was */
export function tryCopy({ appends, bytes }: Batch, target: Uint8Array): boolean {
  let at = 0;
  try {
    for (const { views } of appends) {
      for (const view of views) {
        target.set(view, at);
        at += view.byteLength;
      }
    }
  } catch {
    return false;
  }
  return at === bytes;
}

/** Rejects those of a batch whose buffers are no longer what they were; the others go on. */
export function rejectChanged(batch: Batch): void {
  batch.appends = batch.appends.filter((append) => {
    if (totalBytes(append.views) === append.bytes) return true;
    batch.bytes -= append.bytes;
    append.ignoreAbort();
    reject(append, changedBuffer());
    return false;
  });
}

/** Waits for the write of a batch. */
export async function outcomeOf(writing: Promise<number>): Promise<Written> {
  try {
    return { bytes: await writing, error: null };
  } catch (error) {
    const bytes = error instanceof Error && "bytesWritten" in error ? error.bytesWritten : 0;
    return { bytes: Number(bytes), error };
  }
}

/** The bytes of those appends of a batch that were written whole. */
export function wholeBytes({ appends }: Batch, bytesWritten: number): number {
  let whole = 0;
  for (const { bytes } of appends) {
    if (whole + bytes > bytesWritten) break;
    whole += bytes;
  }
  return whole;
}

/** Nobody hears of one that was given up. */
export function reject(append: Append, error: unknown): void {
  if (!append.isGivenUp) append.resolve(called(Promise.reject(error)));
}
