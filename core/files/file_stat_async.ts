/**
 * file_stat_async.ts: what the system says of an open file, asked off this thread.
 *
 * @module
 */

import { EIO } from "../../ffi/errno.ts";
import { STATX_FLAGS, STATX_SIZE_BYTES } from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import { callInWorker, type LibraryCall } from "../base/call_workers.ts";
import { offThread } from "../base/off_thread.ts";
import { fieldsOf, type FileStat, readStat, statError } from "./file_stat.ts";

/** As `fileStat()`, off this thread. */
export async function fileStatAsync(libc: Libc, fd: number, path: string): Promise<FileStat> {
  return readStat(libc, fd, await statxAsync(libc, fd, path));
}

/** As `statx()`, off this thread. */
export async function statxAsync(libc: Libc, fd: number, path: string): Promise<Uint8Array> {
  const buffer = new Uint8Array(STATX_SIZE_BYTES);
  if (await offThread(() => libc.statNonblocking(fd, buffer)) < 0) {
    throw statError(await callInWorker(libc, statCall(fd)) ?? -EIO, path);
  }
  return buffer;
}

function statCall(fd: number): LibraryCall {
  const into = new Uint8Array(STATX_SIZE_BYTES);
  if (Deno.build.os === "darwin") {
    return { name: "fstat", parameters: ["i32", "buffer"], result: "i32", args: [fd, into] };
  }
  return {
    name: "statx",
    parameters: ["i32", "buffer", "i32", "u32", "buffer"],
    result: "i32",
    args: [fd, new Uint8Array(1), STATX_FLAGS.atEmptyPath, STATX_FLAGS.basicStats, into],
  };
}

/** As `pathStat()`, off this thread. */
export async function pathStatAsync(libc: Libc, path: string): Promise<FileStat | null> {
  const buffer = new Uint8Array(STATX_SIZE_BYTES);
  const result = await offThread(() => libc.statPathNonblocking(path, buffer));
  return result < 0 ? null : fieldsOf(buffer);
}
