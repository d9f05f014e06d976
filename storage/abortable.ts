/**
 * abortable.ts: ending the wait for a promise by a signal.
 *
 * @module
 */

/**
 * A promise that a signal can end. What it stood for goes on by itself.
 *
 * @param promise its outcome is passed on
 * @param signal when it aborts first, the result rejects with its reason at once
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: result, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  const done = (): void => signal.removeEventListener("abort", onAbort);
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
