/**
 * pool.ts: {@linkcode PagePool}, pages of files in shared memory.
 *
 * @module
 */

import {
  called,
  calling,
  INSPECT,
  runSteps,
  runStepsSync,
  shown,
  type Steps,
} from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import { insideOf } from "../file/open_file.ts";
import { endUse } from "../run_users.ts";
import { BackgroundWriter, type BackgroundWriterOptions } from "./background_writer.ts";
import { FastReads } from "./fast_read.ts";
import { FilesInUse } from "./files_in_use.ts";
import { makePage, markMended, type Page, type PageHost } from "./page.ts";
import {
  flagsOfRead,
  operationOf,
  pageOf,
  type PageReadOptions,
  type PagesRead,
  startPages,
  waitPage,
  waitPages,
} from "./pages_read.ts";
import { type PageRow, rowsOf } from "./page_rows.ts";
import { bufferOf, stateOf } from "./pin_code.ts";
import { isWhole, NO_BUFFER, POOL } from "./pool_memory.ts";
import { COUNT, type PoolStats, statsOf } from "./pool_counts.ts";
import type { ReadStream } from "../stream/read_stream.ts";
import { endUses } from "./pool_reaper.ts";
import type { PoolStreamPage } from "./pool_pages.ts";
import { poolStream, type PoolStreamOptions } from "./pool_stream.ts";
import type { PoolThread } from "./pool_thread.ts";

/** Names a pool, for `aio.attachPool()` in any thread; can be posted to Workers. */
export interface PoolToken {
  /** What it is. */
  readonly kind: "deno-aio pool";
  /** The layout of shared memory. */
  readonly version: number;
  /** Which Aio. */
  readonly identity: readonly [number, number];
  /** Where it is in the arena. */
  readonly offset: number;
  /** Which pool was there. */
  readonly serial: number;
}

/** What pools need of their Aio. */
export interface PoolHost extends PageHost {
  readonly token: PoolToken;
  /** Has what the thread has left to do done by another one, whose pins and locks are its own. */
  leave(): PoolThread;
  /** The thread has left the pool, as the last one or not. */
  onClosed(isLast: boolean): void;
}

/** Makes the pool's door. */
export let makePool: (host: PoolHost) => PagePool;
/** Leaves a pool at the end of its Aio, whatever is pinned, of which it warns. */
export let endPool: (pool: PagePool) => Promise<void>;

/**
 * Pages of files in shared memory: read once, used by all threads, changed under locks, written
 * back when their place is needed, or on request. From `aio.openPool()`.
 */
export class PagePool implements AsyncDisposable {
  /** How many pages it has. */
  readonly pageCount: number;
  /** Bytes of a page. */
  readonly pageSize: number;
  readonly #host: PoolHost;
  readonly #files: FilesInUse;
  readonly #writers = new Set<BackgroundWriter>();
  #closed: Promise<void> | null = null;
  readonly #fastReads: FastReads;

  /** @ignore */
  private constructor(host: PoolHost) {
    this.#host = host;
    this.#files = new FilesInUse(host);
    this.#fastReads = new FastReads(host);
    this.pageCount = host.awaited.memory.pages;
    this.pageSize = host.awaited.memory.pageBytes;
  }

  static {
    makePool = (host) => new PagePool(host);
    endPool = (pool) => {
      const { pins: { pinned }, locks, backend } = pool.#host.awaited;
      if (pool.#closed === null && pinned > 0) {
        backend.warn(`aio.close() has left a pool of which this thread had ${pinned} pages pinned`);
        const torn = locks.tearAll();
        if (torn > 0) {
          backend.warn(`aio.close() has torn ${torn} pages of a pool: they were locked`);
        }
      }
      return pool.#closed ??= pool.#close();
    };
  }

  /** Names this pool, for `aio.attachPool()` in any thread; can be posted to Workers. */
  get token(): PoolToken {
    return this.#host.token;
  }

  /** Whether {@linkcode close} was called. */
  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** One line for `console.log(pool)`. */
  [INSPECT](): string {
    const now = this.isClosed ? "closed" : `${this.#host.awaited.pins.pinned} pinned`;
    return `PagePool (${this.pageCount} pages of ${this.pageSize} bytes, ${now})`;
  }

  /**
   * The page of a block, pinned: release it when you are done.
   *
   * @param file open for reading; for writing, too, if its pages are to be changed
   * @param block its number: byte `block * pageSize` of the file is its first
   * @param options what is done about pages that are not right
   * @throws {RangeError} for what is no block
   * @throws {Deno.errors.UnexpectedEof} if the file ends before the end of the page
   * @throws {Deno.errors.InvalidData} if its verifier refuses it, or a thread died while it changed
   *   it
   * @throws {Deno.errors.Busy} if this thread has all pages pinned
   * @throws what the system says, naming the block
   */
  read(file: AioFile, block: number, options?: PageReadOptions): Promise<Page> {
    try {
      const number = this.#files.numberOf(file, block);
      const isZero = options?.mode === "zero";
      const page = this.#hit(number, block) ??
        (isZero ? this.#fastReads.tryZero(number, block) : null);
      if (page !== null) return this.#inTurn(page);
      const flags = options === undefined || isZero ? 0 : flagsOfRead(options);
      const fast = isZero ? null : this.#fastReads.tryRead(number, block, flags);
      const { awaited } = this.#host;
      return fast ??
        called(runSteps(awaited.end.call(this.#readSteps(awaited, number, block, options))));
    } catch (error) {
      return called(Promise.reject(error));
    }
  }

  /** Tasks that await what is there would never let a timer in. */
  #inTurn(page: Page): Promise<Page> {
    const { turn } = this.#host.awaited.backend;
    turn.spendCompleted(0);
    if (!turn.isOver()) return Promise.resolve(page);
    return new Promise((resolve) => turn.handOut({ completed: () => resolve(page) }));
  }

  /** As {@linkcode read}, blocking the thread. */
  readSync(file: AioFile, block: number, options?: PageReadOptions): Page {
    return calling(PagePool.prototype.readSync, () => {
      const number = this.#files.numberOf(file, block);
      return this.#hit(number, block) ??
        runStepsSync(this.#readSteps(this.#host.blocking, number, block, options));
    });
  }

  /** The page of a block if it is there now, pinned; null if it would have to be read. */
  tryRead(file: AioFile, block: number): Page | null {
    return this.#hit(this.#files.numberOf(file, block), block);
  }

  #hit(number: number, block: number): Page | null {
    const { awaited } = this.#host;
    const pinned = awaited.victims.tryPinned(number, block, null);
    if (pinned < 0) return null;
    const buffer = bufferOf(pinned);
    if (isWhole(stateOf(pinned))) {
      awaited.counts[COUNT.hits]!++;
      return makePage(this.#host, buffer);
    }
    const isTorn = awaited.isTorn(buffer);
    awaited.pins.unpin(buffer);
    if (isTorn) throw awaited.tornError(number, block);
    return null;
  }

  *#readSteps(
    pool: PoolThread,
    number: number,
    block: number,
    options: PageReadOptions | undefined,
  ): Steps<Page> {
    if (options?.mode === "zero") return yield* this.#zeroSteps(pool, number, block);
    const op = operationOf(pool, number, block, 1, options);
    let isToWait: boolean;
    try {
      isToWait = yield* pool.reads.start(op);
    } catch (error) {
      if (op.buffers[0] !== NO_BUFFER) pool.pins.unpin(op.buffers[0]!);
      throw error;
    }
    return isToWait ? yield* waitPage(this.#host, pool, op) : pageOf(this.#host, pool, op);
  }

  /**
   * Begins to read blocks in a row, in one IO if none of them is there: PostgreSQL's
   * StartReadBuffers. It may begin with fewer blocks than that: up to the first that is there, or
   * that another read has begun with; call it again for the rest.
   *
   * @param file open for reading
   * @param block the first
   * @param count how many: 1 to `ioCombineLimit` of the Aio
   * @param options what is done about pages that are not right
   * @returns what is to be passed to {@linkcode waitRead}; its `count` says how many blocks it is
   */
  startRead(
    file: AioFile,
    block: number,
    count: number,
    options?: PageReadOptions,
  ): Promise<PagesRead> {
    return called(Promise.try(() => {
      const number = this.#files.numberOf(file, block);
      const most = this.#host.awaited.combineLimit;
      if (!(Number.isInteger(count) && count >= 1 && count <= most)) {
        throw new RangeError(
          `Cannot read ${shown(count)} blocks at once: an integer from 1 to ${most}, the option ` +
            '"ioCombineLimit"',
        );
      }
      const op = operationOf(this.#host.awaited, number, block, count, options);
      return runSteps(this.#host.awaited.end.call(startPages(this.#host, op)));
    }));
  }

  /**
   * Waits for what {@linkcode startRead} has begun: PostgreSQL's WaitReadBuffers.
   *
   * @param read returned by it; once
   * @returns the pages, pinned
   * @throws as {@linkcode read}; nothing is pinned then
   */
  waitRead(read: PagesRead): Promise<Page[]> {
    return called(Promise.try(() => runSteps(this.#host.awaited.end.call(waitPages(read)))));
  }

  /**
   * Reads a file page by page, ahead of their use, as `file.readStream()` does, but through the
   * pool: what is there is not read again, and what was read stays.
   *
   * @param file open for reading
   * @param options which blocks, and how; what is done about pages that are not right
   * @throws as {@linkcode AioFile.readStream}
   */
  readStream<T = undefined>(
    file: AioFile,
    options: PoolStreamOptions<T> = {},
  ): ReadStream<PoolStreamPage<T>> {
    return calling(PagePool.prototype.readStream, () => {
      const number = this.#files.numberOf(file, 0);
      return poolStream(this.#host, insideOf(file), number, options);
    });
  }

  /**
   * Writes back all changed pages, or those of one file. That makes nothing durable: `file.sync()`
   * does.
   *
   * @returns how many
   * @throws what the system says of the first that failed; only such pages stay changed
   */
  flush(file?: AioFile): Promise<number> {
    return called(
      runSteps(this.#host.awaited.end.call(this.#flushSteps(this.#host.awaited, file))),
    );
  }

  /** As {@linkcode flush}, blocking the thread. */
  flushSync(file?: AioFile): number {
    const { flushSync } = PagePool.prototype;
    return calling(flushSync, () => {
      const { blocking } = this.#host;
      return runStepsSync(blocking.end.call(this.#flushSteps(blocking, file)));
    });
  }

  *#flushSteps(pool: PoolThread, file: AioFile | undefined): Steps<number> {
    const number = file === undefined ? -1 : this.#files.numberOf(file, 0);
    return yield* pool.writes.flush(number);
  }

  /**
   * Forgets the pages of a file, or one of them, without writing them back, changed and torn ones
   * too; pages that other threads have pinned as soon as they are released.
   *
   * @returns how many there were
   * @throws {Deno.errors.Busy} for a page that this thread has pinned
   */
  invalidate(file: AioFile, block?: number): Promise<number> {
    const { awaited } = this.#host;
    return called(Promise.try(() => {
      const number = this.#files.numberOf(file, block ?? 0);
      return runSteps(awaited.end.call(awaited.victims.invalidate(number, block ?? -1)));
    }));
  }

  /**
   * Mends a page whose thread died while it changed it: `mend` gets it with its exclusive lock, and
   * puts right what is in it; it is written back as any changed page.
   *
   * @throws {TypeError} if the page is not torn
   * @throws what `mend` throws; the page stays torn
   */
  repair(
    file: AioFile,
    block: number,
    mend: (bytes: Uint8Array<SharedArrayBuffer>) => void | Promise<void>,
  ): Promise<void> {
    return called(this.#repair(file, block, mend));
  }

  async #repair(
    file: AioFile,
    block: number,
    mend: (bytes: Uint8Array<SharedArrayBuffer>) => void | Promise<void>,
  ): Promise<void> {
    const { awaited } = this.#host;
    const number = this.#files.numberOf(file, block);
    const buffer = awaited.victims.tryPinFound(number, block);
    using page = buffer === NO_BUFFER ? null : makePage(this.#host, buffer);
    using _lock = page === null ? null : await page.lock("exclusive");
    if (page === null || !awaited.isTorn(buffer)) {
      throw new TypeError(`Cannot repair block ${block}: no thread has died while it changed it`);
    }
    await mend(page.bytes);
    markMended(page);
  }

  /**
   * Makes a file longer by pages of zeros, from the end of its last page on. Threads that extend a
   * file at once get pages behind each other.
   *
   * @param file open for reading and writing
   * @param count how many
   * @returns the pages, pinned, in the order of the file
   */
  extend(file: AioFile, count: number): Promise<Page[]> {
    return called(Promise.try(() => {
      const number = this.#files.numberOf(file, 0);
      if (!(Number.isInteger(count) && count >= 1 && count <= this.pageCount)) {
        throw new RangeError(
          `Cannot extend a file by ${shown(count)} pages: an integer from 1 to ${this.pageCount}`,
        );
      }
      const { awaited } = this.#host;
      return runSteps(awaited.end.call(this.#extendSteps(awaited, number, file.path, count)));
    }));
  }

  /** The page of a block whose content is not wanted: zeros, unless the page is there. */
  *#zeroSteps(pool: PoolThread, number: number, block: number): Steps<Page> {
    const buffer = yield* pool.pinBlock(number, block, false, null);
    try {
      yield* pool.reads.zero(buffer);
    } catch (error) {
      pool.pins.unpin(buffer);
      throw error;
    }
    return pageOf(this.#host, pool, { buffers: [buffer], file: number, block });
  }

  *#extendSteps(pool: PoolThread, number: number, path: string, count: number): Steps<Page[]> {
    const buffers: number[] = [];
    try {
      const first = yield* pool.extendFile(number, path, count, buffers);
      for (const [i, buffer] of buffers.entries()) {
        yield* pool.reads.zero(buffer);
        if (pool.isTorn(buffer)) throw pool.tornError(number, first + i);
      }
      return buffers.map((buffer) => makePage(this.#host, buffer));
    } catch (error) {
      for (const buffer of buffers) pool.pins.unpin(buffer);
      throw error;
    }
  }

  /**
   * Has this thread write changed pages back before their places are needed: best one that often is
   * in its event loop. It keeps no program alive. What fails stays changed, with a warning.
   *
   * @returns ends it at the end of an `await using` block; {@linkcode close} ends it, too
   * @throws {RangeError} for an option out of its range
   */
  startBackgroundWriter(options: BackgroundWriterOptions = {}): AsyncDisposable {
    return calling(PagePool.prototype.startBackgroundWriter, () => {
      if (this.isClosed) {
        throw new Deno.errors.BadResource("Cannot start a background writer: the pool is closed");
      }
      const writer = new BackgroundWriter(this.#host.awaited, options);
      this.#writers.add(writer);
      const stop = async () => {
        await writer.stop();
        this.#writers.delete(writer);
      };
      return { [Symbol.asyncDispose]: stop };
    });
  }

  /** What all threads did with the pool so far, in all and by backend. */
  stats(): PoolStats {
    const { memory, backend } = this.#memoryOf();
    return statsOf(memory, backend.options.maxBackends);
  }

  /** What is in each buffer now, as PostgreSQL's `pg_buffercache` shows it. */
  pages(): PageRow[] {
    const { memory, files } = this.#memoryOf();
    return rowsOf(memory, (number) => files.pathOf(number));
  }

  /**
   * Leaves the pool: what changed of this thread's files is written back; the last to leave
   * gives the memory back. Calling it again does nothing.
   *
   * @throws {Deno.errors.Busy} while this thread has pages pinned
   * @throws what the system says of pages that it cannot write back; the pool is left all the same
   */
  close(): Promise<void> {
    const { pinned } = this.#host.awaited.pins;
    if (this.#closed === null && pinned > 0) {
      const error = new Deno.errors.Busy(
        `Cannot close a pool of which this thread has ${pinned} pages pinned: release them first`,
      );
      return called(Promise.reject(error));
    }
    this.#closed ??= this.#close();
    return called(this.#closed);
  }

  async #close(): Promise<void> {
    const { awaited } = this.#host;
    this.#files.end();
    await Promise.all([awaited.end.end(), ...[...this.#writers].map((writer) => writer.stop())]);
    await runSteps(awaited.settle());
    if (awaited.pins.countAll() > 0) endUses(awaited, awaited.memory, awaited.backendId);
    awaited.pins.end();
    const leaving = this.#host.leave();
    const failures = await this.#files.leaveAll(leaving);
    await runSteps(leaving.settle());
    this.#host.onClosed(endUse(awaited.memory.words, POOL.users, awaited.backendId));
    if (failures.length > 0) throw failures[0];
  }

  /** The thread, as long as the memory is the pool's. */
  #memoryOf(): PoolThread {
    const { awaited } = this.#host;
    if (awaited.pins.isOver) awaited.end.check();
    return awaited;
  }

  /** The end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
