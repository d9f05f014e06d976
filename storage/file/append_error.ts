/**
 * append_error.ts: what the error of an append says: what the system said, where the append was to
 * be, how much of it was written, and whether its place stays a hole.
 *
 * @module
 */

import { shown, systemError } from "../../core/inside.ts";
import type { SystemError } from "../../core/mod.ts";

/**
 * The error of an append.
 *
 * @param place where it was to be, and whether that stays a hole; null: it had none yet
 */
export function appendError(
  path: string,
  length: number,
  bytesWritten: number,
  place: { readonly offset: number; readonly isHole: boolean } | null,
  cause: unknown,
): Error {
  const what = `Cannot append ${length} bytes to ${shown(path)}`;
  const hole = place?.isHole !== true
    ? ""
    : `; bytes ${place.offset} to ${
      place.offset + length - 1
    } stay a hole, as others have appended behind them`;
  const fields = { syscall: "pwritev", path, length, bytesWritten };
  const all = place === null ? fields : { ...fields, offset: place.offset };
  if (isSystemError(cause)) return systemError(cause.errno, what, all, cause, hole);
  const text = cause instanceof Error ? cause.message : String(cause);
  const Class = cause instanceof Deno.errors.BadResource ? Deno.errors.BadResource : Error;
  return Object.assign(new Class(`${what}: ${text}${hole}`, { cause }), all);
}

/** Whether an error is one of the system, with its number. */
export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && "errno" in error && typeof error.errno === "number";
}

/** A buffer was resized or transferred before it was written. */
export function changedBuffer(): TypeError {
  return new TypeError(
    "Cannot append as a buffer changed its size, or was transferred, before it was written",
  );
}
