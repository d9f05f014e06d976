/**
 * wait_event.ts: what a thread is blocked in, as a word that other threads can read.
 *
 * The names are PostgreSQL's. A thread that awaits is not blocked: its event loop goes on.
 *
 * @module
 */

import { OP_READV, OP_WRITEV } from "./operation.ts";

/** What a backend waits for; null: nothing, its thread runs. */
export type WaitEvent =
  | "AioIoCompletion"
  | "AioIoSubmit"
  | "DataFileRead"
  | "DataFileWrite"
  | "DataFileSync";

/** Nothing. */
export const WAIT_NONE = 0;
/** An IO of another thread, or one that another thread completes. */
export const WAIT_IO_COMPLETION = 1;
/** Another thread has prepared an IO and not submitted it yet. */
export const WAIT_IO_SUBMIT = 2;
/** A read that is executed in its own thread. */
export const WAIT_DATA_FILE_READ = 3;
/** A write that is. */
export const WAIT_DATA_FILE_WRITE = 4;
/** A flush that is. */
export const WAIT_DATA_FILE_SYNC = 5;

/** The names by number. */
export const WAIT_EVENT_NAMES: readonly (WaitEvent | null)[] = [
  null,
  "AioIoCompletion",
  "AioIoSubmit",
  "DataFileRead",
  "DataFileWrite",
  "DataFileSync",
];

/** What a thread waits for that executes an operation itself. */
export function waitEventOf(operation: number): number {
  if (operation === OP_READV) return WAIT_DATA_FILE_READ;
  return operation === OP_WRITEV ? WAIT_DATA_FILE_WRITE : WAIT_DATA_FILE_SYNC;
}
