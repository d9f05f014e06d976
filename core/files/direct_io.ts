/**
 * direct_io.ts: switches an open file to direct I/O and finds the alignment that its transfers
 * need.
 *
 * What the system says is not enough. An overlay (container images, live systems) takes the flag
 * for every file, and then fails every read, and even the close, where the file below has no direct
 * I/O. So a read shows whether there is any; where nothing may be read a seek does, as an overlay
 * looks at the file below for that, too. Neither shows the alignment: btrfs serves a misaligned
 * direct read from the page cache, without a word.
 *
 * @module
 */

import { EINVAL, ENOSYS, EOPNOTSUPP } from "../../ffi/errno.ts";
import { IOVEC_WORDS, PAGE_SIZE_BYTES } from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import { alignUp } from "../../ffi/memory.ts";
import { shown, systemError } from "../base/errors.ts";
import type { FileCalls } from "./file_calls.ts";
import type { FileStat } from "./file_stat.ts";
import { FILE_FLAGS } from "./file_table.ts";
import { writeIovec } from "../io/operation.ts";
import { get, type Steps } from "../base/steps.ts";

/** The block sizes of file systems; what is no such number is a preferred size of transfers. */
const BLOCK_BYTES_MIN = 512;
const BLOCK_BYTES_MAX = 65_536;
/** The answers of a file that takes the flag and has no direct I/O. */
const NO_DIRECT_IO: readonly number[] = [-EINVAL, -EOPNOTSUPP, -ENOSYS];

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
  /** Bits of `FILE_FLAGS`: whether it may be read. */
  readonly fileFlags: number;
}

/** The calls that it takes. */
type DirectLibc = Pick<Libc, "addressOf" | "changeFlags">;
type DirectCalls = Pick<FileCalls, "read" | "seekEnd">;
type DirectStat = Pick<FileStat, "direct" | "blockBytes">;

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
export function* directSteps(
  libc: DirectLibc,
  calls: DirectCalls,
  request: DirectRequest,
  fd: number,
  stat: DirectStat,
): Steps<DirectAlignment | null> {
  const { path } = request;
  const alignment = alignmentOf(stat);
  if (setDirect(libc, request, fd, stat)) {
    const isReadable = (request.fileFlags & FILE_FLAGS.read) !== 0;
    const result = isReadable
      ? yield* tryRead(libc, calls, fd, alignment)
      : yield* get(calls.seekEnd(fd));
    // Any other error is one of the device, and nothing to refuse an opening for.
    if (!NO_DIRECT_IO.includes(result)) return alignment;
    // With the flag even closing the file would fail.
    check(libc.changeFlags(fd, 0, request.directFlag), path);
  }
  if (request.direct === "optional") return null;
  throw systemError(
    EOPNOTSUPP,
    `Cannot open ${shown(path)} for direct I/O as its file system has none; ` +
      `pass direct: "optional" to go through the page cache then`,
    { syscall: "fcntl", path },
  );
}

/** @returns false if the system has no direct I/O for the file */
function setDirect(
  libc: DirectLibc,
  request: DirectRequest,
  fd: number,
  stat: DirectStat,
): boolean {
  // Some files of a file system with direct I/O have none, such as compressed ones: the kernel
  // takes the flag and serves them from the page cache all the same.
  const isDenied = stat.direct !== null && stat.direct.offset === 0;
  if (isDenied || request.directFlag === 0) return false;
  const result = libc.changeFlags(fd, request.directFlag, 0);
  if (result === -EINVAL) return false;
  check(result, request.path);
  return true;
}

function check(result: number, path: string): void {
  if (result >= 0) return;
  const what = `Cannot open ${shown(path)} for direct I/O`;
  throw systemError(-result, what, { syscall: "fcntl", path });
}

/** Reads the first block, which a file without data answers as well. @returns bytes, or -errno */
function* tryRead(
  libc: DirectLibc,
  calls: DirectCalls,
  fd: number,
  { memory, offset }: DirectAlignment,
): Steps<number> {
  const buffer = new Uint8Array(offset + memory);
  const iovec = new Int32Array(IOVEC_WORDS.size);
  writeIovec(iovec, 0, alignUp(libc.addressOf(buffer), memory), offset);
  const result = yield* get(calls.read(fd, new Uint8Array(iovec.buffer), 0));
  // Used only for its address so far: this use keeps the memory alive until the read is over.
  return buffer.byteLength > 0 ? result : -EINVAL;
}

/**
 * What direct I/O needs of addresses and offsets. Where the system does not say, it is the block
 * size of the file system, which no device's logical blocks exceed.
 */
function alignmentOf({ direct, blockBytes }: DirectStat): DirectAlignment {
  if (direct !== null && direct.offset > 0) {
    return { memory: Math.max(1, direct.memory), offset: direct.offset };
  }
  const isBlockSize = blockBytes >= BLOCK_BYTES_MIN && blockBytes <= BLOCK_BYTES_MAX &&
    Number.isInteger(Math.log2(blockBytes));
  const unit = isBlockSize ? blockBytes : PAGE_SIZE_BYTES;
  return { memory: unit, offset: unit };
}
