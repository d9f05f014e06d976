/**
 * copy_calls.ts: bytes copied from one open file to another one by the kernel, in two forms: a call
 * that blocks, and one that leaves the event loop alone.
 *
 * @module
 */

import { ENOSYS } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/libc.ts";
import { offThreadTwice } from "../base/off_thread.ts";
import type { Eventually } from "../base/steps.ts";

/** A place in an open file. */
export interface FilePlace {
  /** Its descriptor. */
  readonly fd: number;
  /** In bytes. */
  readonly offset: number;
}

/** The call, in either form. */
export interface CopyCalls {
  /** Copies up to so many bytes, below 2^31. @returns bytes, or -errno */
  copyRange(from: FilePlace, to: FilePlace, length: number): Eventually<number>;
}

/** The call that blocks. */
export function blockingCopies(libc: Libc) {
  return {
    copyRange: (from: FilePlace, to: FilePlace, length: number) =>
      libc.copyRange(from.fd, offsetOf(from), to.fd, offsetOf(to), length),
  };
}

/** The call off the thread. The kernel moves the offsets only where it has copied something. */
export function awaitedCopies(libc: Libc) {
  return {
    copyRange(from: FilePlace, to: FilePlace, length: number) {
      const [fromAt, toAt] = [offsetOf(from), offsetOf(to)];
      const parameters = ["i32", "buffer", "i32", "buffer", "usize", "u32"] as const;
      const args = [from.fd, fromAt, to.fd, toAt, BigInt(length), 0];
      const again = { name: "copy_file_range", parameters, result: "i32", args } as const;
      const call = () => libc.copyRangeNonblocking(from.fd, fromAt, to.fd, toAt, length);
      return libc.canCopyRanges ? offThreadTwice(libc, call, again) : -ENOSYS;
    },
  };
}

/** An `off_t` for the kernel to read, and to move. */
function offsetOf({ offset }: FilePlace): Uint8Array<ArrayBuffer> {
  return new Uint8Array(BigInt64Array.of(BigInt(offset)).buffer);
}
