/**
 * private_pages.ts: a plain file as a source of pages: each block that the stream wants is read
 * into memory that only this stream has. Nothing is ever there already.
 *
 * The memory is one run of the arena, taken with the first read and given back when the stream
 * rests. A read of neighbouring blocks goes to neighbouring pages wherever possible, and so is one
 * buffer for the kernel. What was given up keeps its pages until the kernel is done with them.
 *
 * An IO that fails, or meets the end of the file, is no error before its page is to be delivered.
 *
 * @module
 */

import {
  alignUp,
  type Arena,
  type Backend,
  COUNTER,
  get,
  PAGE_SIZE_BYTES,
  type Steps,
  system,
} from "../../core/inside.ts";
import type { AioHandle, StartOptions } from "../../core/mod.ts";
import { noSpace } from "../file/bounce.ts";
import type { FileInside } from "../file/file_inside.ts";
import { PagePlaces } from "./page_places.ts";
import * as sources from "./page_source.ts";
import type { PageSource, Quick } from "./page_source.ts";
import { PrivateOperation, PrivateRead } from "./private_read.ts";
import { type Failure, missingPage, StreamPage } from "./stream_page.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { NO_BUFFER, NO_WAIT, READ_FLAG, UNSURE, WAIT } = sources;

const END_OF_TURN: StartOptions = { submit: "endOfTurn" };

/** The memory of one stream, from its first read until it rests. */
interface Memory {
  readonly view: Uint8Array<SharedArrayBuffer>;
  readonly places: PagePlaces;
  /** By place, made when first needed: making a view takes as long as copying a page. */
  readonly pages: (Uint8Array<SharedArrayBuffer> | undefined)[];
  readonly blocks: Float64Array;
  /** How many bytes of the page are there. */
  readonly bytes: Int32Array;
  /** Why not all are there. */
  readonly failures: (Failure | null)[];
}

/** The pages of one stream. */
export class PrivatePages<T> implements PageSource<StreamPage<T>> {
  readonly isSynchronous: boolean;
  readonly isDirect: boolean;
  readonly isTemporary = true;
  readonly batches: Backend["staging"];
  /** The bytes of the file when the stream began, if it ends there; may be infinite. */
  fileBytes = Infinity;
  /** Most blocks that the stream will read; may be infinite. */
  blocksMax = Infinity;
  readonly #backend: Backend;
  readonly #arena: Arena;
  readonly #file: FileInside;
  readonly #pageSize: number;
  readonly #arenaShare: number;
  readonly #ioCombineLimit: number;
  readonly #idleReads: PrivateRead[] = [];
  /** In flight, and given up. */
  readonly #abandoned = new Set<PrivateRead>();
  #onSettled: (() => void)[] = [];
  #maxPinnedBuffers = 0;
  #memory: Memory | null = null;
  #isResting = true;

  /**
   * @param file open for reading
   * @param pageSize bytes of a page
   * @param arenaShare it takes at most this part of the arena
   */
  constructor(file: FileInside, pageSize: number, arenaShare: number) {
    const { backend } = file.transfers;
    this.isSynchronous = backend.method.name === "sync";
    this.isDirect = file.direct;
    this.batches = backend.staging;
    this.#backend = backend;
    this.#arena = backend.arena;
    this.#file = file;
    this.#pageSize = pageSize;
    this.#arenaShare = arenaShare;
    this.#ioCombineLimit = backend.options.ioCombineLimit;
  }

  pinLimit(): number {
    return Math.max(1, Math.floor(this.#arena.bytes / this.#arenaShare / this.#pageSize));
  }

  prepare(maxPinnedBuffers: number): void {
    this.#maxPinnedBuffers = maxPinnedBuffers;
  }

  additionalPins(): number {
    return this.#memory === null ? this.#usableMax : this.#memory.places.left;
  }

  /** One more than the stream pins: the consumer has that. */
  get #usableMax(): number {
    return Math.min(this.#maxPinnedBuffers, this.blocksMax) + 1;
  }

  makeOperation(buffers: Int32Array<ArrayBuffer>): PrivateOperation {
    return new PrivateOperation(buffers);
  }

  // --- starting ---

  tryStartRead(op: PrivateOperation, isBlocking: boolean): Quick {
    const { places } = this.#takeMemory();
    if (places.left === 0) return UNSURE;
    const read = this.#takePages(op, places);
    if (this.isSynchronous) return this.#startNothing(op, read);
    if (!this.#backend.mayAcquire) return UNSURE;
    try {
      const handle = this.#backend.tryAcquire(null, read.ret);
      if (handle === null) return UNSURE;
      this.#startOn(handle, op, read, isBlocking);
      return WAIT;
    } catch (error) {
      this.#undo(op);
      throw error;
    }
  }

  *startRead(op: PrivateOperation, isBlocking: boolean): Steps<boolean> {
    const { places } = this.#takeMemory();
    // All pages of a stream that has nothing pinned are those of reads that were given up.
    while (op.read === null && places.left === 0) yield* this.#awaitAbandoned(isBlocking);
    const read = op.read ?? this.#takePages(op, places);
    if (this.isSynchronous) return this.#startNothing(op, read) === WAIT;
    try {
      yield* this.#startWithHandle(op, read, isBlocking);
    } catch (error) {
      this.#undo(op);
      throw error;
    }
    return true;
  }

  /** With the method `sync` whoever needs the pages reads them. */
  #startNothing(op: PrivateOperation, read: PrivateRead): Quick {
    const { libc } = this.#backend;
    if ((op.flags & READ_FLAG.issueAdvice) !== 0) {
      const { fd } = this.#file;
      libc.advise(fd, BigInt(read.offset), BigInt(read.bytes), system.FADVISE_ADVICE.willNeed);
    }
    op.flags |= READ_FLAG.synchronously;
    return WAIT;
  }

  #takePages(op: PrivateOperation, places: PagePlaces): PrivateRead {
    const { blocks, failures } = this.#memory!;
    const count = Math.min(op.count, places.left, this.#ioCombineLimit);
    const read = this.#idleReads.pop() ?? new PrivateRead(this.#ioCombineLimit, this.#settle);
    places.take(count, read.places);
    const isUpward = op.direction === 1;
    read.begin(isUpward ? op.block : op.block - count + 1, count, this.#pageSize);
    for (let i = 0; i < count; i++) {
      const place = read.places[i]!;
      blocks[place] = read.firstBlock + i;
      failures[place] = null;
      op.buffers[op.index + (isUpward ? i : count - 1 - i)] = place;
    }
    op.count = count;
    op.read = read;
    return read;
  }

  #undo(op: PrivateOperation): void {
    op.buffers.fill(NO_BUFFER, op.index, op.index + op.count);
    this.#givePagesBack(op.read!);
    op.read = null;
  }

  #givePagesBack(read: PrivateRead): void {
    for (let i = 0; i < read.count; i++) this.#memory!.places.giveBack(read.places[i]!);
    this.#idleReads.push(read);
  }

  *#startWithHandle(op: PrivateOperation, read: PrivateRead, isBlocking: boolean): Steps<void> {
    const start = (handle: AioHandle) => this.#startOn(handle, op, read, isBlocking);
    if (isBlocking) start(this.#backend.acquire(null, read.ret));
    else yield* get(this.#backend.acquireAsync(start, null, read.ret));
  }

  #startOn(
    handle: AioHandle,
    { flags }: PrivateOperation,
    read: PrivateRead,
    isBlocking: boolean,
  ): void {
    try {
      handle.waitRef(read);
      // Awaiting must not block: only its reads ahead are left out.
      if (isBlocking && (flags & READ_FLAG.synchronously) !== 0) handle.setFlag("synchronous");
      handle.setIovec(this.#iovecOf(read));
      const when = isBlocking ? undefined : END_OF_TURN;
      this.#file.start("read", handle, read.offset + read.done, when);
    } catch (error) {
      if (handle.state === "handedOut") handle.release();
      throw error;
    }
    this.#file.begin();
    read.isInFlight = true;
  }

  /** What is left to be read: one view for each row of pages. */
  #iovecOf({ places, count, done }: PrivateRead): Uint8Array | Uint8Array[] {
    const pageSize = this.#pageSize;
    const { view } = this.#memory!;
    const views: Uint8Array[] = [];
    let begun = Math.floor(done / pageSize);
    let skipped = done % pageSize;
    for (let i = begun + 1; i <= count; i++) {
      if (i < count && places[i] === places[i - 1]! + 1) continue;
      views.push(
        view.subarray(places[begun]! * pageSize + skipped, (places[i - 1]! + 1) * pageSize),
      );
      begun = i;
      skipped = 0;
    }
    return views.length === 1 ? views[0]! : views;
  }

  // --- waiting ---

  tryWaitRead(op: PrivateOperation, isBlocking: boolean): Quick {
    const read = op.read!;
    let outcome: Quick = NO_WAIT;
    for (;;) {
      if (read.isInFlight) {
        if (!this.#isDone(read)) return UNSURE;
        this.#takeOutcome(read);
      }
      if (read.isOver) {
        this.#finish(op, read);
        return outcome;
      }
      if (!this.isSynchronous || !this.#backend.mayAcquire) return UNSURE;
      const handle = this.#backend.tryAcquire(null, read.ret);
      if (handle === null) return UNSURE;
      outcome = WAIT;
      this.#startOn(handle, op, read, isBlocking);
    }
  }

  *waitRead(op: PrivateOperation, isBlocking: boolean): Steps<boolean> {
    const read = op.read!;
    let hadToWait = false;
    for (;;) {
      if (read.isInFlight) {
        if (!this.#isDone(read)) {
          hadToWait = true;
          yield* this.#await(read, isBlocking);
        }
        this.#takeOutcome(read);
      }
      if (read.isOver) break;
      hadToWait = true;
      yield* this.#startWithHandle(op, read, isBlocking);
    }
    this.#finish(op, read);
    return hadToWait;
  }

  #isDone(read: PrivateRead): boolean {
    return read.ret.result.status !== "unknown" || this.#backend.waiting.isDone(read);
  }

  *#await(read: PrivateRead, isBlocking: boolean): Steps<void> {
    const { waiting } = this.#backend;
    if (isBlocking) waiting.waitSync(read);
    else {
      yield* get(
        new Promise<void>((resolve) => {
          if (waiting.whenDone(read, { completed: resolve })) resolve();
        }),
      );
    }
  }

  #takeOutcome(read: PrivateRead): void {
    const isRetry = read.takeOutcome(this.#file.alignment.offset, this.fileBytes);
    if (isRetry) this.#backend.counters[COUNTER.retries]!++;
    this.#file.end();
  }

  /** Says of each page what there is of it. */
  #finish(op: PrivateOperation, read: PrivateRead): void {
    const { bytes, failures } = this.#memory!;
    const pageSize = this.#pageSize;
    const { errno, firstBlock, count, done } = read;
    const failure = done === read.bytes ? null : { errno, firstBlock, count };
    for (let i = 0; i < count; i++) {
      const place = read.places[i]!;
      const left = Math.min(done - i * pageSize, pageSize);
      bytes[place] = Math.max(0, left);
      if (left < pageSize) failures[place] = failure;
    }
    op.read = null;
    this.#idleReads.push(read);
  }

  // --- giving up ---

  abandon(op: PrivateOperation): void {
    const read = op.read;
    if (read === null) return;
    op.read = null;
    if (!read.isInFlight) {
      this.#givePagesBack(read);
      return;
    }
    this.#abandoned.add(read);
    if (this.#backend.waiting.whenDone(read, read)) this.#settle(read);
  }

  /** An IO that was given up is done. */
  readonly #settle = (read: PrivateRead): void => {
    if (!this.#abandoned.delete(read)) return;
    read.isInFlight = false;
    this.#givePagesBack(read);
    this.#file.end();
    if (this.#isResting) this.#freeMemory();
    if (this.#abandoned.size > 0) return;
    const waiters = this.#onSettled;
    this.#onSettled = [];
    for (const resolve of waiters) resolve();
  };

  /** All pages are those of reads that were given up: waits for one of them. */
  *#awaitAbandoned(isBlocking: boolean): Steps<void> {
    const [read] = this.#abandoned;
    yield* this.#await(read!, isBlocking);
    this.#settle(read!);
  }

  settled(): Promise<void> {
    if (this.#abandoned.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onSettled.push(resolve));
  }

  // --- pages ---

  pageOf(buffer: number, data: unknown): StreamPage<T> {
    const memory = this.#memory!;
    const failure = memory.failures[buffer]!;
    const page = memory.pages[buffer] ??= this.#viewOf(memory, buffer);
    const block = memory.blocks[buffer]!;
    if (failure === null) return new StreamPage(block, page, data as T);
    const bytes = memory.bytes[buffer]!;
    // Only the end of the file makes a page shorter.
    if (failure.errno === 0 && bytes > 0) {
      return new StreamPage(block, page.subarray(0, bytes), data as T);
    }
    throw missingPage(this.#file.path, block, this.#pageSize, failure);
  }

  #viewOf({ view }: Memory, buffer: number): Uint8Array<SharedArrayBuffer> {
    return view.subarray(buffer * this.#pageSize, (buffer + 1) * this.#pageSize);
  }

  release(buffer: number): void {
    this.#memory!.places.giveBack(buffer);
  }

  // --- memory ---

  rest(): void {
    this.#isResting = true;
    this.#freeMemory();
  }

  #freeMemory(): void {
    const memory = this.#memory;
    if (memory === null || memory.places.taken > 0) return;
    this.#memory = null;
    this.#arena.giveBack(memory.view);
    this.#file.transfers.space.serve();
  }

  #takeMemory(): Memory {
    this.#isResting = false;
    return this.#memory ??= this.#makeMemory();
  }

  /** Less than wanted if the arena has no more. @throws if it has no room for two pages */
  #makeMemory(): Memory {
    const pageSize = this.#pageSize;
    const usable = this.#usableMax;
    const alignment = alignUp(this.#file.alignment.memory, PAGE_SIZE_BYTES);
    let count = usable + this.#ioCombineLimit - 1;
    let view = this.#arena.tryTake(count * pageSize, "user", alignment);
    while (view === null && count > 2) {
      count = Math.max(2, Math.floor(count / 2));
      view = this.#arena.tryTake(count * pageSize, "user", alignment);
    }
    if (view === null) throw noSpace(this.#arena, 2 * pageSize);
    return {
      view,
      places: new PagePlaces(count, Math.min(count, usable)),
      pages: new Array(count).fill(undefined),
      blocks: new Float64Array(count),
      bytes: new Int32Array(count),
      failures: new Array(count).fill(null),
    };
  }
}
