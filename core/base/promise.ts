/**
 * promise.ts: what becomes of a promise that a user's function returns where none can be waited
 * for.
 *
 * Callbacks, hooks and batches end with their call. A promise is then a mistake, reported at once;
 * its later rejection must not end the process, as no caller is left to take it.
 *
 * @module
 */

/**
 * Whether a value can be awaited for something else than itself: a promise, or what acts as one.
 */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (value === null) return false;
  if (typeof value !== "object" && typeof value !== "function") return false;
  return "then" in value && typeof value.then === "function";
}

/** Takes the rejection of a promise whose mistake is reported elsewhere. */
export function swallowRejection(promise: PromiseLike<unknown>): void {
  Promise.resolve(promise).then(undefined, () => {});
}

/** Refuses a promise in place of a value. @throws {TypeError} with that message */
export function refusePromise(value: unknown, message: string): void {
  if (!isThenable(value)) return;
  swallowRejection(value);
  throw new TypeError(message);
}
