/**
 * file_inside.ts: class {@linkcode FileInside}, an open file as storage sees it: what it is, how IO
 * is started on it, what must end before its descriptor may be closed. `AioFile` (file.ts) is its
 * door for users.
 *
 * @module
 */

import * as inside from "../../core/inside.ts";
import {
  type Backend,
  DURABLE_WRITE,
  type FileCallForms,
  type FileCalls,
  type FileSlot,
  get,
  identityOf,
  LAYOUT_VERSION,
  runSteps,
  runStepsSync,
  shown,
  type Steps,
} from "../../core/inside.ts";
import type { AioHandle, FileToken, StartOptions } from "../../core/mod.ts";
import { type AppendFile, Appends } from "./append.ts";
import { settleEnd } from "./append_end.ts";
import type { AddressOf, Alignment } from "./alignment.ts";
import { FileEnd } from "./file_end.ts";
import { endLockWaits, type LockableFile } from "./file_locks.ts";
import {
  type AioFileParts,
  type FileIo,
  fileIo,
  type ReadOptions,
  type WriteOptions,
} from "./file_parts.ts";
import { type FlushFile, flushSync, flushWritten } from "./flush.ts";
import { FlaggedFile, flagsOf } from "./flagged_file.ts";
import type { FileTransfer } from "./many_transfer.ts";
import { FlushFailure } from "./flush_failure.ts";
import type { ForgottenFile, Origin } from "./forgotten.ts";
import type { PlainIo } from "./plain_io.ts";
import { SharedFlush } from "./shared_flush.ts";
import type { Transfers } from "./transfer.ts";
import {
  type BufferedFile,
  type Direction,
  isOneIo,
  type TransferFile,
  transferRequest,
} from "./transfer_request.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { checkOffset, FILE_FLAGS, FILE_TARGET, handDown, HANDLE } = inside;
const { RWF_DSYNC } = inside.system;

/** An open file, of one thread. */
export class FileInside
  implements TransferFile, FlushFile, ForgottenFile, AppendFile, LockableFile {
  /** The path it was opened by. */
  readonly path: string;
  /** Its descriptor. */
  readonly fd: number;
  /** Whether transfers go past the page cache. */
  readonly direct: boolean;
  /** The same file, if they do not. */
  readonly buffered: BufferedFile | null;
  /** What addresses and offsets must be multiples of. */
  readonly alignment: Alignment;
  /** Whether a write is a flush as well. */
  readonly isDurable: boolean;
  /** Whether it is on a file system of a server, as far as the system says. */
  readonly isOnServer: boolean;
  /**
   * Whether the system may forget that, and `RWF_DSYNC`, of direct writes. FUSE does of those that
   * do not block their thread (io_uring), up to Linux 6.18 at least; what SMB, 9p and AFS share in
   * the kernel does of all. So any server's file system counts.
   */
  readonly forgetsDsync: boolean;
  /** Does its transfers. */
  readonly transfers: Transfers;
  /** Measure and cut it. */
  readonly calls: FileCallForms;
  /** What became of its flushes, of all threads. */
  readonly flushFailure: FlushFailure;
  /** What it counts while it is used, and how it ends. */
  readonly ending: FileEnd;
  /** Says who opened it. */
  readonly origin: Origin;
  /** Where memory is that the kernel may keep. */
  readonly addressOf: AddressOf;
  /** The read streams that may have something in flight: they end when the file is closed. */
  readonly streams: Set<{ endWith(error: unknown): void }> = new Set();
  /** The waits for locks on it: they end when the file is closed. */
  readonly lockWaits: Set<AbortController> = new Set();
  /** Names the device that it is on. */
  readonly device: string;
  readonly #inodeLow: number;
  readonly #inodeHigh: number;
  /** Its place in the table of open files. */
  readonly slot: FileSlot;
  readonly #backend: Backend;
  readonly #ends: Backend["files"]["ends"];
  readonly #flags: number;
  /** Whether IO is executed in the call that starts it. */
  readonly #isSync: boolean;
  readonly #identity: FileIo;
  /** The same for writes that are durable by themselves. */
  readonly #durableIdentity: FileIo;
  /** By flags of `preadv2(2)` and `pwritev2(2)`: this file with transfers that have them. */
  readonly #flagged = new Map<number, FlaggedFile>();
  #appends: Appends | null = null;
  #shownName: string | null = null;

  /**
   * For one opening of a file.
   *
   * @param parts what the opener put together
   */
  constructor(parts: AioFileParts) {
    const { transfers, descriptors, slot, entry, path, denosFd } = parts;
    const { aio, backend } = transfers;
    this.path = path;
    this.fd = entry.fd;
    this.direct = (entry.flags & FILE_FLAGS.direct) !== 0;
    this.buffered = this.direct ? null : { ...slot, fd: entry.fd };
    this.alignment = { memory: entry.memoryAlignment, offset: entry.offsetAlignment };
    this.isDurable = (entry.flags & FILE_FLAGS.dsync) !== 0;
    this.isOnServer = (entry.flags & FILE_FLAGS.flushesAtClose) !== 0;
    this.forgetsDsync = this.direct && this.isOnServer;
    this.transfers = transfers;
    this.calls = descriptors.calls;
    this.flushFailure = new FlushFailure(aio, slot, entry.fd, path);
    const closing = { path, slot, denosFd, fd: entry.fd, flags: entry.flags };
    this.ending = new FileEnd(descriptors, closing, this.flushFailure, {
      closes: () => this.#endWaits(),
      closed: () => {
        if (this.#appends !== null) transfers.users.delete(this.#appends);
        parts.onClosed();
      },
    });
    this.origin = parts.origin;
    this.addressOf = (view) => backend.memory.addressOf(view);
    this.device = `${entry.deviceMajor}:${entry.deviceMinor}`;
    this.#inodeLow = entry.inodeLow;
    this.#inodeHigh = entry.inodeHigh;
    this.#backend = backend;
    this.#ends = backend.files.ends;
    this.slot = slot;
    this.#flags = entry.flags;
    this.#isSync = aio.method === "sync";
    this.#identity = fileIo(aio, parts);
    this.#durableIdentity = { ...this.#identity, callbackData: DURABLE_WRITE };
  }

  /** Whether it was opened for writing. */
  get canWrite(): boolean {
    return (this.#flags & FILE_FLAGS.write) !== 0;
  }

  /** Whether it was made without a name. */
  get isTemporary(): boolean {
    return (this.#flags & FILE_FLAGS.isTemporary) !== 0;
  }

  /**
   * Has its IO be about a target that stands for a file, too, in place of `file`.
   *
   * @param name what errors call it
   */
  takeTarget(id: number, name: string): void {
    this.#identity.targetId = this.#durableIdentity.targetId = id;
    this.#shownName = name;
  }

  /** What errors of transfers call it. */
  get shownName(): string {
    return this.#shownName ?? shown(this.path);
  }

  /** Whether another one is an opening of the same file. */
  isSameAs(other: FileInside): boolean {
    return this.device === other.device && this.#inodeLow === other.#inodeLow &&
      this.#inodeHigh === other.#inodeHigh;
  }

  /** Whether `close()` was called. */
  get isClosed(): boolean {
    return this.ending.hasBegun;
  }

  /** See `AioFile.token`. */
  get token(): FileToken {
    this.checkOpen("share");
    return {
      kind: "deno-aio file",
      version: LAYOUT_VERSION,
      identity: identityOf(this.#backend.control),
      slot: this.slot.slot,
      generation: this.slot.generation,
      path: this.path,
    };
  }

  /** Refuses a call after `close()`. @throws {Deno.errors.BadResource} */
  checkOpen(verb: string): void {
    if (this.isClosed) {
      throw new Deno.errors.BadResource(`Cannot ${verb} ${shown(this.path)}: the file is closed`);
    }
  }

  /** Refuses a transfer that the file was not opened for, or that has no place in any file. */
  checkAccess(direction: Direction, offset: number): void {
    this.checkOpenFor(direction, direction);
    checkOffset(direction, offset);
  }

  /** Refuses what the file was not opened for, or is closed for. */
  checkOpenFor(direction: Direction, verb: string): void {
    this.checkOpen(verb);
    const needed = direction === "read" ? FILE_FLAGS.read : FILE_FLAGS.write;
    if ((this.#flags & needed) !== 0) return;
    throw new Deno.errors.BadResource(
      `Cannot ${verb} ${shown(this.path)}: it was opened without "${direction}"`,
    );
  }

  #endWaits(): void {
    endLockWaits(this);
    const message = `Cannot read ${shown(this.path)}: the file is closed`;
    for (const stream of [...this.streams]) stream.endWith(new Deno.errors.BadResource(message));
  }

  /** A range of it is about to be locked: whoever closes it unlocks first. */
  noteLock(): void {
    this.#backend.files.noteLock(this.slot.slot);
  }

  /** Counts an operation that the descriptor must outlive. */
  begin(): void {
    this.ending.begin();
  }

  /** The end of what {@linkcode begin} counted. */
  end(): void {
    this.ending.end();
  }

  /** Takes steps that the descriptor must outlive. */
  *during<T>(steps: Steps<T>): Steps<T> {
    this.begin();
    try {
      return yield* steps;
    } finally {
      this.end();
    }
  }

  /**
   * Hands a handle down to this file, with its buffers set, and starts it: it gets the target
   * `file` and the callback nearest to the file. Closing does not refuse it: what a user asked for
   * before `close()` may still start, until the descriptor is closed.
   *
   * @param flags of `preadv2(2)` or `pwritev2(2)`
   */
  start(
    direction: Direction,
    handle: AioHandle,
    offset: number,
    options?: StartOptions,
    flags = 0,
  ): void {
    const isRead = direction === "read";
    const end = offset + handle.length;
    const identity = this.#identityFor(flags);
    handDown(handle, identity, offset, isRead ? identity.readv : identity.writev);
    if (this.#isSync && !isRead) return this.#writeNow(handle, offset, flags);
    if (!isRead) {
      this.#startWritev(handle, offset, flags, options);
      this.reaches(end);
    } else if (flags !== 0) handle.start("readv", this.fd, { offset, flags }, options);
    else handle.startReadv(this.fd, offset, options);
  }

  /** Starts a write of the user's own handle, which may be one to be executed in this call. */
  startWrite(handle: AioHandle, offset: number, options?: StartOptions): void {
    handDown(handle, this.#identity, offset, this.#identity.writev);
    this.#writeNow(handle, offset, 0, options);
  }

  /** It is executed in this call: appends of other threads keep behind it meanwhile. */
  #writeNow(handle: AioHandle, offset: number, flags: number, options?: StartOptions): void {
    const end = offset + handle.length;
    // Else it is refused.
    if (Number.isSafeInteger(end)) this.reaches(end);
    try {
      this.#startWritev(handle, offset, flags, options);
    } catch (error) {
      this.settleFailedSync();
      throw error;
    }
    this.reaches(end);
  }

  #startWritev(
    handle: AioHandle,
    offset: number,
    flags: number,
    options: StartOptions | undefined,
  ): void {
    if (flags !== 0) handle.start("writev", this.fd, { offset, flags }, options);
    else handle.startWritev(this.fd, offset, options);
  }

  /** What its IO is registered with, which a durable write says of itself. */
  #identityFor(flags: number): FileIo {
    return (flags & RWF_DSYNC) === 0 ? this.#identity : this.#durableIdentity;
  }

  /** A write was started, or is now, that reaches so far: the next append goes behind it. */
  reaches(end: number): void {
    const { slot } = this.slot;
    if (this.#ends.isLinked(slot)) this.#ends.raise(slot, end);
  }

  /** Starts an IO that writes a place at the end, which was taken for it. */
  startAppend(
    handle: AioHandle,
    offset: number,
    options: StartOptions | undefined,
    flags: number,
  ): void {
    const identity = this.#identityFor(flags);
    handDown(handle, identity, offset, identity.writev);
    handle.words[handle.base + HANDLE.targetData + FILE_TARGET.isAppend] = 1;
    this.#startWritev(handle, offset, flags, options);
  }

  /** Cuts or extends it: after that the next append goes behind what is there. */
  *cut(calls: FileCalls, bytes: number): Steps<void> {
    yield* get(calls.truncate(this.fd, this.path, bytes));
    yield* this.settleEnd(calls);
  }

  /**
   * A write begins that is not one IO, or not at once: until {@linkcode endWrite} appends keep
   * behind all of it.
   */
  beginWrite(end: number): void {
    this.#ends.beginWrite(this.slot.slot, end);
  }

  /** Such a write is over. */
  endWrite(end: number): void {
    this.#ends.endWrite(this.slot.slot, end);
  }

  /** Such a write is known to reach less far. */
  *narrowWrite(calls: FileCalls, before: number, end: number): Steps<void> {
    this.#ends.narrowWrite(this.slot.slot, before, end);
    yield* this.settleEnd(calls);
  }

  /** Has the next append go behind what the system says is there, and what else is to come. */
  settleEnd(calls: FileCalls): Steps<void> {
    return settleEnd(this.#ends, calls, this);
  }

  /** A write has failed, and is over: the next append does not go behind it. */
  settleFailed(): Promise<void> | null {
    return this.#ends.isLinked(this.slot.slot) ? this.#settleFailed() : null;
  }

  async #settleFailed(): Promise<void> {
    this.begin();
    try {
      await runSteps(this.settleEnd(this.calls.awaited));
    } catch {
      // The end stays where it is: the error of the write is what counts.
    } finally {
      this.end();
    }
  }

  /** The same, blocking. */
  settleFailedSync(): void {
    try {
      runStepsSync(this.settleEnd(this.calls.blocking));
    } catch {
      // As above.
    }
  }

  /** The same in steps. */
  *settleFailedSteps({ areBlocking }: FileCalls): Steps<void> {
    yield* get(areBlocking ? this.settleFailedSync() : this.settleFailed());
  }

  /** Its appends. */
  get appends(): Appends {
    return this.#appends ??= this.#makeAppends();
  }

  #makeAppends(): Appends {
    const { transfers, transfers: { aio }, slot, flushFailure } = this;
    const flush = new SharedFlush(this.#backend, slot, flushFailure, {
      flush: () => flushWritten(aio, this),
      flushSync: () => flushSync(aio, this, { operation: "fdatasync" }),
    });
    const appends = new Appends(this, transfers, flush);
    transfers.users.add(appends);
    return appends;
  }

  /** The file, with transfers that have the flags of their options. */
  flagged(direction: Direction, options: WriteOptions | undefined): FileInside | FlaggedFile {
    const flags = flagsOf(options, direction, this);
    return flags === 0 ? this : this.withFlags(flags);
  }

  /** Does many transfers by one submit. */
  transferMany(
    direction: Direction,
    transfers: readonly FileTransfer[],
    options: WriteOptions | undefined,
  ): Promise<number[]> {
    const signal = options?.signal;
    try {
      signal?.throwIfAborted();
      this.checkOpen(direction);
      const file = this.flagged(direction, options);
      return this.transfers.takeMany().start(file, direction, transfers, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Reads as a part of a call that has begun, also while the file is being closed. */
  readBegun(into: Uint8Array, offset: number, options: ReadOptions | undefined): Promise<number> {
    const { transfers, addressOf } = this;
    const file = this.flagged("read", options);
    const signal = options?.signal;
    const fast = signal === undefined && !file.direct && isOneIo(into)
      ? transfers.tryFast(file, "read", into, offset)
      : null;
    return fast ??
      transfers.runSlowly(transferRequest(file, "read", into, offset, addressOf, signal));
  }

  /** This file, with writes that are durable. */
  get durably(): FlaggedFile {
    return this.withFlags(RWF_DSYNC);
  }

  /** This file, with transfers that have flags. */
  withFlags(flags: number): FlaggedFile {
    let flagged = this.#flagged.get(flags);
    if (flagged === undefined) {
      flagged = new FlaggedFile(this, flags, this.transfers.refusedFlags);
      this.#flagged.set(flags, flagged);
    }
    return flagged;
  }

  /** The same for what moves no bytes. */
  startPlain(handle: AioHandle, what: PlainIo, options?: StartOptions): void {
    this.prepareFlush(handle);
    handle.start(what.operation, this.fd, what.operands, options);
  }

  /** Hands a handle down to this file, to be started by a call of its own. */
  prepareFlush(handle: AioHandle): void {
    handDown(handle, this.#identity, 0, this.#identity.sync);
  }

  /** Bytes of the file now, blocking the thread. */
  sizeSync(): number {
    return this.calls.blocking.stat(this.fd, this.path).size;
  }
}
