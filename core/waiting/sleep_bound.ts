/**
 * sleep_bound.ts: how long a backend may sleep before it looks for completions by itself.
 *
 * Every sleep for IO, awaiting or blocking, has an end that the core chooses, for the sake of
 * threads that die. A method whose completions wake nobody needs an earlier one.
 *
 * @module
 */

import type { IoMethod, MethodBackend } from "../io/method.ts";
import { LOOK_AGAIN_MS } from "../base/pauses.ts";

/** What is known of the method that a backend uses. */
export interface BoundedSleeper extends MethodBackend {
  /** How IO is executed. */
  readonly method: IoMethod;
}

/** The descriptor that can be read when own IO may be done; -1: none. */
export function pollFdOf(backend: BoundedSleeper): number {
  return backend.method.pollFd?.(backend) ?? -1;
}

/**
 * The time that a sleep may take, in ms.
 *
 * @param backend whose sleep it is
 * @param longestMs as far as the core is concerned
 */
export function boundedMs(backend: BoundedSleeper, longestMs: number): number {
  const { method } = backend;
  if (method.sleepMsMax === undefined) {
    return pollFdOf(backend) < 0 ? Math.min(longestMs, LOOK_AGAIN_MS) : longestMs;
  }
  const boundMs = method.sleepMsMax(backend);
  if (boundMs >= 0) return Math.min(longestMs, boundMs);
  throw new RangeError(
    `Cannot wait for IO as sleepMsMax() of the method "${method.name}" must be 0 or more: got ${boundMs}`,
  );
}
