/**
 * open_file.ts: {@linkcode OpenFile}, an open file apart from its bytes: what there is to know and
 * to change of it, flushes, and the end. file.ts adds what reads and writes.
 *
 * @module
 */

import { called, calling, INSPECT, runSteps, runStepsSync, shown } from "../../core/inside.ts";
import type { CloseOptions, FileToken } from "../../core/mod.ts";
import type { Alignment } from "./alignment.ts";
import type { FileInside } from "./file_inside.ts";
import { checkSize, type TransferOptions } from "./file_parts.ts";
import { type Flush, flush, flushSync } from "./flush.ts";

/** What is behind the door of an open file. */
export let insideOf: (file: OpenFile) => FileInside;

/**
 * An open file apart from its bytes: what there is to know and to change of it, flushes, and the
 * end. What users have is an `AioFile`, which adds reading and writing.
 */
export abstract class OpenFile implements AsyncDisposable, Disposable {
  /** The path it was opened by. */
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
   * verify what was written since the last flush that resolved. With `dsync` a failed write counts,
   * too.
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
    return calling(OpenFile.prototype.sizeSync, () => this.#file.sizeSync());
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
   * @throws {Deno.errors.Busy} while asynchronous operations of this file are pending
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
   * @throws {Deno.errors.Busy} while asynchronous operations of this file are pending
   */
  [Symbol.dispose](): void {
    calling(OpenFile.prototype[Symbol.dispose], () => this.#file.ending.disposeSync());
  }
}
