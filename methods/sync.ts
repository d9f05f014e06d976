/**
 * sync.ts: the method that executes each IO in its start call, in the issuer's thread. It is there
 * on every machine, and the reference that every other method is measured by.
 *
 * @module
 */

import { AioInvariantError } from "../core/base/assert.ts";
import type { Availability, IoMethod } from "../core/io/method.ts";

/** Executes each IO at once. */
export const syncMethod: IoMethod = {
  name: "sync",
  module: import.meta.url,
  // Submitted is here: about to make its system call, perhaps in another thread.
  waitOnFdBeforeClose: true,
  available(): Availability {
    return { ok: true };
  },
  needsSynchronousExecution(): boolean {
    return true;
  },
  submit(): number {
    throw new AioInvariantError("IO should have been executed synchronously");
  },
};
