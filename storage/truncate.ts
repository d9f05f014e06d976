/**
 * truncate.ts: how `truncate` cuts or extends a file.
 *
 * @module
 */

import { shown, systemError } from "../core/errors.ts";

/** What cuts a file; the C library. */
export interface Truncater {
  /** Cuts. @returns 0, or -errno */
  ftruncate(fd: number, bytes: number): number;
  /** Cuts off this thread. @returns 0, or -1 */
  ftruncateNonblocking(fd: number, bytes: number): Promise<number>;
}

/** Refuses a size that cannot be one. @throws {RangeError} */
export function checkSize(path: string, bytes: number): void {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return;
  throw new RangeError(
    `Cannot truncate ${shown(path)} to ${shown(bytes)} bytes: an integer from 0 to 2^53 - 1`,
  );
}

/** Cuts, awaiting it. @throws what the system says */
export async function truncate(
  libc: Truncater,
  fd: number,
  path: string,
  bytes: number,
): Promise<void> {
  // Which error it was is another thread's to know, so a failure is tried again in this one.
  if (await libc.ftruncateNonblocking(fd, bytes) < 0) truncateSync(libc, fd, path, bytes);
}

/** Cuts, blocking. @throws what the system says */
export function truncateSync(libc: Truncater, fd: number, path: string, bytes: number): void {
  const result = libc.ftruncate(fd, bytes);
  if (result >= 0) return;
  throw systemError(-result, `Cannot truncate ${shown(path)} to ${bytes} bytes`, {
    syscall: "ftruncate",
    path,
  });
}
