/**
 * handle_state.ts: the eight states of a handle and which may follow which.
 *
 * ```text
 * idle ─► handedOut ─► defined ─► staged ─► submitted ──────────┐
 *              └─ release ─► idle                               │
 * idle ◄─ completedLocal ◄─ completedShared ◄─ completedIo ◄────┘
 * ```
 *
 * One function changes a state: {@linkcode updateState}. It stores with a barrier only where
 * another thread goes by that very state: submitted, if the method has the IO; completedShared, if
 * it was completed for another backend; idle. The states between are published by the next such
 * one. Each barrier costs 30 ns of a cached read.
 *
 * @module
 */

import { AioInvariantError } from "../base/assert.ts";

/** In the owner's idle list. */
export const IDLE = 0;
/** Acquired: its issuer is preparing it. At most one of a backend. */
export const HANDED_OUT = 1;
/** The operation is known; the `stage` callbacks run. */
export const DEFINED = 2;
/** Ready to be submitted, in the owner's list of staged handles. */
export const STAGED = 3;
/** The method has it: the kernel may be touching its memory. */
export const SUBMITTED = 4;
/** The raw result is there; the shared callbacks run. */
export const COMPLETED_IO = 5;
/** The outcome is there for everybody; the owner has not looked yet. */
export const COMPLETED_SHARED = 6;
/** The local callbacks have run in the owner. */
export const COMPLETED_LOCAL = 7;

/** A handle's state, as TypeScript users see it. */
export type HandleState =
  | "idle"
  | "handedOut"
  | "defined"
  | "staged"
  | "submitted"
  | "completedIo"
  | "completedShared"
  | "completedLocal";

/** The states by number. */
export const STATE_NAMES: readonly HandleState[] = [
  "idle",
  "handedOut",
  "defined",
  "staged",
  "submitted",
  "completedIo",
  "completedShared",
  "completedLocal",
];

/** The same as PostgreSQL spells them, for `aio.ios()` and the log. */
export const VIEW_STATE_NAMES: readonly string[] = STATE_NAMES.map((name) =>
  name.replace(/[A-Z]/g, "_$&").toUpperCase()
);

/** Which states may follow, as one bit each, by state. */
export const NEXT_STATES: readonly number[] = [
  /* idle            */ 1 << HANDED_OUT,
  /* handedOut       */ 1 << DEFINED | 1 << IDLE,
  /* defined         */ 1 << STAGED,
  /* staged          */ 1 << SUBMITTED,
  /* submitted       */ 1 << COMPLETED_IO,
  /* completedIo     */ 1 << COMPLETED_SHARED,
  /* completedShared */ 1 << COMPLETED_LOCAL,
  /* completedLocal  */ 1 << IDLE,
];

/**
 * Which states may come before, as one bit each, by state. Frozen, the compiler knows what is in
 * it.
 */
const PRIOR_STATES: readonly number[] = Object.freeze(
  NEXT_STATES.map((_, state) =>
    NEXT_STATES.reduce((prior, next, from) => prior | (next >> state & 1) << from, 0)
  ),
);

/**
 * Changes the state of a handle: this and {@linkcode publishState} are the one place where that is
 * done.
 *
 * @param words the control memory
 * @param index where the handle's state word is
 * @param next the new state
 * @throws {AioInvariantError} if `next` may not follow the present state
 */
export function updateState(words: Int32Array, index: number, next: number): void {
  const current = words[index]!;
  if ((PRIOR_STATES[next]! & (1 << current)) === 0) refuseTransition(current, next);
  words[index] = next;
}

/** The same with a barrier: what was written before is seen by whoever sees the state. */
export function publishState(words: Int32Array, index: number, next: number): void {
  const current = words[index]!;
  if ((PRIOR_STATES[next]! & (1 << current)) === 0) refuseTransition(current, next);
  Atomics.store(words, index, next);
}

/** Apart from the setters, which stay small enough to be inlined wherever it is used. */
function refuseTransition(current: number, next: number): never {
  throw new AioInvariantError(
    `A handle in state ${STATE_NAMES[current]} cannot become ${STATE_NAMES[next]}`,
  );
}
