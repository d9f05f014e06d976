/**
 * off_thread.ts: calls of the C library that may block, executed by a thread of Deno's pool.
 *
 * That pool has 32 threads, which all file operations of the program share: 32 calls that hang
 * would stop `Deno.readFile` and the sleep of every pump. So only a few of ours run at a time.
 *
 * Such a call says that it failed, but not why: the error number stays with its thread. Where
 * calling again does no harm, a Worker does so to find it out (call_workers.ts). A close cannot be
 * repeated: one that can fail, or wait for a server, is made by a Worker in the first place. Closes
 * of local files are made here, as they have nothing to tell; the last close of a deleted file can
 * take long.
 *
 * @module
 */

import { EIO } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/libc.ts";
import { callInWorker, type LibraryCall } from "./call_workers.ts";
import { holdCall } from "./hold_call.ts";
import type { Patience } from "./patience.ts";

/** Most calls of this thread that run at a time. */
export const OFF_THREAD_CALLS_MAX = 8;

let running = 0;
const queue: (() => void)[] = [];

/**
 * Executes a nonblocking call when fewer than {@linkcode OFF_THREAD_CALLS_MAX} run.
 *
 * @param call starts it
 * @param patience once that is given up, the call does not keep the event loop alive
 * @returns its result
 */
export async function offThread(
  call: () => Promise<number>,
  patience?: Patience,
): Promise<number> {
  if (running < OFF_THREAD_CALLS_MAX) running++;
  else await new Promise<void>((resolve) => queue.push(resolve));
  try {
    const result = call();
    return await (patience === undefined ? result : patience.holding(holdCall(result), result));
  } finally {
    // Whoever waits takes over the place.
    const next = queue.shift();
    if (next === undefined) running--;
    else next();
  }
}

/**
 * Executes a nonblocking call that may be made twice: the second time does what the first one did,
 * or fails as that did.
 *
 * @param call starts it
 * @param again the same, for a Worker to find out why it failed
 * @returns its result, or -errno; -EIO where not even that could be found out
 */
export async function offThreadTwice(
  libc: Libc,
  call: () => Promise<number>,
  again: LibraryCall,
): Promise<number> {
  const result = await offThread(call);
  return result >= 0 ? result : await callInWorker(libc, again) ?? -EIO;
}
