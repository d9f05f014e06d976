/**
 * wait_ref.ts: a name for one use of one handle, to wait for it from anywhere.
 *
 * A handle is used again and again; each use has a generation. A wait reference is both numbers in
 * a plain object: it may be copied, kept and posted to other threads. Once the handle has gone on
 * to its next generation, the IO that the reference names is done.
 *
 * @module
 */

import { shown } from "../base/errors.ts";

/** Names one IO. */
export interface WaitRef {
  /** The handle, or {@linkcode INVALID_INDEX}. */
  index: number;
  /** Its generation, a safe integer from 1. */
  generation: number;
}

/** The index of a wait reference that names nothing. */
export const INVALID_INDEX = 0xffffffff;

/** A wait reference that names nothing yet. */
export function invalidWaitRef(): WaitRef {
  return { index: INVALID_INDEX, generation: 0 };
}

/** Whether a wait reference names an IO, done or not. */
export function isValidWaitRef(ref: WaitRef): boolean {
  return ref.index !== INVALID_INDEX;
}

/** Makes a wait reference name nothing. */
export function clearWaitRef(ref: WaitRef): void {
  ref.index = INVALID_INDEX;
  ref.generation = 0;
}

/**
 * The id of the handle that a wait reference names, for logs.
 *
 * @throws {TypeError} if it names nothing
 */
export function waitRefId(ref: WaitRef): number {
  if (isValidWaitRef(ref)) return ref.index;
  throw new TypeError("Cannot tell the id of a wait reference that names nothing");
}

/**
 * Refuses what cannot be a wait reference of an Aio with that many handles.
 *
 * @throws {TypeError} if it is none, or names nothing
 * @throws {RangeError} if it names a handle that does not exist
 */
export function checkWaitRef(ref: WaitRef, handleCount: number): void {
  if (typeof ref !== "object" || ref === null) refuseWaitRef(ref, handleCount);
  const { index, generation } = ref;
  const isHandle = Number.isInteger(index) && index >= 0 && index < handleCount;
  if (!isHandle || !Number.isSafeInteger(generation) || generation < 1) {
    refuseWaitRef(ref, handleCount);
  }
}

/** Apart from the check, which stays small enough to be inlined. */
function refuseWaitRef(ref: WaitRef, handleCount: number): never {
  if (typeof ref !== "object" || ref === null) {
    throw new TypeError(`Cannot wait for ${shown(ref)}: pass what handle.waitRef() returned`);
  }
  const { index, generation } = ref;
  if (index === INVALID_INDEX) {
    throw new TypeError("Cannot wait for a wait reference that names nothing");
  }
  if (!Number.isInteger(index) || index < 0 || index >= handleCount) {
    throw new RangeError(
      `Cannot wait for handle ${shown(index)}: this aio has handles 0 to ${handleCount - 1}; ` +
        "the wait reference is of another one",
    );
  }
  throw new RangeError(
    `Cannot wait for generation ${
      shown(generation)
    } of handle ${index}: generations are safe integers from 1`,
  );
}
