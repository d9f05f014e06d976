/**
 * words.ts: the words of shared memory that the tests of wake-ups look at, and a step between
 * looks.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { replace, type Stage } from "./bells.ts";

/** Calls `after` right after this thread has looked at a word of the control memory: once. */
export function afterLook({ aio }: Stage, at: number, after: () => void): Disposable {
  const load = Atomics.load;
  const { words } = backendOf(aio).control;
  let isFirst = true;
  return replace(Atomics, "load", (array, index) => {
    const value = Reflect.apply(load, Atomics, [array, index]);
    if (isFirst && array.buffer === words.buffer && index === at) {
      isFirst = false;
      after();
    }
    return value;
  });
}

/** Where a word of a handle is, by the reference to its IO. */
export function handleWord({ aio }: Stage, ref: WaitRef, word: number): number {
  return backendOf(aio).control.handleAt(ref.index) + word;
}

/** Where the state of an IO is. */
export const stateAt = (stage: Stage, ref: WaitRef): number => handleWord(stage, ref, HANDLE.state);
