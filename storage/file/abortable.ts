/**
 * abortable.ts: ending an IO, or the wait for one, by a signal.
 *
 * @module
 */

import { onAbort } from "../../core/inside.ts";
import type { AioCore, WaitRef } from "../../core/mod.ts";

/**
 * Awaits an IO that is given up when a signal aborts, if that is still possible. It is over in any
 * case when this resolves.
 */
export async function waitOrCancel(
  aio: AioCore,
  ref: WaitRef,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal === undefined) return await aio.wait(ref);
  // The signal may be aborted by a callback, which may not do this.
  const ignoreAbort = onAbort(signal, () => queueMicrotask(() => aio.cancel(ref)));
  try {
    await aio.wait(ref);
  } finally {
    ignoreAbort();
  }
}

/**
 * A promise that a signal can end. What it stood for goes on by itself.
 *
 * @param promise its outcome is passed on
 * @param signal when it aborts first, the result rejects with its reason at once
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: result, resolve, reject } = Promise.withResolvers<T>();
  if (signal.aborted) reject(signal.reason);
  const done = onAbort(signal, reject);
  promise.then(
    (value) => {
      done();
      resolve(value);
    },
    (error) => {
      done();
      reject(error);
    },
  );
  return result;
}
