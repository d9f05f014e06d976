/**
 * assert.ts: invariants of the core, checked in production too. What a user did wrong is not an
 * invariant: that throws an error of its own (`errors.ts`).
 *
 * @module
 */

/** An invariant of the library does not hold: always a bug of the library, never of its user. */
export class AioInvariantError extends Error {
  /**
   * Made by `assert`.
   *
   * @param message which invariant, in words
   * @ignore
   */
  constructor(message: string) {
    super(message);
    this.name = "AioInvariantError";
  }
}

/**
 * Throws if a condition does not hold.
 *
 * @param condition what must be true
 * @param message what is wrong if it is not
 * @throws {AioInvariantError} if the condition is false
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AioInvariantError(message);
}
