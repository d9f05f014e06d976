/**
 * io_rows.ts: which IOs there are now, in all backends: PostgreSQL's view `pg_aios`.
 *
 * Nobody is stopped to be looked at: no lock is taken and nothing is written. Of each handle
 *
 * ```text
 * generation ─► state ─► a copy of all its words ─► generation again ─► state again
 *               └────────────── moved: once more ◄─────────────────────────┘
 * ```
 *
 * If the generation moved the handle is another IO by now, and the row is left out: trying again
 * could go on for ever beside a busy thread. If only the state did, it is tried again, which comes
 * to an end, as states only go forward. After that only the copy is used. (States that are stored
 * without a barrier, see handle_state.ts, may be seen before their fields where the machine
 * reorders stores: x86 does not.)
 *
 * @module
 */

import { fromWords } from "../../ffi/memory.ts";
import { FLAG_BITS } from "../io/handle_flag.ts";
import {
  COMPLETED_IO,
  COMPLETED_LOCAL,
  COMPLETED_SHARED,
  HANDED_OUT,
  IDLE,
  VIEW_STATE_NAMES,
} from "../memory/handle_state.ts";
import { rangeIn } from "../io/operation.ts";
import { OPERATION_NAMES, type OperationName } from "../io/operation_table.ts";
import { type ResultStatus, STATUS_NAMES, TARGET_DATA_WORDS } from "../io/result.ts";
import { BACKEND, type Control, HANDLE } from "../memory/shared_memory.ts";
import type { TargetTable } from "../io/target.ts";

/** A handle's state as PostgreSQL spells it; idle handles have no row. */
export type IoRowState =
  | "HANDED_OUT"
  | "DEFINED"
  | "STAGED"
  | "SUBMITTED"
  | "COMPLETED_IO"
  | "COMPLETED_SHARED"
  | "COMPLETED_LOCAL";

/** The outcome of an IO as PostgreSQL spells it. */
export type IoRowResult = Uppercase<ResultStatus>;

/** By number; that of idle is never asked for. */
const IO_STATES = VIEW_STATE_NAMES as readonly IoRowState[];
const IO_RESULTS = STATUS_NAMES.map((name) => name.toUpperCase() as IoRowResult);

/**
 * One IO, as a row of PostgreSQL's `pg_aios`. In state `"HANDED_OUT"` its issuer is still preparing
 * it, and only the first four fields are known: all others are null.
 */
export interface IoRow {
  /** The backend whose IO it is; null if that slot has no thread (any more). */
  readonly backendId: number | null;
  /** The number of the handle, in all backends; used again by later IOs. */
  readonly ioId: number;
  /** Which use of the handle it is, counted from 1: with `ioId` that is its wait reference. */
  readonly ioGeneration: number;
  /** Where it is in its life. */
  readonly state: IoRowState;
  /** What it does. */
  readonly operation: OperationName | null;
  /** Where in the file, in bytes; null if it is about no range, as `"fsync"` is. */
  readonly off: number | null;
  /** How many bytes it is about: all buffers together, or the range; null as `off` is. */
  readonly length: number | null;
  /** The name of the kind of thing it is done on: `"file"` or a registered target's. */
  readonly target: string | null;
  /** How many numbers were left for its callbacks. */
  readonly handleDataLen: number | null;
  /** What the system said: bytes, or -errno; null before `"COMPLETED_IO"`. */
  readonly rawResult: number | null;
  /** What the shared callbacks made of it; `"UNKNOWN"` before `"COMPLETED_SHARED"`. */
  readonly result: IoRowResult | null;
  /** What it is about, in words. */
  readonly targetDesc: string | null;
  /** Whether it has the flag `"synchronous"`. */
  readonly fSync: boolean | null;
  /** Whether it has the flag `"referencesLocal"`. */
  readonly fLocalmem: boolean | null;
  /** Whether it has the flag `"buffered"`. */
  readonly fBuffered: boolean | null;
}

/**
 * Lists the IOs of all backends, in order of their handles. Any thread may call it at any time, in
 * a callback too: it waits for nobody and changes nothing.
 *
 * @param control where the handles are
 * @param targets describe what the IOs are about
 * @param isBackendInUse whether a backend's slot has a thread; default: what its record says
 */
export function listIos(
  control: Control,
  targets: TargetTable,
  isBackendInUse: (backendId: number) => boolean = (id) =>
    Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId) !== 0,
): IoRow[] {
  const rows: IoRow[] = [];
  // One for all handles, but not for all calls: describing a target may well list IOs.
  const copy = new Int32Array(HANDLE.size);
  for (let index = 0; index < control.handleCount; index++) {
    const row = readRow(control, index, copy, targets, isBackendInUse);
    if (row !== null) rows.push(row);
  }
  return rows;
}

/** A handle as it was at one moment of one use; null if it is idle, or was used anew meanwhile. */
function readRow(
  control: Control,
  index: number,
  copy: Int32Array,
  targets: TargetTable,
  isBackendInUse: (backendId: number) => boolean,
): IoRow | null {
  const { words } = control;
  const base = control.handleAt(index);
  const owner = Math.floor(index / control.handlesPerBackend);
  // Before the state: with a state of the last use and the generation of this one, both checks
  // below would pass once this use has come to the same state, whatever was copied on the way.
  const low = Atomics.load(words, base + HANDLE.generationLow);
  const high = Atomics.load(words, base + HANDLE.generationHigh);
  let isSeenAtEnd = false;
  // Once for each state but idle, as states go forward, and once more for the last one.
  for (let attempt = 0; attempt < IO_STATES.length; attempt++) {
    const state = Atomics.load(words, base + HANDLE.state);
    if (state === IDLE) return null;
    const isSame = copyRecord(words, base, copy);
    const backendId = isBackendInUse(owner) ? owner : null;
    if (Atomics.load(words, base + HANDLE.generationLow) !== low) return null;
    if (Atomics.load(words, base + HANDLE.generationHigh) !== high) return null;
    if (Atomics.load(words, base + HANDLE.state) !== state) continue;
    // The generation moves before the last state ends: this may have been the last use's when it
    // was read, and be this use's by now. So it takes two equal copies in a row: if it still was
    // the last use's between them the first one is right, and else the second.
    if (state !== COMPLETED_LOCAL || (isSeenAtEnd && isSame)) {
      return rowOf(state, copy, backendId, index, targets);
    }
    isSeenAtEnd = true;
  }
  return null;
}

/** @returns whether the copy was the same before */
function copyRecord(words: Int32Array, base: number, copy: Int32Array): boolean {
  let isSame = true;
  for (let i = 0; i < HANDLE.size; i++) {
    // A plain read might be put off until after the checks, which would then check nothing.
    const word = Atomics.load(words, base + i);
    if (copy[i] !== word) isSame = false;
    copy[i] = word;
  }
  return isSame;
}

/**
 * The row of a copy. Between the two stores by which a use ends, its last state shows with the
 * generation of the next one, as it does in PostgreSQL: whoever waits for the IO must find it gone
 * first.
 */
function rowOf(
  state: number,
  copy: Int32Array,
  backendId: number | null,
  ioId: number,
  targets: TargetTable,
): IoRow {
  const identity = {
    backendId,
    ioId,
    ioGeneration: fromWords(copy[HANDLE.generationLow]!, copy[HANDLE.generationHigh]!),
    state: IO_STATES[state]!,
  };
  if (state === HANDED_OUT) return { ...identity, ...UNKNOWN_YET };
  const operation = copy[HANDLE.operation]!;
  const range = rangeIn(copy, 0);
  const target = copy[HANDLE.target]!;
  const flags = copy[HANDLE.flags]!;
  return {
    ...identity,
    operation: OPERATION_NAMES[operation]!,
    off: range?.offset ?? null,
    length: range?.length ?? null,
    target: targets.nameOf(target),
    handleDataLen: copy[HANDLE.handleDataLength]!,
    // The two results are those of the handle's last use until this use has its own.
    rawResult: state >= COMPLETED_IO ? copy[HANDLE.rawResult]! : null,
    result: IO_RESULTS[state >= COMPLETED_SHARED ? copy[HANDLE.resultStatus]! : 0]!,
    targetDesc: targets.describe(
      target,
      copy.slice(HANDLE.targetData, HANDLE.targetData + TARGET_DATA_WORDS),
    ),
    fSync: (flags & FLAG_BITS.synchronous) !== 0,
    fLocalmem: (flags & FLAG_BITS.referencesLocal) !== 0,
    fBuffered: (flags & FLAG_BITS.buffered) !== 0,
  };
}

/** What of a handle is not to be shown while its issuer sets it. */
const UNKNOWN_YET = {
  operation: null,
  off: null,
  length: null,
  target: null,
  handleDataLen: null,
  rawResult: null,
  result: null,
  targetDesc: null,
  fSync: null,
  fLocalmem: null,
  fBuffered: null,
} as const;
