/**
 * uring_calls.ts: the three system calls of io_uring, through whichever library can make them:
 * liburing (liburing.ts) where it is installed and granted, else `syscall(2)` of the C library
 * (uring_syscalls.ts). Both cost the same, and both return a number >= 0, or -errno.
 *
 * @module
 */

import { closeLiburing, Liburing, openLiburing } from "./liburing.ts";
import { closeUringSyscalls, openUringSyscalls, type UringSyscalls } from "./uring_syscalls.ts";

/** The library that the calls go through. */
export type UringLibrary = "liburing" | "libc";

/** The calls, as one thread makes them: `setup()`, `enter()` and `register()`. */
export type UringCalls = Liburing | UringSyscalls;

/** Paths of libraries, where they are not to be looked for. */
export interface UringLibraryPaths {
  readonly libc?: string;
  readonly liburing?: string;
}

/**
 * Opens the calls for one more user of this thread; {@linkcode closeUringCalls} gives them back. A
 * liburing that is named by its path must be there; one that is looked for need not.
 *
 * @param paths of libraries that are not to be looked for
 * @param library the one to take; null: liburing if it can be had, else the C library
 * @throws {Deno.errors.NotCapable} if none is granted, naming the flag to add
 * @throws {Deno.errors.NotFound} if none can be loaded, naming the remedy
 */
export function openUringCalls(
  paths: UringLibraryPaths,
  library: UringLibrary | null = null,
): UringCalls {
  if (library === "liburing" || paths.liburing !== undefined) return openLiburing(paths.liburing);
  if (library === "libc") return openUringSyscalls(paths.libc);
  try {
    return openLiburing();
  } catch {
    // Not granted, not installed, or too old: the calls need no more than the C library.
    return openUringSyscalls(paths.libc);
  }
}

/**
 * Gives back what {@linkcode openUringCalls} returned; the last user of this thread unloads the
 * library.
 */
export function closeUringCalls(calls: UringCalls): void {
  if (calls instanceof Liburing) closeLiburing(calls);
  else closeUringSyscalls(calls);
}

/** Which library calls go through, in words. */
export function describeUringCalls(calls: UringCalls): string {
  const library = calls instanceof Liburing ? "liburing" : "the C library";
  return `its system calls go through ${library}`;
}
