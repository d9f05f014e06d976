/**
 * pool_pages.ts: a pool as the source of a read stream: PostgreSQL's read stream over its buffer
 * manager. An operation of the stream is a read of the pool (page_read.ts), which takes its buffers
 * from the stream's ring.
 *
 * @module
 */

import type { Backend, Steps } from "../../core/inside.ts";
import {
  NO_BUFFER,
  NO_WAIT,
  type PageSource,
  type Quick,
  READ_FLAG,
  ReadOperation,
  UNSURE,
} from "../stream/page_source.ts";
import { endPage, makePage, type Page, type PageHost } from "./page.ts";
import type { BufferRing } from "./buffer_ring.ts";
import { COUNT } from "./pool_counts.ts";
import type { PoolThread } from "./pool_thread.ts";
import { BLOCKS_MAX, checkBlock, PageRead } from "./read_operation.ts";

/** A page of a pool, as a stream delivers it. */
export class PoolStreamPage<T = undefined> {
  /** Its number in the file. */
  readonly block: number;
  /** The page, pinned by the stream until its next call: to be locked, and changed. */
  readonly page: Page;
  /** What the callback was given for it: valid likewise. */
  readonly data: T;

  /** @ignore */
  constructor(page: Page, data: T) {
    this.block = page.block;
    this.page = page;
    this.data = data;
  }

  /** Its bytes: valid until the next call of the stream. */
  get bytes(): Uint8Array<SharedArrayBuffer> {
    return this.page.bytes;
  }
}

/** An operation of a stream, and the pool's side of it. */
class PoolOperation extends ReadOperation {
  /** Another one after an IO that was given up, as that one still knows it. */
  read = new PageRead();
}

/** The pages of one file in a pool. */
export class PoolPages<T> implements PageSource<PoolStreamPage<T>> {
  readonly isSynchronous: boolean;
  readonly isDirect: boolean;
  readonly isTemporary: boolean;
  readonly batches: Backend["staging"];
  readonly #host: PageHost;
  readonly #file: number;
  /** Which use of that number it is: see pool_files.ts. */
  readonly #use: number;
  readonly #flags: number;
  #ring: BufferRing | null;
  /** The page that the stream has delivered last. */
  #page: Page | null = null;
  #pageBuffer = NO_BUFFER;
  /** What came of the last read that failed behind its first page. */
  #failure: { readonly error: unknown } | null = null;

  /**
   * @param host the pool
   * @param file its number there
   * @param isDirect whether its reads go past the page cache
   * @param flags what is done about pages that are not right
   * @param ring its own buffers; null: it uses the pool as any other read
   */
  constructor(
    host: PageHost,
    file: number,
    isDirect: boolean,
    flags: number,
    ring: BufferRing | null,
  ) {
    const { backend, isSynchronous, memory } = host.awaited;
    this.isSynchronous = isSynchronous;
    this.isDirect = isDirect;
    this.isTemporary = memory.owner >= 0;
    this.batches = backend.staging;
    this.#host = host;
    this.#file = file;
    this.#use = host.awaited.files.useOf(file);
    this.#flags = flags;
    this.#ring = ring;
  }

  /** The share of one thread, but enough for two reads where the pool has that. */
  pinLimit(): number {
    const { memory: { pages }, backend, combineLimit } = this.#host.awaited;
    const share = Math.floor(pages / backend.options.maxBackends);
    const limit = Math.max(1, share, Math.min(2 * combineLimit, Math.floor(pages / 4)));
    return this.#ring === null ? limit : Math.min(limit, this.#ring.size);
  }

  clearStrategy(): void {
    this.#ring = null;
  }

  additionalPins(): number {
    return Math.max(0, this.pinLimit() - this.#host.awaited.pins.pinned);
  }

  prepare(): void {}

  makeOperation(buffers: Int32Array<ArrayBuffer>): PoolOperation {
    return new PoolOperation(buffers);
  }

  tryStartRead(op: PoolOperation): Quick {
    const { victims, pins, counts, end } = this.#host.awaited;
    end.check();
    if (op.block >= BLOCKS_MAX) return UNSURE;
    const forwarded = op.buffers[op.index]!;
    const buffer = forwarded === NO_BUFFER
      ? victims.tryPin(this.#file, op.block, this.#ring)
      : forwarded;
    if (buffer !== NO_BUFFER && this.#host.awaited.isValid(buffer)) {
      op.buffers[op.index] = buffer;
      op.count = 1;
      counts[COUNT.hits]!++;
      return NO_WAIT;
    }
    if (buffer !== forwarded) pins.unpin(buffer);
    return UNSURE;
  }

  startRead(op: PoolOperation, isBlocking: boolean): Steps<boolean> {
    const side = isBlocking ? this.#host.blocking : this.#host.awaited;
    return side.end.call(this.#startSteps(op, side));
  }

  *#startSteps(op: PoolOperation, side: PoolThread): Steps<boolean> {
    const { read, buffers, index, count } = op;
    read.file = this.#file;
    read.use = this.#use;
    read.block = op.block;
    read.direction = op.direction;
    read.count = count;
    read.buffers = buffers;
    read.at = index;
    read.flags = this.#flags;
    read.ring = this.#ring;
    const isForwarded = Array.from({ length: count }, (_, i) => buffers[index + i] !== NO_BUFFER);
    try {
      side.files.checkUse(this.#file, this.#use);
      checkBlock(op.block);
      if (op.isOptional && !isForwarded[0]) {
        buffers[index] = yield* side.pinBlock(this.#file, op.block, true, this.#ring);
        if (buffers[index] === NO_BUFFER) {
          op.count = 0;
          return false;
        }
      }
      const isToWait = yield* side.reads.start(read);
      op.count = read.count;
      if (read.isSynchronous) op.flags |= READ_FLAG.synchronously;
      return isToWait;
    } catch (error) {
      for (let i = 0; i < count; i++) {
        if (isForwarded[i] || buffers[index + i] === NO_BUFFER) continue;
        side.pins.unpin(buffers[index + i]!);
        buffers[index + i] = NO_BUFFER;
      }
      throw error;
    }
  }

  tryWaitRead(): Quick {
    return UNSURE;
  }

  waitRead(op: PoolOperation, isBlocking: boolean): Steps<boolean> {
    const side = isBlocking ? this.#host.blocking : this.#host.awaited;
    return side.end.call(this.#waitSteps(op, side));
  }

  *#waitSteps(op: PoolOperation, side: PoolThread): Steps<boolean> {
    try {
      return yield* side.reads.wait(op.read);
    } catch (error) {
      // Pages before the first that is not there are delivered: pageOf() throws for that one.
      if (!side.isValid(op.buffers[op.index]!)) throw error;
      this.#failure = { error };
      return true;
    }
  }

  abandon(op: PoolOperation): void {
    const { aio, pins } = this.#host.awaited;
    const { read } = op;
    if (read.isIssued) {
      aio.abandon(read.ref);
      // It ends without anybody who waits for it.
      this.#host.awaited.backend.pump.start();
      op.read = new PageRead();
    }
    for (let i = 0; i < op.count; i++) pins.unpin(op.buffers[op.index + i]!);
  }

  pageOf(buffer: number, data: unknown): PoolStreamPage<T> {
    const { awaited } = this.#host;
    if (this.#failure !== null && !awaited.isValid(buffer)) throw this.#failure.error;
    const page = makePage(this.#host, buffer, "lent");
    if (awaited.isTorn(buffer)) {
      const { block } = page;
      endPage(page);
      throw awaited.tornError(this.#file, block);
    }
    this.#page = page;
    this.#pageBuffer = buffer;
    return new PoolStreamPage(page, data as T);
  }

  release(buffer: number): void {
    if (buffer === this.#pageBuffer && this.#page !== null) {
      endPage(this.#page);
      this.#page = null;
      this.#pageBuffer = NO_BUFFER;
    }
    this.#host.awaited.pins.unpin(buffer);
  }

  rest(): void {}

  settled(): Promise<void> {
    return Promise.resolve();
  }
}
