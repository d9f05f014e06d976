/**
 * counters.ts: what a backend has done so far, in shared memory for everybody to read.
 *
 * Each counter is a double of the backend's own cache lines: exact up to 2^53, and added to by its
 * thread alone, so that no IO pays for an atomic operation.
 *
 * @module
 */

import { OPERATION_ROWS } from "./operation_table.ts";
import * as results from "./result.ts";
import * as layout from "../memory/shared_memory.ts";
import { BACKEND, type Control } from "../memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { STATUS_NAMES } = results;
const { HANDLE } = layout;

/** Where in a backend's counters each one is. */
export const COUNTER = {
  started: 0,
  synchronousByFlag: 1,
  synchronousByLocalMemory: 2,
  synchronousByMethod: 3,
  completedBySelf: 4,
  completedByOthers: 5,
  completedForOthers: 6,
  handleWaits: 7,
  submissions: 8,
  bytesRead: 9,
  bytesWritten: 10,
  shortTransfers: 11,
  retries: 12,
  errors: 13,
  sleeps: 14,
  sleepsTimedOut: 15,
  bells: 16,
  bellsForNothing: 17,
  wakeUpMs: 18,
  blockingSleeps: 19,
  turnsEnded: 20,
  breaks: 21,
  turnWaitMs: 22,
  dozes: 23,
  dozesTimedOut: 24,
  dozesForOthers: 25,
  size: 26,
} as const;

/** What a backend has done since its thread attached. */
export interface BackendCounters {
  /** IOs that were started; each one is over, or to be seen in `aio.ios()`. */
  readonly started: number;
  /** Of these executed in their start call because of the flag `"synchronous"`. */
  readonly synchronousByFlag: number;
  /** The same because their memory may go away: the flag `"referencesLocal"`. */
  readonly synchronousByLocalMemory: number;
  /**
   * The same for the method's reasons, or later: all IO with `sync`, reads from the page cache, and
   * IO that a blocking wait executed as neither the kernel nor a Worker had it.
   */
  readonly synchronousByMethod: number;
  /** IOs that this backend issued and completed. */
  readonly completedBySelf: number;
  /** IOs that this backend issued and another one completed. */
  readonly completedByOthers: number;
  /** IOs that this backend completed and another one issued. */
  readonly completedForOthers: number;
  /** How often `acquire` had to wait: raise the option `maxConcurrency` if that is often. */
  readonly handleWaits: number;
  /** How often IOs were handed to the method, up to 32 at once. */
  readonly submissions: number;
  /** Bytes that reads of this backend brought. */
  readonly bytesRead: number;
  /** Bytes that writes of this backend took. */
  readonly bytesWritten: number;
  /** Reads and writes that ended with fewer bytes than asked for, such as at the end of a file. */
  readonly shortTransfers: number;
  /**
   * IOs that files did again after EINTR or EAGAIN, and submits that the kernel had to be asked for
   * again.
   */
  readonly retries: number;
  /** IOs whose outcome was an error, as their shared callbacks put it. */
  readonly errors: number;
  /** How often the event loop slept until IO was done, or until it was to look by itself. */
  readonly sleeps: number;
  /** Sleeps that nothing ended before their time was over. */
  readonly sleepsTimedOut: number;
  /**
   * Sleeps that the bell of another thread ended: it had completed an IO, or had something else.
   */
  readonly bells: number;
  /** Of these bells, those after which the event loop found no IO done. */
  readonly bellsForNothing: number;
  /**
   * From a bell to the look of the event loop for what was completed, in ms, of all bells together.
   * With io_uring the kernel completes IO and rings no bell: nothing is measured then.
   */
  readonly wakeUpMs: number;
  /** How often the thread slept, blocking, in `waitSync()`, `acquire()` or a blocking transfer. */
  readonly blockingSleeps: number;
  /** Turns of the event loop that ended with completions left for the next one. */
  readonly turnsEnded: number;
  /** Of these, those after which sockets and signals were looked at. */
  readonly breaks: number;
  /**
   * From the ends of these turns to the next ones, when those completions are handed out, in ms.
   */
  readonly turnWaitMs: number;
  /** How often the thread waited for IO, blocking, in an event loop that had nothing else to do. */
  readonly dozes: number;
  /** Of these, those that nothing ended before their time. */
  readonly dozesTimedOut: number;
  /** Of these, those that sockets, signals or other threads ended. */
  readonly dozesForOthers: number;
}

const RESULT_ERROR = STATUS_NAMES.indexOf("error");
/** By number of the operation: what counts the bytes that it moves; -1: it moves none. */
const MOVED = OPERATION_ROWS.map((row) => {
  if (row === null || row.moves === null) return -1;
  return row.moves === "in" ? COUNTER.bytesRead : COUNTER.bytesWritten;
});

/** The counters of a backend, in shared memory. */
export function countersOf(control: Control, backendId: number): Float64Array {
  const at = (control.backendAt(backendId) + BACKEND.counters) * Int32Array.BYTES_PER_ELEMENT;
  return new Float64Array(control.buffer, at, COUNTER.size);
}

/** Counts the outcome of an own IO. */
export function countOutcome(counters: Float64Array, words: Int32Array, base: number): void {
  const raw = words[base + HANDLE.rawResult]!;
  const moved = MOVED[words[base + HANDLE.operation]!]!;
  if (raw >= 0 && moved >= 0) {
    counters[moved]! += raw;
    if (raw < words[base + HANDLE.length]!) counters[COUNTER.shortTransfers]!++;
  }
  if (words[base + HANDLE.resultStatus] === RESULT_ERROR) counters[COUNTER.errors]!++;
}

/** The counters as an object. */
export function readCounters(control: Control, backendId: number): BackendCounters {
  const counters = countersOf(control, backendId);
  const { size: _, ...names } = COUNTER;
  const entries = Object.entries(names).map(([name, at]) => [name, counters[at]!]);
  return Object.fromEntries(entries) as BackendCounters;
}
