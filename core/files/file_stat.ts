/**
 * file_stat.ts: what the system says of an open file.
 *
 * @module
 */

import { EIO } from "../../ffi/errno.ts";
import {
  FILE_TYPE,
  PAGE_SIZE_BYTES,
  STAT_DARWIN,
  STATX,
  STATX_FLAGS,
  STATX_SIZE_BYTES,
} from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import { shown, systemError } from "../base/errors.ts";
import type { FileNode } from "./file_node.ts";

/** Behind the lower word. */
const HIGH_WORD_AT = 4;

/** What is known of an open file. */
export interface FileStat extends FileNode {
  /** Type and permissions. */
  readonly mode: number;
  /** Bytes. */
  readonly size: number;
  /**
   * The block size of its file system, or another size that the system prefers for transfers, in
   * bytes.
   */
  readonly blockBytes: number;
  /** What direct I/O needs of an address and of an offset; null if the system does not say. */
  readonly direct: { readonly memory: number; readonly offset: number } | null;
}

/** Asks the system about an open file. @throws what it says */
export function fileStat(libc: Libc, fd: number, path: string): FileStat {
  return readStat(libc, fd, statx(libc, fd, path));
}

/** Has the system fill a `struct statx`. @throws what it says */
export function statx(libc: Libc, fd: number, path: string): Uint8Array {
  const buffer = new Uint8Array(STATX_SIZE_BYTES);
  const result = libc.stat(fd, buffer);
  if (result < 0) throw statError(result, path);
  return buffer;
}

/** Whether a file is of a type. */
export function modeIs(mode: number, type: number): boolean {
  return (mode & FILE_TYPE.mask) === type;
}

/** A `struct statx`, to be read. */
export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Reads what was filled for an open file. The system says 0 for the size of a block device. */
export function readStat(libc: Libc, fd: number, filled: Uint8Array): FileStat {
  const stat = fieldsOf(filled);
  if (!modeIs(stat.mode, FILE_TYPE.blockDevice)) return stat;
  return { ...stat, size: Math.max(0, libc.seekEnd(fd)) };
}

/** The error of a call that failed. */
export function statError(result: number, path: string): Error {
  // The second time it may have worked: what the first one failed of is not known then.
  const errno = result < 0 ? -result : EIO;
  return systemError(errno, `Cannot stat ${shown(path)}`, { syscall: "statx", path });
}

/** What a path names, a link itself where it is one; null where that cannot be said. */
export function pathStat(libc: Libc, path: string): FileStat | null {
  const buffer = new Uint8Array(STATX_SIZE_BYTES);
  return libc.statPath(path, buffer) < 0 ? null : fieldsOf(buffer);
}

/** Reads a `struct statx` that was filled. */
export function fieldsOf(buffer: Uint8Array): FileStat {
  const view = viewOf(buffer);
  if (Deno.build.os === "darwin") {
    return {
      mode: view.getUint16(STAT_DARWIN.mode.offset, true),
      size: Number(view.getBigUint64(STAT_DARWIN.size.offset, true)),
      inodeLow: view.getInt32(STAT_DARWIN.inode.offset, true),
      inodeHigh: view.getInt32(STAT_DARWIN.inode.offset + HIGH_WORD_AT, true),
      deviceMajor: 0,
      deviceMinor: view.getUint32(STAT_DARWIN.device.offset, true),
      blockBytes: PAGE_SIZE_BYTES,
      direct: null,
    };
  }
  const isReported = (view.getUint32(STATX.mask.offset, true) & STATX_FLAGS.directAlign) !== 0;
  return {
    mode: view.getUint16(STATX.mode.offset, true),
    size: Number(view.getBigUint64(STATX.size.offset, true)),
    inodeLow: view.getInt32(STATX.inode.offset, true),
    inodeHigh: view.getInt32(STATX.inode.offset + HIGH_WORD_AT, true),
    deviceMajor: view.getUint32(STATX.deviceMajor.offset, true),
    deviceMinor: view.getUint32(STATX.deviceMinor.offset, true),
    blockBytes: view.getUint32(STATX.blockSize.offset, true),
    direct: isReported
      ? {
        memory: view.getUint32(STATX.directMemoryAlign.offset, true),
        offset: view.getUint32(STATX.directOffsetAlign.offset, true),
      }
      : null,
  };
}
