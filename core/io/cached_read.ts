/**
 * cached_read.ts: reads an IO's data out of the page cache, by a call that does not wait for any
 * device: `preadv2` with `RWF_NOWAIT`. Methods try it before they hand an IO over
 * (methods/cached_reads.ts), and so does an event loop that takes over from a dead thread
 * (life/reap.ts).
 *
 * @module
 */

import type { Libc } from "../../ffi/libc.ts";
import * as layout from "../memory/shared_memory.ts";
import type { Control } from "../memory/shared_memory.ts";
import type { AioHandle } from "./handle.ts";
import * as flags from "./handle_flag.ts";
import * as table from "./operation_table.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { FLAG_BITS } = flags;
const { OP_READV } = table;
const { HANDLE } = layout;

/** Whether an IO is a read through the page cache. Direct ones are never tried. */
export function isBufferedRead({ words, base }: AioHandle): boolean {
  return words[base + HANDLE.operation] === OP_READV &&
    (words[base + HANDLE.flags]! & FLAG_BITS.buffered) !== 0;
}

/**
 * Reads what is there into the IO's buffers, and completes nothing.
 *
 * @returns whether that is all that was asked for
 */
export function tryReadCached(
  { libc, control }: { readonly libc: Libc; readonly control: Control },
  { words, base, iovec }: AioHandle,
): boolean {
  const result = libc.preadvCached(
    words[base + HANDLE.fd]!,
    iovec.bytes,
    words[base + HANDLE.iovecLength]!,
    control.longs[(base + HANDLE.offsetLow) >> 1]!,
  );
  return result === words[base + HANDLE.length];
}
