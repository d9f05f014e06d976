/**
 * open_file.ts: {@linkcode OpenFile}, an open file apart from its bytes: what there is to know and
 * to change of it, flushes, and the end. file.ts adds what reads and writes.
 *
 * @module
 */

import { called, calling, INSPECT, runSteps, runStepsSync, shown } from "../../core/inside.ts";
import type { CloseOptions, FileToken } from "../../core/mod.ts";
import { type Advice, advise, adviseSync } from "./advise.ts";
import type { Alignment } from "./alignment.ts";
import { type AllocateOptions, changeRange, changeRangeSync } from "./allocate.ts";
import { type Copy, copyRange, copyRangeSync, refuseTarget } from "./copy_range.ts";
import type { FileInside } from "./file_inside.ts";
import { checkSize, type TransferOptions } from "./file_parts.ts";
import * as attributes from "./file_attributes.ts";
import * as locks from "./file_locks.ts";
import type { LockOptions, LockRange, TryLockOptions } from "./file_locks.ts";
import { published, type PublishOptions } from "./temporary.ts";
import { type Flush, flush, flushBegun, flushSync } from "./flush.ts";

/** What is behind the door of an open file. */
export let insideOf: (file: OpenFile) => FileInside;

/**
 * An open file apart from its bytes: what there is to know and to change of it, flushes, and the
 * end. What users have is an `AioFile`, which adds reading and writing.
 */
export abstract class OpenFile implements AsyncDisposable, Disposable {
  /** The path it was opened by: of a temporary file, that of the directory. */
  readonly path: string;
  /** Its descriptor, the same in all threads. Leave closing it to {@linkcode close}. */
  readonly fd: number;
  /** Whether transfers go past the page cache. */
  readonly direct: boolean;
  /**
   * With direct I/O: what addresses of buffers (`memory`) and offsets and lengths (`offset`) must
   * be multiples of, in bytes: what the file system says (`STATX_DIOALIGN`), or its block size.
   * Else 1.
   */
  readonly alignment: Alignment;
  readonly #file: FileInside;

  /** @ignore */
  protected constructor(file: FileInside) {
    this.path = file.path;
    this.fd = file.fd;
    this.direct = file.direct;
    this.alignment = file.alignment;
    this.#file = file;
  }

  static {
    insideOf = (file) => file.#file;
  }

  /** Whether {@linkcode close} was called. */
  get isClosed(): boolean {
    return this.#file.isClosed;
  }

  /** Names this file, for `aio.attachFile()` in any thread; can be posted to Workers. */
  get token(): FileToken {
    return this.#file.token;
  }

  /** One line for `console.log(file)`: `AioFile "a.db" (descriptor 7)`. */
  [INSPECT](): string {
    return `AioFile ${shown(this.path)} (${this.isClosed ? "closed" : `descriptor ${this.fd}`})`;
  }

  // --- the file itself ---

  /**
   * Makes the file durable, its metadata too (`fsync`). It covers the writes whose promises
   * resolved before the call.
   *
   * The system tells lost writes once. So after a flush that failed, in whichever thread, all that
   * overlapped it and all later ones reject, and {@linkcode close} too: open the file again and
   * verify what was written since the last flush that resolved. With `dsync` failed writes count.
   *
   * @param options a signal to end the wait
   * @throws what the system says
   */
  sync(options?: TransferOptions): Promise<void> {
    return this.#flush({ operation: "fsync" }, options?.signal);
  }

  /**
   * As {@linkcode sync}, but of the metadata only what reading the data back needs (`fdatasync`).
   */
  syncData(options?: TransferOptions): Promise<void> {
    return this.#flush({ operation: "fdatasync" }, options?.signal);
  }

  /** As {@linkcode sync}, blocking the thread. */
  syncSync(): void {
    this.#flushSync({ operation: "fsync" }, OpenFile.prototype.syncSync);
  }

  /** As {@linkcode syncData}, blocking the thread. */
  syncDataSync(): void {
    this.#flushSync({ operation: "fdatasync" }, OpenFile.prototype.syncDataSync);
  }

  /**
   * Has the system begin to write a range back, so that a later {@linkcode sync} has less to do. It
   * makes nothing durable. Linux only (`sync_file_range`); elsewhere it does nothing.
   *
   * @param offset where the range begins, in bytes
   * @param length of the range, in bytes; 0: to the end of the file. io_uring takes one of 4 GiB or
   *   more as 0, and so flushes more than was asked for.
   * @throws {TypeError} or {RangeError} for what cannot be such a range
   * @throws what the system says
   */
  flushRange(offset: number, length: number): Promise<void> {
    return this.#flush({ operation: "flush_range", operands: { offset, length } }, undefined);
  }

  /** As {@linkcode flushRange}, in this thread. */
  flushRangeSync(offset: number, length: number): void {
    const what: Flush = { operation: "flush_range", operands: { offset, length } };
    this.#flushSync(what, OpenFile.prototype.flushRangeSync);
  }

  #flush(what: Flush, signal: AbortSignal | undefined): Promise<void> {
    return called(flush(this.#file.transfers.aio, this.#file, what, signal), signal);
  }

  #flushSync(what: Flush, call: (...args: never[]) => void): void {
    calling(call, () => flushSync(this.#file.transfers.aio, this.#file, what));
  }

  /** Bytes of the file now. */
  size(): Promise<number> {
    return called(this.#ask("measure", async ({ calls: { awaited }, fd, path }) => {
      return (await awaited.stat(fd, path)).size;
    }));
  }

  async #ask<T>(verb: string, use: (file: FileInside) => Promise<T> | T): Promise<T> {
    const file = this.#file;
    file.checkOpen(verb);
    file.begin();
    try {
      return await use(file);
    } finally {
      file.end();
    }
  }

  /** As {@linkcode size}, blocking the thread. */
  sizeSync(): number {
    return calling(OpenFile.prototype.sizeSync, () => {
      this.#file.checkOpen("measure");
      return this.#file.sizeSync();
    });
  }

  /**
   * What the system says of the file, as `Deno.stat()` does, by its descriptor: also of one that
   * has no name any more. `blocks` are of 512 bytes.
   *
   * @throws {Deno.errors.BadResource} if the file is closed
   * @throws what the system says
   */
  stat(): Promise<Deno.FileInfo> {
    return called(this.#ask("stat", ({ calls: { awaited }, fd, path }) => awaited.info(fd, path)));
  }

  /** As {@linkcode stat}, blocking the thread. */
  statSync(): Deno.FileInfo {
    return calling(OpenFile.prototype.statSync, () => {
      const { calls: { blocking }, fd, path } = this.#file;
      this.#file.checkOpen("stat");
      return blocking.info(fd, path);
    });
  }

  /**
   * Cuts or extends the file; what is added reads as zeros.
   *
   * @param bytes the new size
   * @throws {RangeError} if it is negative or unsafe
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for writing
   * @throws what the system says
   */
  truncate(bytes: number): Promise<void> {
    return called(this.#ask("write", async (file) => {
      file.checkAccess("write", 0);
      checkSize(file.path, bytes);
      await runSteps(file.cut(file.calls.awaited, bytes));
    }));
  }

  /** As {@linkcode truncate}, blocking the thread. */
  truncateSync(bytes: number): void {
    calling(OpenFile.prototype.truncateSync, () => {
      const file = this.#file;
      file.checkAccess("write", 0);
      checkSize(file.path, bytes);
      runStepsSync(file.cut(file.calls.blocking, bytes));
    });
  }

  /**
   * Sets when the file was last read and written, as `Deno.FsFile.utime()` does.
   *
   * @param atime of the last read: a Date, or seconds since 1970
   * @param mtime of the last write
   * @throws {TypeError} or {RangeError} for what is no time
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for writing
   * @throws what the system says
   */
  utimes(atime: Date | number, mtime: Date | number): Promise<void> {
    return called(this.#ask("set the times of", (file) => {
      return runSteps(attributes.setTimes(file, file.calls.awaited, atime, mtime));
    }));
  }

  /** As {@linkcode utimes}, blocking the thread. */
  utimesSync(atime: Date | number, mtime: Date | number): void {
    calling(OpenFile.prototype.utimesSync, () => {
      const file = this.#file;
      runStepsSync(attributes.setTimes(file, file.calls.blocking, atime, mtime));
    });
  }

  /**
   * Sets the permissions of the file, as `Deno.chmod()` does.
   *
   * @param mode 0 to 0o7777
   * @throws {RangeError} for what are no permissions
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for writing
   * @throws what the system says
   */
  chmod(mode: number): Promise<void> {
    return called(this.#ask("change the mode of", (file) => {
      return runSteps(attributes.changeMode(file, file.calls.awaited, mode));
    }));
  }

  /** As {@linkcode chmod}, blocking the thread. */
  chmodSync(mode: number): void {
    calling(OpenFile.prototype.chmodSync, () => {
      runStepsSync(attributes.changeMode(this.#file, this.#file.calls.blocking, mode));
    });
  }

  /**
   * Gives a file of `aio.openTemporary()` a name: from then on the path names it, whole as it is.
   * It replaces no file. Calling it again gives it one more name.
   *
   * @param path on the file system where it was opened; Deno asks for `--allow-write` on it, and on
   *   where it really is, if links lead there
   * @param options `durable: false`: neither the file nor its name is flushed
   * @throws {TypeError} for what cannot be such a path, or for wrong options
   * @throws {Deno.errors.AlreadyExists} if the path is taken
   * @throws {Deno.errors.NotCapable} without Deno's permission
   * @throws {Deno.errors.BadResource} if the file is closed, or is no temporary one
   * @throws what the system says
   */
  publish(path: string | URL, options?: PublishOptions): Promise<void> {
    return called(this.#ask("publish", (file) => {
      const { transfers: { aio } } = file;
      const sync = () => flushBegun(aio, file, { operation: "fsync" }, undefined);
      return runSteps(published(file, file.calls.awaited, path, options, sync));
    }));
  }

  /** As {@linkcode publish}, blocking the thread. */
  publishSync(path: string | URL, options?: PublishOptions): void {
    calling(OpenFile.prototype.publishSync, () => {
      const sync = () => this.#flushSync({ operation: "fsync" }, OpenFile.prototype.publishSync);
      const file = this.#file;
      runStepsSync(published(file, file.calls.blocking, path, options, sync));
    });
  }

  // --- locks ---

  /**
   * Locks the file, or a range of it, against all other openings of it: of this process and of
   * others. Reads and writes heed no locks. It waits by trying again and again, after pauses of up
   * to 64 ms, so several waiters have no order; that two wait for each other is not noticed.
   *
   * A lock belongs to this opening, with all its threads and tasks, which do not exclude each
   * other; locking again changes shared to exclusive, or back. No other descriptor that is closed
   * takes it away. It ends with {@linkcode unlock}, with the last user's {@linkcode close}, and
   * with the process. On Linux only (`F_OFD_SETLK`); `Deno.FsFile.lock()` takes another kind, and
   * neither sees the other.
   *
   * @param options which range, whether shared, and a signal to end the wait
   * @throws {TypeError} or {RangeError} for wrong options
   * @throws {Deno.errors.BadResource} if the file is closed, also meanwhile; or was opened without
   *   `write`, which an exclusive lock needs, or `read`, which a shared one needs
   * @throws {Deno.errors.NotSupported} if the system has no such locks
   * @throws the signal's reason, or what the system says
   */
  lock(options?: LockOptions): Promise<void> {
    return called(locks.lock(this.#file, options), options?.signal);
  }

  /**
   * As {@linkcode lock}, blocking the thread: for ever if another opening of this thread has it.
   */
  lockSync(options?: TryLockOptions): void {
    calling(OpenFile.prototype.lockSync, () => locks.lockSync(this.#file, options));
  }

  /**
   * As {@linkcode lock}, but it does not wait.
   *
   * @returns whether it is locked: false if another opening's lock is in the way
   */
  tryLock(options?: TryLockOptions): Promise<boolean> {
    return called(locks.tryLock(this.#file, options));
  }

  /** As {@linkcode tryLock}, blocking the thread. */
  tryLockSync(options?: TryLockOptions): boolean {
    return calling(
      OpenFile.prototype.tryLockSync,
      () => locks.tryLockSync(this.#file, options),
    );
  }

  /**
   * Unlocks a range, whoever has locked it by this opening; a part of a locked range, too. What is
   * not locked stays so.
   *
   * @param range default: the whole file
   * @throws as {@linkcode lock}
   */
  unlock(range?: LockRange): Promise<void> {
    return called(locks.unlock(this.#file, range));
  }

  /** As {@linkcode unlock}, blocking the thread. */
  unlockSync(range?: LockRange): void {
    calling(OpenFile.prototype.unlockSync, () => locks.unlockSync(this.#file, range));
  }

  // --- its place on the device, and the page cache ---

  /**
   * Gives a range its place on the device, so that writes to it do not fail for want of space. What
   * is there stays; the rest reads as zeros. Linux only (`fallocate`).
   *
   * @param offset where the range begins, in bytes
   * @param length of the range, in bytes, from 1
   * @param options `keepSize`: without making the file longer; a signal to end the wait
   * @throws {TypeError} or {RangeError} for what cannot be such a range, and unknown options
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for writing
   * @throws {Deno.errors.NotSupported} if the file system, which it names, cannot do that
   * @throws what the system says, such as `ENOSPC`; a part may have its place then
   */
  allocate(offset: number, length: number, options?: AllocateOptions): Promise<void> {
    return this.#change("allocate", offset, length, options);
  }

  /** As {@linkcode allocate}, blocking the thread. */
  allocateSync(offset: number, length: number, options?: Omit<AllocateOptions, "signal">): void {
    const change = () => changeRangeSync(this.#file, "allocate", offset, length, options);
    calling(OpenFile.prototype.allocateSync, change);
  }

  /**
   * Gives the place of a range back to the device: it reads as zeros then. Blocks that it covers
   * only in part stay, with zeros. The file stays as long as it is. Linux only (`fallocate`).
   *
   * @throws as {@linkcode allocate}
   */
  punchHole(offset: number, length: number, options?: TransferOptions): Promise<void> {
    return this.#change("punchHole", offset, length, options);
  }

  /** As {@linkcode punchHole}, blocking the thread. */
  punchHoleSync(offset: number, length: number): void {
    const change = () => changeRangeSync(this.#file, "punchHole", offset, length, undefined);
    calling(OpenFile.prototype.punchHoleSync, change);
  }

  /**
   * Makes a range zeros which has its place on the device, without writing them where the file
   * system can. Linux only (`fallocate`).
   *
   * @throws as {@linkcode allocate}
   */
  zeroRange(offset: number, length: number, options?: AllocateOptions): Promise<void> {
    return this.#change("zeroRange", offset, length, options);
  }

  /** As {@linkcode zeroRange}, blocking the thread. */
  zeroRangeSync(offset: number, length: number, options?: Omit<AllocateOptions, "signal">): void {
    const change = () => changeRangeSync(this.#file, "zeroRange", offset, length, options);
    calling(OpenFile.prototype.zeroRangeSync, change);
  }

  #change(
    name: "allocate" | "punchHole" | "zeroRange",
    offset: number,
    length: number,
    options: AllocateOptions | undefined,
  ): Promise<void> {
    return called(changeRange(this.#file, name, offset, length, options), options?.signal);
  }

  /**
   * Copies a range into another file, or to another place of this one, within the kernel: file
   * systems that can, such as XFS and btrfs, share the blocks then and copy nothing. Where the
   * kernel does not copy between the two files, they are read and written.
   *
   * @param target open for writing; of direct files offsets and length must fit the alignment
   * @param offset where the range begins in this file, in bytes
   * @param targetOffset where it goes
   * @param length of the range, in bytes, from 1
   * @param options a signal to end the wait; a piece of up to 64 MiB that is under way goes on
   * @returns bytes; fewer than asked only at the end of this file, as it is when this begins
   * @throws {TypeError} or {RangeError} for what cannot be such a range; for two that overlap
   * @throws {Deno.errors.BadResource} if a file is closed, or was not opened for that
   * @throws what the system says, with `bytesWritten`; or the signal's reason
   */
  copyRangeTo(
    target: OpenFile,
    offset: number,
    targetOffset: number,
    length: number,
    options?: TransferOptions,
  ): Promise<number> {
    const copy = () => copyRange(this.#copyOf(target, offset, targetOffset, length), options);
    return called(Promise.try(copy), options?.signal);
  }

  /** As {@linkcode copyRangeTo}, blocking the thread. */
  copyRangeToSync(
    target: OpenFile,
    offset: number,
    targetOffset: number,
    length: number,
  ): number {
    return calling(
      OpenFile.prototype.copyRangeToSync,
      () => copyRangeSync(this.#copyOf(target, offset, targetOffset, length)),
    );
  }

  #copyOf(target: OpenFile, offset: number, targetOffset: number, length: number): Copy {
    const isFile = typeof target === "object" && target !== null && #file in target;
    if (!isFile) refuseTarget(this.path, target);
    return { source: this.#file, target: target.#file, offset, targetOffset, length };
  }

  /**
   * Tells the system how a range will be used (`posix_fadvise`): `"willNeed"` has it read into the
   * page cache, `"dontNeed"` has what is written back leave it; `"sequential"`, `"random"` and
   * `"normal"` change how far this opening of the file is read ahead, whatever the range; with
   * `"noReuse"` what is used once stays no longer for it. It changes no byte. Linux only; elsewhere
   * it does nothing.
   *
   * @param advice how
   * @param offset where the range begins, in bytes. Default: 0.
   * @param length of the range, in bytes; 0: to the end of the file. io_uring takes one of 4 GiB or
   *   more as 0. Default: 0.
   * @throws {TypeError} or {RangeError} for an unknown advice, and what cannot be such a range
   * @throws {Deno.errors.BadResource} if the file is closed
   */
  advise(advice: Advice, offset: number = 0, length: number = 0): Promise<void> {
    return called(advise(this.#file, advice, offset, length));
  }

  /** As {@linkcode advise}, blocking the thread. */
  adviseSync(advice: Advice, offset: number = 0, length: number = 0): void {
    calling(OpenFile.prototype.adviseSync, () => adviseSync(this.#file, advice, offset, length));
  }

  // --- the end ---

  /**
   * Closes the file: nothing can start on it any more, what was started ends first. The descriptor
   * is closed with its last user in any thread. Calling it again does nothing.
   *
   * @param options a signal to end the wait: what is in flight then keeps its memory and the
   *   descriptor until the kernel is done, but no event loop alive, and the rest follows by itself
   * @throws the signal's reason
   * @throws what the system says, or the error of a flush that failed before, in whichever thread;
   *   the file is closed all the same
   */
  close(options?: CloseOptions): Promise<void> {
    return called(this.#file.ending.close(options?.signal), options?.signal);
  }

  /**
   * As {@linkcode close}, blocking the thread.
   *
   * @throws {Deno.errors.Busy} while operations of it are pending, or a page of a pool is locked
   */
  closeSync(): void {
    if (this.isClosed) return;
    calling(OpenFile.prototype.closeSync, () => this.#file.ending.closeSync());
  }

  /**
   * {@linkcode close}, quiet about a failed flush that a call of this object has thrown already,
   * and about a closing that whoever called it gave up.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return called(this.#file.ending.dispose());
  }

  /**
   * {@linkcode closeSync}, for a block with `using`: quiet about a failed flush that a call of this
   * object has thrown already.
   *
   * @throws {Deno.errors.Busy} while operations of it are pending, or a page of a pool is locked
   */
  [Symbol.dispose](): void {
    calling(OpenFile.prototype[Symbol.dispose], () => this.#file.ending.disposeSync());
  }
}
