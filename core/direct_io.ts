/**
 * direct_io.ts: switches an open file to direct I/O and finds the alignment that its transfers need.
 *
 * @module
 */

import { EINVAL, EOPNOTSUPP } from "../ffi/errno.ts";
import { PAGE_SIZE_BYTES } from "../ffi/layout.ts";
import type { Libc } from "../ffi/libc.ts";
import { shown, systemError } from "./errors.ts";
import type { FileStat } from "./file_stat.ts";
import { writeIovec } from "./operation.ts";

/** Whether transfers go past the page cache. */
export type DirectMode = "off" | "optional" | "required";

/** What direct I/O needs to know of an opening. */
export interface DirectRequest {
  /** The path, for errors. */
  readonly path: string;
  /** Whether transfers go past the page cache. */
  readonly direct: DirectMode;
  /** `O_DIRECT`, or 0 where the system has no such flag. */
  readonly directFlag: number;
}

/** What addresses, and offsets and lengths, must be multiples of. */
export interface DirectAlignment {
  /** Of an address, in bytes. */
  readonly memory: number;
  /** Of an offset and of a length, in bytes. */
  readonly offset: number;
}

/**
 * Switches an open file to direct I/O. Not at the opening: a file system that refuses would by then
 * have made the file, or cut it.
 *
 * @returns the alignment; null where the file has no direct I/O and that is acceptable
 */
export function makeDirect(
  libc: Libc,
  request: DirectRequest,
  fd: number,
  stat: FileStat,
): DirectAlignment | null {
  // Some files of a file system with direct I/O have none, such as compressed ones: the kernel takes
  // the flag and serves them from the page cache all the same.
  const isDenied = stat.direct !== null && stat.direct.offset === 0;
  const result = isDenied || request.directFlag === 0
    ? -EINVAL
    : libc.changeFlags(fd, request.directFlag, 0);
  const { path } = request;
  if (result >= 0) return directAlignment(libc, fd, stat);
  if (result !== -EINVAL) {
    throw systemError(-result, `Cannot open ${shown(path)} for direct I/O`, {
      syscall: "fcntl",
      path,
    });
  }
  if (request.direct === "optional") return null;
  throw systemError(
    EOPNOTSUPP,
    `Cannot open ${shown(path)} for direct I/O as its file system has none; ` +
      `pass direct: "optional" to go through the page cache then`,
    { syscall: "fcntl", path },
  );
}

/** What direct I/O on an open file needs of addresses and offsets. */
function directAlignment(
  libc: Libc,
  fd: number,
  stat: FileStat,
): DirectAlignment {
  if (stat.direct !== null) return { ...stat.direct };
  const probed = probeAlignment(libc, fd, stat.size);
  return { memory: probed, offset: probed };
}

/** From the least to the safe: tmpfs takes anything, disks their logical blocks. */
const PROBED_ALIGNMENTS = [1, 512, 1024, 2048];

/**
 * Finds out by reading what the system does not say. A file that is too short to try, or cannot be
 * read, gets the alignment that every disk takes.
 */
function probeAlignment(libc: Libc, fd: number, size: number): number {
  for (const alignment of PROBED_ALIGNMENTS) {
    // At the end of the file the kernel answers before it checks.
    if (size < 2 * alignment) break;
    if (probeRead(libc, fd, alignment) > 0) return alignment;
  }
  return PAGE_SIZE_BYTES;
}

/** Reads with address, offset and length multiples of an alignment and of nothing larger. */
function probeRead(libc: Libc, fd: number, alignment: number): number {
  const memory = new Uint8Array(4 * PAGE_SIZE_BYTES);
  const address = libc.addressOf(memory);
  const start = alignment - (address % (2 * alignment)) + 2 * alignment;
  const iovec = new Int32Array(4);
  writeIovec(iovec, 0, address + start, alignment);
  const result = libc.preadv(fd, new Uint8Array(iovec.buffer), 1, BigInt(alignment));
  // Used only for its address so far: this use keeps it alive through the call.
  return memory.byteLength > 0 ? result : 0;
}
