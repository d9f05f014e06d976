/**
 * sleep.ts: blocks this thread for a moment, where there is no word to be woken by.
 *
 * @module
 */

const NOBODY_NOTIFIES = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** Blocks the thread for so many milliseconds. */
export function sleepMs(ms: number): void {
  Atomics.wait(NOBODY_NOTIFIES, 0, 0, ms);
}
