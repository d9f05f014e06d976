/**
 * steps.ts: one sequence of system calls, done either at once or without blocking the event loop.
 *
 * Opening and closing a file take many calls, and what to undo after each is the hard part: it is
 * written once, as a generator that passes what a call returns through {@linkcode get}. Where calls
 * block, that is the value; where they do not, its promise.
 *
 * @module
 */

import { isThenable } from "./promise.ts";

/** What a call returns: at once, or later. */
export type Eventually<T> = T | Promise<T>;

/** A sequence of calls that ends in a value. */
export type Steps<T> = Generator<unknown, T, unknown>;

/** The value that a call returned, now or later: `const fd = yield* get(calls.open(...))`. */
export function* get<T>(value: Eventually<T>): Steps<T> {
  // What is sent back is this value, awaited: `runSteps` and `runStepsSync` see to that.
  return (yield value) as T;
}

/** Does all steps at once. Their calls return values. */
export function runStepsSync<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (step.done !== true) step = steps.next(step.value);
  return step.value;
}

/** Does all steps one after another, awaiting each that is not over at once. */
export async function runSteps<T>(steps: Steps<T>): Promise<T> {
  let step = steps.next();
  while (step.done !== true) {
    let { value } = step;
    try {
      if (isThenable(value)) value = await value;
    } catch (error) {
      step = steps.throw(error);
      continue;
    }
    step = steps.next(value);
  }
  return step.value;
}
