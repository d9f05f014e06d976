/**
 * file.ts: {@linkcode AioFile}, an open file as Deno users expect it: positioned reads and writes,
 * any number at once, from any thread.
 *
 * @module
 */

import { atCaller, called, calling } from "../../core/inside.ts";
import * as inside from "../../core/inside.ts";
import type { AioHandle, StartOptions } from "../../core/mod.ts";
import { misalignment } from "./alignment.ts";
import type { FileInside } from "./file_inside.ts";
import {
  type AppendOptions,
  checkAppend,
  type ReadOptions,
  type WriteOptions,
} from "./file_parts.ts";
import { flushedWrite, flushedWriteSync } from "./flush.ts";
import type { FileTransfer } from "./many_transfer.ts";
import { OpenFile } from "./open_file.ts";
import { type FileRange, planOf } from "./read_ranges.ts";
import { type Direction, isOneIo, transferRequest } from "./transfer_request.ts";
import { bytesAsked, checkExact, readWhole } from "./whole_reads.ts";
import { fileStream } from "../stream/file_stream.ts";
import type { ReadStream } from "../stream/read_stream.ts";
import { readable, type ReadableOptions } from "../stream/readable.ts";
import { type FileWritable, writable, type WritableOptions } from "../stream/writable.ts";
import {
  type WriteStream,
  writeStreamOf,
  type WriteStreamOptions,
} from "../stream/write_stream.ts";
import type { ReadStreamOptions } from "../stream/stream_options.ts";
import type { StreamPage } from "../stream/stream_page.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { checkEnd, runSteps, runStepsSync } = inside;
const { RWF_DSYNC } = inside.system;

/** Opens the door of an open file. */
export let aioFileOf: (file: FileInside) => AioFile;

/**
 * An open file. Made by `aio.openFile()` and `aio.attachFile()`.
 *
 * Transfers that overlap and are in flight together happen in no order. A transfer of more than
 * `ioCombineLimit` buffers, over 2147479552 bytes, or bounced in several pieces, is not one for
 * other readers: they may see a part of it.
 */
export class AioFile extends OpenFile {
  readonly #file: FileInside;

  /** @ignore */
  private constructor(file: FileInside) {
    super(file);
    this.#file = file;
  }

  static {
    aioFileOf = (file) => new AioFile(file);
  }

  // --- transfers ---

  /**
   * Reads at an offset.
   *
   * @param buffers filled one after another; views of `aio.alloc()` without a copy. They must not
   *   be used until the promise settles.
   * @param offset in bytes from the start of the file
   * @param options a signal to end the wait; `cache: "drop"`: without keeping it in the page cache
   * @returns the bytes read; fewer than asked only at the end of the file, 0 behind it. What the
   *   buffer holds behind them is undefined.
   * @throws {TypeError} for a buffer that is no Uint8Array, or whose memory was transferred
   * @throws {RangeError} for a negative or unsafe offset, a misaligned direct read
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for reading
   * @throws what the system says, with `code`, `errno`, `syscall`, `path`, `offset` and `length`
   */
  readAt(
    buffers: Uint8Array | readonly Uint8Array[],
    offset: number,
    options?: ReadOptions,
  ): Promise<number> {
    return this.#transfer("read", buffers, offset, options);
  }

  /**
   * Reads at an offset: as much as the buffers hold, or it throws.
   *
   * @param buffers as for {@linkcode readAt}
   * @param offset in bytes from the start of the file
   * @param options as for {@linkcode readAt}
   * @throws {Deno.errors.UnexpectedEof} if the file ends before; it tells `bytesRead`
   * @throws as {@linkcode readAt}
   */
  readExactAt(
    buffers: Uint8Array | readonly Uint8Array[],
    offset: number,
    options?: ReadOptions,
  ): Promise<void> {
    const read = this.#transfer("read", buffers, offset, options);
    const length = bytesAsked(buffers);
    const checked = read.then((bytes) => checkExact(this.path, length, offset, bytes));
    return called(checked, options?.signal);
  }

  /** As {@linkcode readExactAt}, blocking the thread. */
  readExactAtSync(
    buffers: Uint8Array | readonly Uint8Array[],
    offset: number,
    options?: Omit<ReadOptions, "signal">,
  ): void {
    calling(AioFile.prototype.readExactAtSync, () => {
      const bytes = this.#transferSync("read", buffers, offset, options);
      checkExact(this.path, bytesAsked(buffers), offset, bytes);
    });
  }

  /**
   * Reads the whole file, to where it ends when this begins.
   *
   * @param options as for {@linkcode readAt}
   * @returns its bytes, which are the caller's own
   * @throws {RangeError} if it is larger than any buffer
   * @throws as {@linkcode readAt}
   */
  readAll(options?: ReadOptions): Promise<Uint8Array<ArrayBuffer>> {
    return called(this.#readAll(options), options?.signal);
  }

  async #readAll(options: ReadOptions | undefined): Promise<Uint8Array<ArrayBuffer>> {
    const file = this.#file;
    file.checkAccess("read", 0);
    file.begin();
    try {
      const { calls: { awaited }, fd, path } = file;
      return await runSteps(readWhole({
        size: async () => (await awaited.stat(fd, path)).size,
        read: (into, at) => file.readBegun(into, at, options),
      }));
    } finally {
      file.end();
    }
  }

  /** As {@linkcode readAll}, blocking the thread. */
  readAllSync(options?: Omit<ReadOptions, "signal">): Uint8Array<ArrayBuffer> {
    const calls = {
      size: () => this.sizeSync(),
      read: (into: Uint8Array, at: number) => this.#transferSync("read", into, at, options),
    };
    return calling(AioFile.prototype.readAllSync, () => runStepsSync(readWhole(calls)));
  }

  /**
   * Writes at an offset: all of it, or it throws.
   *
   * @param buffers written one after another; they must not change until the promise settles
   * @param offset in bytes from the start of the file
   * @param options a signal to end the wait; `durable: true`: the promise resolves when the data is
   *   durable; `cache: "drop"`: without keeping it in the page cache
   * @returns the bytes written: all
   * @throws as {@linkcode readAt}; an error of the system tells `bytesWritten` too
   */
  writeAt(
    buffers: Uint8Array | readonly Uint8Array[],
    offset: number,
    options?: WriteOptions,
  ): Promise<number> {
    const written = this.#transfer("write", buffers, offset, options);
    return this.#isDurable(options) ? this.#durable(written, options) : written;
  }

  /** Whether a write is a flush as well. */
  #isDurable(options: WriteOptions | undefined): boolean {
    return this.#file.isDurable || options?.durable === true;
  }

  /** Awaits a write that is one. */
  #durable<T>(written: Promise<T>, options: WriteOptions | undefined): Promise<T> {
    const file = this.#file;
    const flagged = options?.durable === true ? file.withFlags(RWF_DSYNC) : null;
    const signal = options?.signal;
    return called(flushedWrite(file.transfers.aio, file, flagged, written, signal), signal);
  }

  /**
   * Reads at many offsets: one submit for up to 32, and one promise.
   *
   * @param transfers buffers and offsets, each as for {@linkcode readAt}
   * @param options as for {@linkcode readAt}
   * @returns the bytes of each, in the order of the list, when all have ended
   * @throws as {@linkcode readAt}. What cannot be read by its arguments is refused before anything
   *   starts. If some fail the error is that of the first, with its `index`, and the `results` of
   *   all: their bytes, or null for those that failed.
   */
  readAtMany(transfers: readonly FileTransfer[], options?: ReadOptions): Promise<number[]> {
    return called(this.#file.transferMany("read", transfers, options), options?.signal);
  }

  /**
   * Reads many ranges by one call: neighbours are read together, each byte once.
   *
   * @param ranges in any order; they may overlap
   * @param options as for {@linkcode readAt}; `gap`: at most so many bytes between two ranges are
   *   read with them (default: 0); `into`: memory for all that is read, as a rule of `aio.alloc()`
   * @returns the bytes of each, in the order of the list; fewer than asked only at the end of the
   *   file. Neighbours are views of one buffer, or of `into`.
   * @throws {TypeError} or {RangeError} for what cannot be ranges
   * @throws as {@linkcode readAtMany}
   */
  readRanges(
    ranges: readonly FileRange[],
    options: ReadOptions & { readonly gap?: number; readonly into?: Uint8Array } = {},
  ): Promise<Uint8Array[]> {
    const read = Promise.try(async () => {
      const { path, alignment } = this.#file;
      this.#file.checkAccess("read", 0);
      const plan = planOf(path, ranges, alignment.offset, options);
      return plan.cut(await this.#file.transferMany("read", plan.transfers, options));
    });
    return called(read, options.signal);
  }

  /**
   * Writes at many offsets: one submit for up to 32, and one promise.
   *
   * @param transfers buffers and offsets, each as for {@linkcode writeAt}; those that overlap are
   *   written in no order
   * @param options as for {@linkcode writeAt}
   * @returns the bytes of each: all
   * @throws as {@linkcode readAtMany}
   */
  writeAtMany(transfers: readonly FileTransfer[], options?: WriteOptions): Promise<number[]> {
    const written = this.#file.transferMany("write", transfers, options);
    return this.#isDurable(options)
      ? this.#durable(written, options)
      : called(written, options?.signal);
  }

  /** As {@linkcode readAt}, blocking the thread. */
  readAtSync(
    buffers: Uint8Array | readonly Uint8Array[],
    offset: number,
    options?: Omit<ReadOptions, "signal">,
  ): number {
    return this.#transferSync("read", buffers, offset, options);
  }

  /** As {@linkcode writeAt}, blocking the thread. */
  writeAtSync(
    buffers: Uint8Array | readonly Uint8Array[],
    offset: number,
    options?: Omit<WriteOptions, "signal">,
  ): number {
    const file = this.#file;
    const write = () => this.#transferSync("write", buffers, offset, options);
    if (!this.#isDurable(options)) return write();
    return calling(AioFile.prototype.writeAtSync, () => {
      const flagged = options?.durable === true ? file.withFlags(RWF_DSYNC) : null;
      return flushedWriteSync(file.transfers.aio, file, flagged, write);
    });
  }

  /**
   * Appends: writes at the end of the file, which all tasks, threads and openings of the file in
   * this Aio share: any number at once, none over another. Another Aio or process is not kept away:
   * there each opens the file, holds its {@linkcode lock} while it appends, and closes it.
   *
   * Appends of one turn of the event loop are one write, in the order of the calls. Where they go
   * is settled when that is issued; a {@linkcode writeAt} behind the end and {@linkcode truncate}
   * move it.
   *
   * @param data appended as one piece; it must not change until the promise settles
   * @param options `durable: true`: the promise resolves when the data is on disk, by a write or a
   *   flush that durable appends share; a signal to end the wait: what was issued by then is
   *   written all the same
   * @returns the offset where it begins
   * @throws {TypeError} for data that is no Uint8Array, or whose memory was transferred
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for writing
   * @throws {Deno.errors.NotSupported} if it was opened with `direct`
   * @throws what the system says, with `offset`, `length`, `bytesWritten`. The next append takes
   *   the place of one that has failed, unless others have appended behind it: then it stays a
   *   hole, and the message says so. What was written of it is zeros then.
   */
  append(data: Uint8Array | readonly Uint8Array[], options?: AppendOptions): Promise<number> {
    const signal = options?.signal;
    try {
      const views = checkAppend(this.#file, data, options);
      signal?.throwIfAborted();
      return this.#file.appends.append(views, options?.durable === true, signal);
    } catch (error) {
      return Promise.reject(atCaller(error, AioFile.prototype.append, signal));
    }
  }

  /** As {@linkcode append}, blocking the thread. */
  appendSync(
    data: Uint8Array | readonly Uint8Array[],
    options?: Omit<AppendOptions, "signal">,
  ): number {
    return calling(AioFile.prototype.appendSync, () => {
      const views = checkAppend(this.#file, data, options);
      return this.#file.appends.appendSync(views, options?.durable === true);
    });
  }

  #transferSync(
    direction: Direction,
    buffers: Uint8Array | readonly Uint8Array[],
    offset: number,
    options: WriteOptions | undefined,
  ): number {
    try {
      const { transfers, addressOf } = this.#file;
      this.#file.checkAccess(direction, offset);
      const file = this.#file.flagged(direction, options);
      if (!file.direct && buffers instanceof Uint8Array && isOneIo(buffers)) {
        checkEnd(direction, offset, buffers.byteLength);
        const isStraight = transfers.isStraight(buffers);
        return transfers.runOneSync(file, direction, buffers, offset, isStraight);
      }
      return transfers.runSync(transferRequest(file, direction, buffers, offset, addressOf));
    } catch (error) {
      const { readAtSync, writeAtSync } = AioFile.prototype;
      throw atCaller(error, direction === "read" ? readAtSync : writeAtSync);
    }
  }

  #transfer(
    direction: Direction,
    buffers: Uint8Array | readonly Uint8Array[],
    offset: number,
    options: WriteOptions | undefined,
  ): Promise<number> {
    const { transfers } = this.#file;
    const signal = options?.signal;
    try {
      const file = options === undefined ? this.#file : this.#file.flagged(direction, options);
      if (signal === undefined && buffers instanceof Uint8Array && isOneIo(buffers)) {
        file.checkAccess(direction, offset);
        checkEnd(direction, offset, buffers.byteLength);
        const { alignment, addressOf } = file;
        if (!file.direct || misalignment(alignment, buffers, offset, addressOf) === null) {
          const fast = transfers.tryFast(file, direction, buffers, offset);
          if (fast !== null) return fast;
        }
      }
      signal?.throwIfAborted();
      file.checkAccess(direction, offset);
      const request = transferRequest(file, direction, buffers, offset, file.addressOf, signal);
      return transfers.runSlowly(request);
    } catch (error) {
      const { readAt, writeAt } = AioFile.prototype;
      return Promise.reject(atCaller(error, direction === "read" ? readAt : writeAt, signal));
    }
  }

  /**
   * Reads pages one after another, ahead of their use: the whole file, a range of it, or the blocks
   * that a callback says. See {@linkcode ReadStream}. The memory is the stream's own, in the arena.
   *
   * Closing the file ends its streams.
   *
   * @param options which pages, and how
   * @throws {TypeError} or {RangeError} for options that are unknown or cannot be
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for reading
   * @throws the signal's reason
   */
  readStream<T = undefined>(options: ReadStreamOptions<T> = {}): ReadStream<StreamPage<T>> {
    return calling(AioFile.prototype.readStream, () => fileStream(this.#file, options));
  }

  /**
   * The file, or a part of it, as a web stream of bytes, for `new Response()`, `pipeTo()`,
   * `pipeThrough()` and readers with or without buffers of their own. It reads ahead once
   * the first bytes are wanted. Canceling it leaves nothing in flight; closing the file ends it.
   *
   * @param options which part, and in what chunks
   * @throws {TypeError} or {RangeError} for options that are unknown or cannot be
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for reading
   * @throws the signal's reason
   */
  readable(options: ReadableOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
    return calling(AioFile.prototype.readable, () => readable(this.#file, options));
  }

  /**
   * Writes one byte after another, behind the program's back: what is written is buffered, and full
   * buffers are written while the next one fills. See {@linkcode WriteStream}.
   *
   * @param options where it begins, and how much is under way
   * @throws {TypeError} or {RangeError} for options that are unknown or cannot be
   * @throws {Deno.errors.BadResource} if the file is closed, or was not opened for writing
   * @throws {Deno.errors.NotSupported} if it was opened with `direct`
   */
  writeStream(options: WriteStreamOptions = {}): WriteStream {
    return calling(AioFile.prototype.writeStream, () => writeStreamOf(this.#file, options));
  }

  /**
   * The same as a web stream, for `pipeTo()`. Once it has closed, all is with the system, or on
   * disk if `durable`. What was written before an abort stays: `bytesWritten` says how much.
   *
   * @param options as for {@linkcode writeStream}, and `durable`
   * @throws as {@linkcode writeStream}
   */
  writable(options: WritableOptions = {}): FileWritable {
    return calling(AioFile.prototype.writable, () => writable(this.#file, options));
  }

  // --- on handles of the core ---

  /**
   * Hands a handle down to this file and starts reading: sets the target `file`, adds the callback
   * `fileReadv` nearest to the file, and starts it. It consumes the handle.
   *
   * @param handle handed out, with its buffers set
   * @param offset in bytes from the start of the file
   * @param options when to submit
   * @throws as `handle.startReadv`
   */
  startReadv(handle: AioHandle, offset: number, options?: StartOptions): void {
    this.#file.checkOpen("start IO on");
    this.#file.start("read", handle, offset, options);
  }

  /** As {@linkcode startReadv}, writing. */
  startWritev(handle: AioHandle, offset: number, options?: StartOptions): void {
    this.#file.checkOpen("start IO on");
    this.#file.startWrite(handle, offset, options);
  }

  /**
   * As {@linkcode startReadv}, making the file durable. Its outcome is an error, too, if an earlier
   * flush of the file has failed. It does not wait for those that it overlaps, as {@linkcode sync}
   * does: whoever starts several takes the failure of one for the failure of all.
   *
   * @param handle handed out
   * @param options when to submit; `dataOnly`: only what reading the data back needs (`fdatasync`)
   */
  startFsync(handle: AioHandle, options?: StartOptions & { readonly dataOnly?: boolean }): void {
    this.#file.checkOpen("start IO on");
    this.#file.prepareFlush(handle);
    handle.startFsync(this.fd, options);
  }

  /** As {@linkcode startFsync}, of a range: see {@linkcode flushRange}. */
  startFlushRange(handle: AioHandle, offset: number, length: number, options?: StartOptions): void {
    this.#file.checkOpen("start IO on");
    this.#file.prepareFlush(handle);
    handle.startFlushRange(this.fd, offset, length, options);
  }
}
