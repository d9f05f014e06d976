/**
 * file_calls.ts: the calls that opening, measuring, cutting and closing a file are made of, in two
 * forms: those that block, and those that leave the event loop alone.
 *
 * Deno's own descriptors are opened and closed here and nowhere else: only `node:fs` in the thread
 * that opened one may close it, as Deno closes the number once more when that thread ends.
 *
 * @module
 */

import fs from "node:fs";
import { EIO, errnoOf } from "../ffi/errno.ts";
import { FUSE_SUPER_MAGIC, STATFS_SIZE_BYTES } from "../ffi/layout.ts";
import { type Libc, SEEK_END } from "../ffi/libc.ts";
import { shown, systemError } from "./errors.ts";
import { type FileStat, fileStat, fileStatAsync, pathStat, pathStatAsync } from "./file_stat.ts";
import { offThread } from "./off_thread.ts";
import { Patience } from "./patience.ts";
import { secondLook } from "./second_look.ts";
import { sleepMs } from "./sleep.ts";
import type { Eventually } from "./steps.ts";

/** What the calls need of their backend. */
export interface FileHost {
  /** The C library. */
  readonly libc: Libc;
  /** Has a descriptor that stays open until all files are closed: what replaces one is closed quietly. */
  readonly doorbells: { tryOpen(): number };
}

/** The calls in either form. They throw what the system says, unless they return it. */
export interface FileCalls {
  /** Which form they are. */
  readonly areBlocking: boolean;
  /** Opens a path by `node:fs`, with Deno's permissions. @returns Deno's descriptor */
  open(path: string, flags: number, mode: number): Eventually<number>;
  /** What is known of an open file. */
  stat(fd: number, path: string): Eventually<FileStat>;
  /** Whether an open file is one of FUSE. */
  isFuse(fd: number): Eventually<boolean>;
  /** What a path names; null where that cannot be said. */
  statPath(path: string): Eventually<FileStat | null>;
  /** Where a symbolic link leads; null where it is none, or Deno does not permit to look. */
  readLink(path: string): Eventually<string | null>;
  /** Removes a file from its folder. */
  unlink(path: string): Eventually<void>;
  /** Reads into one entry of an iovec, whose memory the caller keeps. @returns bytes, or -errno */
  read(fd: number, iovec: Uint8Array<ArrayBuffer>, offset: number): Eventually<number>;
  /** Seeks to the end. @returns the size in bytes, or -errno */
  seekEnd(fd: number): Eventually<number>;
  /** Cuts or extends a file. */
  truncate(fd: number, path: string, bytes: number): Eventually<void>;
  /**
   * Closes a descriptor of ours.
   *
   * @param sibling another one of the same open file, or -1: it helps to find out what went wrong
   * @returns 0, or -errno
   */
  close(fd: number, sibling: number): Eventually<number>;
  /** Closes Deno's descriptor. What closing says is lost: {@linkcode FileCalls.close} a duplicate first. */
  closeDenos(fd: number): Eventually<void>;
  /** Waits. */
  pause(ms: number): Eventually<void>;
}

/** The calls that block the thread. */
export type BlockingCalls = {
  readonly [K in keyof FileCalls]: FileCalls[K] extends (...args: infer A) => infer R
    ? (...args: A) => Awaited<R>
    : FileCalls[K];
};

/** Both forms. */
export interface FileCallForms {
  /** They do not block the event loop. */
  readonly awaited: FileCalls;
  /** They block the thread. */
  readonly blocking: BlockingCalls;
}

/**
 * Makes both forms for a backend.
 *
 * @param patience once that is given up, pauses and closings do not keep the event loop alive
 */
export function fileCalls(host: FileHost, patience = new Patience()): FileCallForms {
  return { awaited: awaitedCalls(host, patience), blocking: blockingCalls(host) };
}

function blockingCalls({ libc }: FileHost): BlockingCalls {
  return {
    areBlocking: true,
    open(path, flags, mode) {
      try {
        return fs.openSync(path, flags, mode);
      } catch (error) {
        throw openError(path, error);
      }
    },
    stat: (fd, path) => fileStat(libc, fd, path),
    isFuse(fd) {
      const into = new Uint8Array(STATFS_SIZE_BYTES);
      return libc.statFileSystem(fd, into) >= 0 && isOfFuse(into);
    },
    statPath: (path) => pathStat(libc, path),
    readLink(path) {
      try {
        return fs.readlinkSync(path);
      } catch {
        return null;
      }
    },
    unlink: (path) => fs.unlinkSync(path),
    read: (fd, iovec, offset) => libc.preadv(fd, iovec, 1, BigInt(offset)),
    seekEnd: (fd) => libc.seekEnd(fd),
    truncate(fd, path, bytes) {
      const result = libc.ftruncate(fd, bytes);
      if (result < 0) throw truncateError(result, path, bytes);
    },
    close: (fd) => libc.close(fd),
    closeDenos: (fd) => fs.closeSync(fd),
    pause: sleepMs,
  };
}

function awaitedCalls(host: FileHost, patience: Patience): FileCalls {
  const { libc } = host;
  return {
    areBlocking: false,
    open: (path, flags, mode) =>
      new Promise((resolve, reject) => {
        fs.open(path, flags, mode, (error, fd) => {
          if (error === null) resolve(fd);
          else reject(openError(path, error));
        });
      }),
    stat: (fd, path) => fileStatAsync(libc, fd, path),
    async isFuse(fd) {
      const into = new Uint8Array(STATFS_SIZE_BYTES);
      return await offThread(() => libc.statFileSystemNonblocking(fd, into)) >= 0 && isOfFuse(into);
    },
    statPath: (path) => pathStatAsync(libc, path),
    readLink: (path) =>
      new Promise((resolve) => {
        fs.readlink(path, (error, target) => resolve(error === null ? target : null));
      }),
    unlink: (path) =>
      new Promise((resolve, reject) => {
        fs.unlink(path, (error) => error === null ? resolve() : reject(error));
      }),
    async read(fd, iovec, offset) {
      const result = await offThread(() => libc.preadvNonblocking(fd, iovec, BigInt(offset)));
      if (result >= 0) return result;
      const parameters = ["i32", "buffer", "i32", "i64"] as const;
      const args = [fd, iovec, 1, BigInt(offset)];
      return await secondLook(libc, { name: "preadv", parameters, args });
    },
    async seekEnd(fd) {
      const result = await offThread(() => libc.seekEndNonblocking(fd));
      if (result >= 0) return result;
      const parameters = ["i32", "i64", "i32"] as const;
      return await secondLook(libc, { name: "lseek", parameters, args: [fd, 0n, SEEK_END] });
    },
    async truncate(fd, path, bytes) {
      if (await offThread(() => libc.ftruncateNonblocking(fd, bytes)) >= 0) return;
      const args = [fd, BigInt(bytes)];
      const call = { name: "ftruncate", parameters: ["i32", "i64"], args } as const;
      const result = await secondLook(libc, call);
      if (result < 0) throw truncateError(result, path, bytes);
    },
    close: (fd, sibling) => closeOff(libc, fd, sibling, patience),
    closeDenos: (fd) => closeDenosOff(host, fd, patience),
    pause: (ms) => patience.pause(ms),
  };
}

function isOfFuse(statfs: Uint8Array<ArrayBuffer>): boolean {
  return new DataView(statfs.buffer).getUint32(0, true) === FUSE_SUPER_MAGIC;
}

/** The error number of a failed close is another thread's: closing a sibling may fail of the same. */
async function closeOff(
  libc: Libc,
  fd: number,
  sibling: number,
  patience: Patience,
): Promise<number> {
  if (await offThread(() => libc.closeNonblocking(fd), patience) >= 0) return 0;
  const again = sibling < 0 ? -1 : libc.duplicate(sibling);
  if (again < 0) return -EIO;
  const result = await secondLook(libc, { name: "close", parameters: ["i32"], args: [again] });
  return result < 0 ? result : -EIO;
}

/**
 * `fs.close` blocks the event loop for as long as the system writes back. So the file is closed by a
 * thread of the pool, by putting another one in its place, and `fs.close` closes that.
 */
async function closeDenosOff(
  { libc, doorbells }: FileHost,
  fd: number,
  patience: Patience,
): Promise<void> {
  const by = doorbells.tryOpen();
  if (by >= 0) await offThread(() => libc.replaceNonblocking(fd, by), patience);
  fs.closeSync(fd);
}

/** Errors of Deno's own, such as a missing permission, go through as they are. */
function openError(path: string, error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const errno = errnoOf(code);
  if (errno === undefined) return error;
  return systemError(errno, `Cannot open ${shown(path)}`, { syscall: "open", path }, error);
}

function truncateError(result: number, path: string, bytes: number): Error {
  const what = `Cannot truncate ${shown(path)} to ${bytes} bytes`;
  return systemError(-result, what, { syscall: "ftruncate", path });
}
