/**
 * nth_call.ts: counts calls into the system, and says which one fails.
 *
 * @module
 */

import { denoClassOf } from "../core/base/errors.ts";
import { errnoOf } from "../ffi/errno.ts";

/** The call that fails. */
export class NthCall {
  /** The error number, positive. */
  readonly errno: number;
  /** The name of that. */
  readonly code: string;
  /** Its place among the calls, from 1. */
  readonly nth: number;
  readonly #isLasting: boolean;
  /** Calls that were made, the failed ones among them. */
  count = 0;
  /** What failed first; null: nothing has. */
  failed: string | null = null;

  /**
   * @param isLasting whether all later calls fail as well
   * @throws {TypeError} for a name that no error has
   */
  constructor(nth: number, code: string, isLasting: boolean) {
    const errno = errnoOf(code);
    if (errno === undefined) {
      throw new TypeError(`Cannot fail with "${code}": no error of the system has this name`);
    }
    this.nth = nth;
    this.code = code;
    this.errno = errno;
    this.#isLasting = isLasting;
  }

  /** A call is about to be made. @returns whether it fails */
  next(name: string): boolean {
    const isIt = ++this.count === this.nth || this.#isLasting && this.count > this.nth;
    if (isIt) this.failed ??= name;
    return isIt;
  }

  /** As Deno says it. */
  error(name: string): Error {
    return this.#errorOf(denoClassOf(this.code) ?? Error, name);
  }

  /** As `node:fs` says it. */
  nodeError(name: string): Error {
    return this.#errorOf(Error, name);
  }

  #errorOf(Class: new (message: string) => Error, name: string): Error {
    const { code, errno, nth } = this;
    const error = new Class(`call ${nth}, ${name}, fails as a test wants it (os error ${errno})`);
    return Object.assign(error, { code, errno: -errno, syscall: name });
  }
}
