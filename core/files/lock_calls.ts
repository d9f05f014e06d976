/**
 * lock_calls.ts: locks of open file descriptions (`F_OFD_SETLK`), in two forms: calls that block,
 * and calls that leave the event loop alone.
 *
 * Such a lock belongs to the opening: another descriptor of the file that this process closes does
 * not take it away, as it would POSIX locks. A call off the thread does not say why it failed. So
 * the next one asks whose lock is in the way, which is nearly always the reason, and only if none
 * is, a Worker repeats the call to find out.
 *
 * @module
 */

import { EAGAIN, EIO, ENOSYS } from "../../ffi/errno.ts";
import { F_OFD_GETLK, F_OFD_SETLK, FLOCK, FLOCK_SIZE_BYTES, LOCK_TYPES } from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import { callInWorker } from "../base/call_workers.ts";
import { offThread } from "../base/off_thread.ts";
import type { Patience } from "../base/patience.ts";
import type { Eventually } from "../base/steps.ts";

type FileControl = Libc["fileControl"];

/** A lock, or the end of one. */
export interface FileLock {
  /** Whether other openings may share the range, or not even that. `"none"` unlocks it. */
  readonly type: keyof typeof LOCK_TYPES;
  /** Where the range begins, in bytes. */
  readonly offset: number;
  /** Of the range, in bytes; 0: to the end of the file, wherever that will be. */
  readonly length: number;
}

/** The calls, in either form. */
export interface LockCalls {
  /**
   * Locks a range of an open file, or unlocks it, without waiting.
   *
   * @returns 0, or -errno: EAGAIN if another opening's lock is in the way
   */
  lock(fd: number, lock: FileLock): Eventually<number>;
  /** Unlocks all of an open file that is about to be closed. */
  unlockAll(fd: number): Eventually<number>;
}

const ALL: FileLock = { type: "none", offset: 0, length: 0 };

/** The calls that block. */
export function blockingLocks({ fileControl }: Libc) {
  const lock = (fd: number, what: FileLock) => fileControl.lock(fd, F_OFD_SETLK, flockOf(what));
  return { lock, unlockAll: (fd: number) => lock(fd, ALL) };
}

/** The calls off the thread. */
export function awaitedLocks(libc: Libc, patience: Patience) {
  return {
    lock: (fd: number, what: FileLock) => lockOff(libc, fd, what, patience),
    unlockAll: (fd: number) => setLock(libc.fileControl, fd, flockOf(ALL), patience),
  };
}

async function lockOff(
  libc: Libc,
  fd: number,
  what: FileLock,
  patience: Patience,
): Promise<number> {
  const { fileControl } = libc;
  if (!fileControl.hasLocks) return -ENOSYS;
  const flock = flockOf(what);
  if (await setLock(fileControl, fd, flock, patience) >= 0) return 0;
  if (await isTaken(fileControl, fd, what, patience)) return -EAGAIN;
  const parameters = ["i32", "i32", "buffer"] as const;
  const args = [fd, F_OFD_SETLK, flock];
  const again = { name: "fcntl", parameters, result: "i32", args } as const;
  return await callInWorker(libc, again, patience) ?? -EIO;
}

function setLock(
  fileControl: FileControl,
  fd: number,
  flock: Uint8Array<ArrayBuffer>,
  patience: Patience,
): Promise<number> {
  return offThread(() => fileControl.lockNonblocking(fd, F_OFD_SETLK, flock), patience);
}

/** Whether another opening has locked what a lock is to cover. */
async function isTaken(
  fileControl: FileControl,
  fd: number,
  what: FileLock,
  patience: Patience,
): Promise<boolean> {
  if (what.type === "none") return false;
  const flock = flockOf(what);
  const ask = () => fileControl.lockNonblocking(fd, F_OFD_GETLK, flock);
  return await offThread(ask, patience) >= 0 && typeOf(flock) !== LOCK_TYPES.none;
}

/** A `struct flock`. */
function flockOf({ type, offset, length }: FileLock): Uint8Array<ArrayBuffer> {
  const flock = new Uint8Array(FLOCK_SIZE_BYTES);
  const view = new DataView(flock.buffer);
  view.setInt16(FLOCK.type.offset, LOCK_TYPES[type], true);
  view.setBigInt64(FLOCK.start.offset, BigInt(offset), true);
  view.setBigInt64(FLOCK.length.offset, BigInt(length), true);
  return flock;
}

function typeOf(flock: Uint8Array<ArrayBuffer>): number {
  return new DataView(flock.buffer).getInt16(FLOCK.type.offset, true);
}
