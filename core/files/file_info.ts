/**
 * file_info.ts: what the system says of an open file, as `Deno.FileInfo`.
 *
 * @module
 */

import { FILE_TYPE, STATX, STATX_FLAGS } from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import { fromWords } from "../../ffi/memory.ts";
import { type FileStat, modeIs, readStat, statx, viewOf } from "./file_stat.ts";
import { statxAsync } from "./file_stat_async.ts";

const MS_PER_S = 1000;
const NS_PER_MS = 1_000_000;
/** Behind the seconds of a time. */
const NANOSECONDS_AT = 8;

/** Asks the system about an open file. @throws what it says */
export function fileInfo(libc: Libc, fd: number, path: string): Deno.FileInfo {
  const filled = statx(libc, fd, path);
  return infoOf(viewOf(filled), readStat(libc, fd, filled));
}

/** The same off this thread. */
export async function fileInfoAsync(libc: Libc, fd: number, path: string): Promise<Deno.FileInfo> {
  const filled = await statxAsync(libc, fd, path);
  return infoOf(viewOf(filled), readStat(libc, fd, filled));
}

function infoOf(statx: DataView, stat: FileStat): Deno.FileInfo {
  const number = (field: "links" | "user" | "group") => statx.getUint32(STATX[field].offset, true);
  const { mode, size } = stat;
  const hasBirth = (statx.getUint32(STATX.mask.offset, true) & STATX_FLAGS.birthTime) !== 0;
  return {
    isFile: modeIs(mode, FILE_TYPE.regular),
    isBlockDevice: modeIs(mode, FILE_TYPE.blockDevice),
    // Nothing else can be opened.
    isDirectory: false,
    isSymlink: false,
    isCharDevice: false,
    isFifo: false,
    isSocket: false,
    size,
    mode,
    ino: fromWords(stat.inodeLow, stat.inodeHigh),
    dev: deviceNumber(stat.deviceMajor, stat.deviceMinor),
    rdev: deviceNumber(
      statx.getUint32(STATX.ownMajor.offset, true),
      statx.getUint32(STATX.ownMinor.offset, true),
    ),
    nlink: number("links"),
    uid: number("user"),
    gid: number("group"),
    blksize: stat.blockBytes,
    blocks: Number(statx.getBigUint64(STATX.blocks.offset, true)),
    atime: timeAt(statx, STATX.accessed.offset),
    mtime: timeAt(statx, STATX.modified.offset),
    ctime: timeAt(statx, STATX.changed.offset),
    birthtime: hasBirth ? timeAt(statx, STATX.born.offset) : null,
  };
}

/** As the C library packs it. */
function deviceNumber(major: number, minor: number): number {
  const high = (major & ~0xfff) * 2 ** 32 + (minor & ~0xff) * 2 ** 12;
  return high + (major & 0xfff) * 2 ** 8 + (minor & 0xff);
}

function timeAt(statx: DataView, offset: number): Date {
  const seconds = Number(statx.getBigInt64(offset, true));
  const nanoseconds = statx.getUint32(offset + NANOSECONDS_AT, true);
  return new Date(seconds * MS_PER_S + Math.floor(nanoseconds / NS_PER_MS));
}
