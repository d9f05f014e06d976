/**
 * backend_rows.ts: which threads are attached, and what each is about: what PostgreSQL shows in
 * `pg_stat_activity`, for the subsystem alone.
 *
 * As in `io_rows.ts` nobody is stopped to be looked at, so the numbers of a busy backend may be of
 * moments a little apart.
 *
 * @module
 */

import { type BackendCounters, readCounters } from "../io/counters.ts";
import { COMPLETED_SHARED, DEFINED, HANDED_OUT, IDLE, STAGED } from "../memory/handle_state.ts";
import { BACKEND, type Control, HANDLE } from "../memory/shared_memory.ts";
import { WAIT_EVENT_NAMES, type WaitEvent } from "../io/wait_event.ts";

/** One attached thread. */
export interface BackendRow {
  /** Its slot. */
  readonly backendId: number;
  /** Its thread id, as the system has it. */
  readonly threadId: number;
  /** Handles that it is preparing: 0 or 1. */
  readonly handedOut: number;
  /** IOs that are prepared and not submitted. */
  readonly staged: number;
  /** IOs that the method has, or that were completed and not taken back yet. */
  readonly inFlight: number;
  /** Handles that are free. */
  readonly idle: number;
  /** Whether its event loop sleeps until an IO is over. */
  readonly isParked: boolean;
  /** What its thread is blocked in, by PostgreSQL's names; null: nothing. */
  readonly waitEvent: WaitEvent | null;
  /** What it has done since it attached. */
  readonly counters: BackendCounters;
}

/** Lists the attached threads, those that died and were not reaped yet among them. */
export function listBackends(control: Control, maxBackends: number): BackendRow[] {
  const rows: BackendRow[] = [];
  for (let id = 0; id < maxBackends; id++) {
    const at = control.backendAt(id);
    const threadId = Math.abs(Atomics.load(control.words, at + BACKEND.threadId));
    if (threadId === 0) continue;
    rows.push({
      backendId: id,
      threadId,
      ...countStates(control, id),
      isParked: Atomics.load(control.words, at + BACKEND.parked) !== 0,
      waitEvent: WAIT_EVENT_NAMES[Atomics.load(control.words, at + BACKEND.waitEvent)] ?? null,
      counters: readCounters(control, id),
    });
  }
  return rows;
}

function countStates(
  control: Control,
  id: number,
): Pick<BackendRow, "handedOut" | "staged" | "inFlight" | "idle"> {
  const counts = { handedOut: 0, staged: 0, inFlight: 0, idle: 0 };
  const first = id * control.handlesPerBackend;
  for (let index = first; index < first + control.handlesPerBackend; index++) {
    const state = Atomics.load(control.words, control.handleAt(index) + HANDLE.state);
    if (state === IDLE) counts.idle++;
    else if (state === HANDED_OUT) counts.handedOut++;
    else if (state === DEFINED || state === STAGED) counts.staged++;
    else if (state <= COMPLETED_SHARED) counts.inFlight++;
  }
  return counts;
}
