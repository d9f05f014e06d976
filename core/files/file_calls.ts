/**
 * file_calls.ts: the calls that opening, measuring, cutting and closing a file are made of, in two
 * forms: those that block, and those that leave the event loop alone.
 *
 * Deno's own descriptors are opened and closed here and nowhere else: only `node:fs` in the thread
 * that opened one may close it, as Deno closes the number once more when that thread ends.
 *
 * @module
 */

import { EIO } from "../../ffi/errno.ts";
import { O_CLOEXEC, STATFS_SIZE_BYTES } from "../../ffi/layout.ts";
import { type Libc, SEEK_END } from "../../ffi/libc.ts";
import { callInWorker, type LibraryCall } from "../base/call_workers.ts";
import { shown, systemError, systemErrorOf } from "../base/errors.ts";
import { type AttributeCalls, awaitedAttributes, blockingAttributes } from "./attribute_calls.ts";
import { awaitedCopies, blockingCopies, type CopyCalls } from "./copy_calls.ts";
import { fileInfo, fileInfoAsync } from "./file_info.ts";
import { type FileStat, fileStat, pathStat } from "./file_stat.ts";
import { fileStatAsync, pathStatAsync } from "./file_stat_async.ts";
import { fileSystemFlags, fileSystemName } from "./file_system.ts";
import { awaitedLinks, blockingLinks, type LinkCalls } from "./link_calls.ts";
import { awaitedLocks, blockingLocks, type LockCalls } from "./lock_calls.ts";
import { nodeFs } from "./node_fs.ts";
import { offThread, offThreadTwice } from "../base/off_thread.ts";
import { Patience } from "../base/patience.ts";
import { sleepMs } from "../base/sleep.ts";
import { FILE_FLAGS } from "./file_table.ts";
import type { Eventually } from "../base/steps.ts";

/** What the calls need of their backend. */
export interface FileHost {
  /** The C library. */
  readonly libc: Libc;
  /**
   * Has a descriptor that stays open until all files are closed: what replaces one is closed
   * quietly.
   */
  readonly doorbells: { tryOpen(): number };
}

/** The calls in either form. They throw what the system says, unless they return it. */
export interface FileCalls extends LockCalls, AttributeCalls, LinkCalls, CopyCalls {
  /** Which form they are. */
  readonly areBlocking: boolean;
  /** Opens a path by `node:fs`, with Deno's permissions. @returns Deno's descriptor */
  open(path: string, flags: number, mode: number): Eventually<number>;
  /** What is known of an open file. */
  stat(fd: number, path: string): Eventually<FileStat>;
  /** The same in full. */
  info(fd: number, path: string): Eventually<Deno.FileInfo>;
  /** What its file system makes different for an open file, as bits of `FILE_FLAGS`. */
  fileSystemFlags(fd: number): Eventually<number>;
  /** What its file system is called, for errors. */
  fileSystemName(fd: number): Eventually<string>;
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
   * @param fileFlags bits of `FILE_FLAGS`
   * @returns 0, or -errno
   */
  close(fd: number, fileFlags: number): Eventually<number>;
  /**
   * Closes Deno's descriptor. What closing says is lost: {@linkcode FileCalls.close} a duplicate
   * first.
   *
   * @param fileFlags bits of `FILE_FLAGS`
   */
  closeDenos(fd: number, fileFlags: number): Eventually<void>;
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
    ...blockingLocks(libc),
    ...blockingAttributes(libc),
    ...blockingLinks(libc),
    ...blockingCopies(libc),
    areBlocking: true,
    open(path, flags, mode) {
      try {
        return nodeFs().openSync(path, flags, mode);
      } catch (error) {
        throw openError(path, error);
      }
    },
    stat: (fd, path) => fileStat(libc, fd, path),
    info: (fd, path) => fileInfo(libc, fd, path),
    fileSystemFlags(fd) {
      const into = new Uint8Array(STATFS_SIZE_BYTES);
      return fileSystemFlags(libc.statFileSystem(fd, into), into);
    },
    fileSystemName(fd) {
      const into = new Uint8Array(STATFS_SIZE_BYTES);
      return fileSystemName(libc.statFileSystem(fd, into), into);
    },
    statPath: (path) => pathStat(libc, path),
    readLink(path) {
      try {
        return nodeFs().readlinkSync(path);
      } catch {
        return null;
      }
    },
    unlink: (path) => nodeFs().unlinkSync(path),
    read: (fd, iovec, offset) => libc.preadv(fd, iovec, 1, BigInt(offset)),
    seekEnd: (fd) => libc.seekEnd(fd),
    truncate(fd, path, bytes) {
      const result = libc.ftruncate(fd, bytes);
      if (result < 0) throw truncateError(result, path, bytes);
    },
    close: (fd) => libc.close(fd),
    closeDenos: (fd) => nodeFs().closeSync(fd),
    pause: sleepMs,
  };
}

function awaitedCalls(host: FileHost, patience: Patience): FileCalls {
  const { libc } = host;
  return {
    ...awaitedLocks(libc, patience),
    ...awaitedAttributes(libc),
    ...awaitedLinks(libc),
    ...awaitedCopies(libc),
    areBlocking: false,
    open: (path, flags, mode) =>
      new Promise((resolve, reject) => {
        nodeFs().open(path, flags, mode, (error, fd) => {
          if (error === null) resolve(fd);
          else reject(openError(path, error));
        });
      }),
    stat: (fd, path) => fileStatAsync(libc, fd, path),
    info: (fd, path) => fileInfoAsync(libc, fd, path),
    async fileSystemFlags(fd) {
      const into = new Uint8Array(STATFS_SIZE_BYTES);
      const result = await offThread(() => libc.statFileSystemNonblocking(fd, into));
      return fileSystemFlags(result, into);
    },
    async fileSystemName(fd) {
      const into = new Uint8Array(STATFS_SIZE_BYTES);
      return fileSystemName(await offThread(() => libc.statFileSystemNonblocking(fd, into)), into);
    },
    statPath: (path) => pathStatAsync(libc, path),
    readLink: (path) =>
      new Promise((resolve) => {
        nodeFs().readlink(path, (error, target) => resolve(error === null ? target : null));
      }),
    unlink: (path) =>
      new Promise((resolve, reject) => {
        nodeFs().unlink(path, (error) => error === null ? resolve() : reject(error));
      }),
    read(fd, iovec, offset) {
      const call = () => libc.preadvNonblocking(fd, iovec, BigInt(offset));
      const parameters = ["i32", "buffer", "i32", "i64"] as const;
      const args = [fd, iovec, 1, BigInt(offset)];
      return offThreadTwice(libc, call, { name: "preadv", parameters, result: "i32", args });
    },
    seekEnd(fd) {
      const call = () => libc.seekEndNonblocking(fd);
      const parameters = ["i32", "i64", "i32"] as const;
      const args = [fd, 0n, SEEK_END];
      return offThreadTwice(libc, call, { name: "lseek", parameters, result: "i64", args });
    },
    async truncate(fd, path, bytes) {
      const call = () => libc.ftruncateNonblocking(fd, bytes);
      const args = [fd, BigInt(bytes)];
      const again: LibraryCall = {
        name: "ftruncate",
        parameters: ["i32", "i64"],
        result: "i32",
        args,
      };
      const result = await offThreadTwice(libc, call, again);
      if (result < 0) throw truncateError(result, path, bytes);
    },
    close: (fd, fileFlags) => closeOff(libc, fd, fileFlags, patience),
    closeDenos: (fd, fileFlags) => closeDenosOff(host, fd, fileFlags, patience),
    pause: (ms) => patience.pause(ms),
  };
}

/**
 * A call that closes: executed by a Worker where the file system flushes at close, by a thread of
 * the pool where a close has nothing to report, or no Worker can be had.
 */
async function closing(
  libc: Libc,
  fileFlags: number,
  call: LibraryCall,
  nonblocking: () => Promise<number>,
  patience: Patience,
): Promise<number> {
  if ((fileFlags & FILE_FLAGS.flushesAtClose) !== 0) {
    const result = await callInWorker(libc, call, patience);
    if (result !== null) return result;
  }
  return await offThread(nonblocking, patience) >= 0 ? 0 : -EIO;
}

function closeOff(
  libc: Libc,
  fd: number,
  fileFlags: number,
  patience: Patience,
): Promise<number> {
  const call: LibraryCall = { name: "close", parameters: ["i32"], result: "i32", args: [fd] };
  return closing(libc, fileFlags, call, () => libc.closeNonblocking(fd), patience);
}

/**
 * `fs.close` blocks the event loop for as long as the system writes back. So another thread closes
 * the file, by putting another one in its place, and `fs.close` closes that.
 */
async function closeDenosOff(
  { libc, doorbells }: FileHost,
  fd: number,
  fileFlags: number,
  patience: Patience,
): Promise<void> {
  const by = doorbells.tryOpen();
  if (by >= 0) {
    const parameters = ["i32", "i32", "i32"] as const;
    const args = [by, fd, O_CLOEXEC];
    const call: LibraryCall = { name: "dup3", parameters, result: "i32", args };
    await closing(libc, fileFlags, call, () => libc.replaceNonblocking(fd, by), patience);
  }
  nodeFs().closeSync(fd);
}

function openError(path: string, error: unknown): unknown {
  return systemErrorOf(error, `Cannot open ${shown(path)}`, { syscall: "open", path });
}

function truncateError(result: number, path: string, bytes: number): Error {
  const what = `Cannot truncate ${shown(path)} to ${bytes} bytes`;
  return systemError(-result, what, { syscall: "ftruncate", path });
}
