/**
 * caller.ts: errors begin with the line of whoever called this module.
 *
 * Most errors are made where an outcome is noticed: in the pump, in a callback of `node:fs`, deep
 * in a check. Their stacks show the module, and often not its caller at all. So every public call
 * passes its errors through here, which captures the stack anew: of a blocking call from the call
 * outwards, of a promise along those who await it, which V8 follows from a microtask in that chain.
 * A call that succeeds pays nothing for it.
 *
 * @module
 */

import { AioInvariantError } from "./assert.ts";

/**
 * Under this symbol an error keeps the stack that it was made with, for whoever debugs this module.
 */
const INNER_STACK = Symbol.for("deno-aio.innerStack");

/** A function whose frame, with all above it, is cut off a stack. */
type Boundary = (...args: never[]) => unknown;

/**
 * Gives an error the stack of whoever called a function that is running.
 *
 * @param error whatever was thrown; a broken invariant keeps its own stack, and so does an error
 *   whose caller is unknown
 * @param call the public function
 * @param signal its reason belongs to the user and stays as it is
 * @returns the same error
 */
export function atCaller(error: unknown, call: Boundary, signal?: AbortSignal): unknown {
  if (!(error instanceof Error) || error instanceof AioInvariantError) return error;
  if (signal?.aborted === true && error === signal.reason) return error;
  const probe: { stack?: string } = {};
  Error.captureStackTrace(probe, call);
  if (!/^ +at /m.test(probe.stack ?? "")) return error;
  if (!(INNER_STACK in error)) Object.defineProperty(error, INNER_STACK, { value: error.stack });
  Error.captureStackTrace(error, call);
  return error;
}

/**
 * Does what a blocking public call does; if it fails, the error gets the stack of its caller.
 *
 * @param call the public function
 * @param work what it does
 */
export function calling<T>(call: Boundary, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw atCaller(error, call);
  }
}

/**
 * Awaits what a public call does; if it fails, the error gets the stack of whoever awaits the call.
 *
 * @param work the call's work, as a promise that only this uses
 * @param signal its reason belongs to the user and stays as it is
 */
export async function called<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await work;
  } catch (error) {
    await place(error, called, signal);
    throw error;
  }
}

/**
 * The same of work that many calls share: each resolves with a value of its own.
 *
 * @param work that the call waits for
 * @param value what it resolves with
 */
export async function calledFor<T>(work: Promise<void>, value: T): Promise<T> {
  try {
    await work;
    return value;
  } catch (error) {
    await place(error, calledFor);
    throw error;
  }
}

/** One microtask later the caller awaits too, and the boundary lies between it and this one. */
async function place(error: unknown, boundary: Boundary, signal?: AbortSignal): Promise<void> {
  await undefined;
  atCaller(error, boundary, signal);
}

/** Where a call came from, such as `file:///a/main.ts:5:30`; null: unknown. */
export type CallSite = () => string | null;

/**
 * The place in the first frame of a stack: `at main (file:///a/main.ts:5:30)`, or without a name.
 */
const PLACE = /^ +at (?:.* \(|async )?(.+:\d+:\d+)\)?$/m;

/**
 * Remembers the caller of a public function that is running. The stack is put into words only when
 * the place is read.
 *
 * @param call the public function
 */
export function callSite(call: Boundary): CallSite {
  const probe: { stack?: string } = {};
  Error.captureStackTrace(probe, call);
  return () => PLACE.exec(probe.stack ?? "")?.[1] ?? null;
}
