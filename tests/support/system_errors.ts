/**
 * system_errors.ts: the errors of the system that a test waits for.
 *
 * @module
 */

import { assert, assertRejects } from "@std/assert";
import { AioSystemError, type SystemError } from "../../core/mod.ts";

/** What a promise rejects with. */
export async function errorOf(promise: Promise<unknown>): Promise<SystemError> {
  const error = await assertRejects(() => promise, AioSystemError);
  assert("code" in error && "errno" in error && "syscall" in error);
  return error as SystemError;
}
