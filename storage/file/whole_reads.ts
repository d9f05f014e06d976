/**
 * whole_reads.ts: reads that are all or nothing: a whole file, or exactly what was asked for.
 *
 * @module
 */

import { get, shown, type Steps } from "../../core/inside.ts";
import { totalBytes } from "./view_cursor.ts";

/** How the file is measured and read: awaited, or blocking. */
export interface WholeReadCalls {
  /** Its size in bytes, as the system says. */
  size(): unknown;
  /** Reads as `readAt` does. */
  read(into: Uint8Array, offset: number): unknown;
}

/** Bytes of the first read of a file that says it has none, as those of `/proc` do. */
const UNKNOWN_BYTES = 65_536;

/** Reads a file from its first byte to where it ends when this begins. */
export function* readWhole(calls: WholeReadCalls): Steps<Uint8Array<ArrayBuffer>> {
  const size = Number(yield* get(calls.size()));
  if (size === 0) return yield* readUnknown(calls);
  const whole = new Uint8Array(size);
  const bytes = Number(yield* get(calls.read(whole, 0)));
  // It has become shorter meanwhile.
  return bytes < size ? whole.slice(0, bytes) : whole;
}

/** Reads until there is no more. */
function* readUnknown(calls: WholeReadCalls): Steps<Uint8Array<ArrayBuffer>> {
  let read = new Uint8Array(UNKNOWN_BYTES);
  let bytes = 0;
  for (;;) {
    const room = read.subarray(bytes);
    const more = Number(yield* get(calls.read(room, bytes)));
    bytes += more;
    if (more < room.length) return read.slice(0, bytes);
    const larger = new Uint8Array(2 * read.length);
    larger.set(read);
    read = larger;
  }
}

/** Bytes of the buffers of a read, as they are now; it refuses itself what is no buffer. */
export function bytesAsked(buffers: Uint8Array | readonly Uint8Array[]): number {
  const views: readonly unknown[] = Array.isArray(buffers) ? buffers : [buffers];
  return totalBytes(views.filter((view) => view instanceof Uint8Array));
}

/**
 * Checks that a read has filled its buffers.
 *
 * @param length of them, as it was when the read began
 * @throws {Deno.errors.UnexpectedEof} if it met the end of the file before
 */
export function checkExact(
  path: string,
  length: number,
  offset: number,
  bytesRead: number,
): void {
  if (bytesRead === length) return;
  const message = `Cannot read ${length} bytes at offset ${offset} of ${shown(path)}: ` +
    `the file ends after ${bytesRead} of them`;
  const fields = { syscall: "preadv", path, offset, length, bytesRead };
  throw Object.assign(new Deno.errors.UnexpectedEof(message), fields);
}
