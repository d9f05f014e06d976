/**
 * wait_event.ts: what a thread is blocked in, as a word that other threads can read.
 *
 * The names are PostgreSQL's. A thread that awaits is not blocked: its event loop goes on.
 *
 * @module
 */

import { OPERATIONS, type OperationWaitEvent, STARTED_NAMES } from "./operation_table.ts";

/** What a backend waits for; null: nothing, its thread runs. */
export type WaitEvent = "AioIoCompletion" | "AioIoSubmit" | "Extension" | OperationWaitEvent;

/** Nothing. */
export const WAIT_NONE = 0;
/** An IO of another thread, or one that another thread completes. */
export const WAIT_IO_COMPLETION = 1;
/** Another thread has prepared an IO and not submitted it yet. */
export const WAIT_IO_SUBMIT = 2;
/** A word that another thread is to change: a lock of a layer. */
export const WAIT_EXTENSION = 3;

/** The names by number: those of operations follow, by the numbers of the operations, from 1 on. */
export const WAIT_EVENT_NAMES: readonly (WaitEvent | null)[] = [
  null,
  "AioIoCompletion",
  "AioIoSubmit",
  "Extension",
  ...STARTED_NAMES.map((name) => OPERATIONS[name].waitEvent),
];

/** What a thread waits for that executes an operation itself. */
export function waitEventOf(operation: number): number {
  return WAIT_EXTENSION + operation;
}
