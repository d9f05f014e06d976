/**
 * off_thread.ts: calls of the C library that may block, executed by a thread of Deno's pool.
 *
 * That pool has 32 threads, which all file operations of the program share: 32 calls that hang would
 * stop `Deno.readFile` and the sleep of every pump. So only a few of ours run at a time.
 *
 * Such a call says that it failed, but not why: the error number stays with its thread. Where calling
 * again does no harm, second_look.ts finds it out.
 *
 * @module
 */

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
