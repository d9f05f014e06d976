/**
 * pool_thread.ts: a pool as one thread has it, in one of the two ways to wait. Its parts, a file
 * each, find one another here.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import {
  announceWait,
  type Backend,
  type Control,
  FILE_TARGET,
  fromWords,
  get,
  type LayerHost,
  LOOK_AGAIN_MS,
  shown,
  type Steps,
  systemError,
  wakeWord,
} from "../../core/inside.ts";
import type { AioCore, AioHandle, AioResult } from "../../core/mod.ts";
import { growSteps } from "../file/allocate.ts";
import type { FileInside } from "../file/file_inside.ts";
import type { MemoryUser } from "../file/transfer.ts";
import { tryRefer } from "./buffer_io.ts";
import type { BufferRing } from "./buffer_ring.ts";
import type { PoolCalls } from "./calls.ts";
import { ContentLocks } from "./content_lock.ts";
import { type AttachOpening, PoolFiles } from "./pool_files.ts";
import { PageReads } from "./page_read.ts";
import { PageWrites } from "./page_write.ts";
import { Pins } from "./pins.ts";
import { datumOf } from "./pool_callbacks.ts";
import { BUFFER, BUFFER_STATE, isWhole, poolBytes, type PoolMemory } from "./pool_memory.ts";
import { withLock } from "./pool_lock.ts";
import { describeOutcome, unpackOutcome } from "./read_outcome.ts";
import { COUNT } from "./pool_counts.ts";
import { PoolEnd } from "./pool_end.ts";
import type { PoolSide } from "./pool_side.ts";
import { BLOCKS_MAX, type PageRead } from "./read_operation.ts";
import { Victims } from "./victims.ts";
import { changeOf, extenderOf } from "./wait_words.ts";

/** What both ways to wait share. */
export interface PoolParts {
  readonly aio: AioCore;
  readonly backend: Backend;
  readonly memory: PoolMemory;
  /** The user's, which may come to the bytes of a page. */
  readonly transfers: MemoryUser;
  readonly pins: Pins;
  readonly locks: ContentLocks;
  readonly files: PoolFiles;
  readonly end: PoolEnd;
  readonly counts: Float64Array;
  /** Called before a page is written. */
  readonly beforeWrite: ((buffer: number) => unknown) | null;
}

/** Makes the parts of this thread. */
export function makeParts(
  aio: AioCore,
  backend: Backend,
  memory: PoolMemory,
  transfers: MemoryUser,
  attach: AttachOpening,
  beforeWrite: ((buffer: number) => unknown) | null,
): PoolParts {
  const bells = backend.doorbells;
  const host = {
    memory,
    backend,
    bells,
    backendId: backend.id,
    locked: <T>(use: () => T) => withLock(memory, use),
  };
  return {
    aio,
    backend,
    memory,
    transfers,
    pins: new Pins(memory, backend.id, bells),
    locks: new ContentLocks(host),
    files: new PoolFiles(host, attach),
    end: new PoolEnd(backend.wordWaits),
    counts: memory.countsOf(backend.id),
    beforeWrite,
  };
}

/**
 * Those for what a thread has left to do when it leaves the pool. The pins and locks of its tasks
 * are over: what ends them then ends none of these.
 */
export function partsToLeave(parts: PoolParts): PoolParts {
  const { memory, backend } = parts;
  const bells = backend.doorbells;
  return {
    ...parts,
    pins: new Pins(memory, backend.id, bells, parts.pins.code),
    locks: new ContentLocks({ memory, bells, backendId: backend.id }),
    end: new PoolEnd(backend.wordWaits),
  };
}

const END_OF_TURN = { submit: "endOfTurn" } as const;

/** A pool, in one thread and one way to wait. */
export class PoolThread implements PoolSide {
  readonly aio: AioCore;
  readonly backend: Backend;
  readonly backendId: number;
  readonly control: Control;
  readonly bells: LayerHost["bells"];
  readonly memory: PoolMemory;
  readonly pins: Pins;
  readonly locks: ContentLocks;
  readonly files: PoolFiles;
  readonly end: PoolEnd;
  readonly counts: Float64Array;
  readonly beforeWrite: PoolParts["beforeWrite"];
  /** How it waits. */
  readonly calls: PoolCalls;
  /** Whether that blocks the thread. */
  readonly blocks: boolean;
  /** Whether a read is executed where it is waited for. */
  readonly isSynchronous: boolean;
  /** Most blocks of one IO. */
  readonly combineLimit: number;
  readonly victims: Victims;
  readonly reads: PageReads;
  readonly writes: PageWrites;
  readonly #transfers: MemoryUser;
  readonly #readv: number;
  readonly #writev: number;
  /** The one of buffer 0: others are so much more. */
  readonly #firstDatum: number;
  /** Used again and again. */
  readonly #datum = new Float64Array(1);

  /**
   * @param parts of this thread
   * @param calls how it waits
   * @param blocks whether they block
   */
  constructor(parts: PoolParts, calls: PoolCalls, blocks: boolean) {
    this.aio = parts.aio;
    this.backend = parts.backend;
    this.backendId = parts.backend.id;
    this.control = parts.backend.control;
    this.bells = parts.backend.doorbells;
    this.memory = parts.memory;
    this.pins = parts.pins;
    this.locks = parts.locks;
    this.files = parts.files;
    this.end = parts.end;
    this.counts = parts.counts;
    this.beforeWrite = parts.beforeWrite;
    this.calls = calls;
    this.blocks = blocks;
    this.isSynchronous = parts.aio.method === "sync";
    this.combineLimit = parts.aio.options.ioCombineLimit;
    const isShared = parts.memory.owner < 0;
    this.#readv = parts.aio.callbackId(isShared ? "sharedBufferReadv" : "localBufferReadv");
    this.#writev = parts.aio.callbackId("sharedBufferWritev");
    this.#firstDatum = datumOf(parts.memory, 0);
    this.#transfers = parts.transfers;
    this.victims = new Victims(this);
    this.reads = new PageReads(this);
    this.writes = new PageWrites(this);
  }

  /** Does something under the pool's lock. */
  locked<T>(use: () => T): T {
    return withLock(this.memory, use);
  }

  /** Whether a buffer has the content of its block. */
  isValid(buffer: number): boolean {
    const stateAt = this.memory.at(buffer) + BUFFER.state;
    return (Atomics.load(this.memory.words, stateAt) & BUFFER_STATE.valid) !== 0;
  }

  /** Whether an IO has a buffer. */
  hasIo(buffer: number): boolean {
    return Atomics.load(this.memory.words, this.memory.at(buffer) + BUFFER.io) !== 0;
  }

  /** Whether a thread died while it changed a buffer. */
  isTorn(buffer: number): boolean {
    const stateAt = this.memory.at(buffer) + BUFFER.state;
    return (Atomics.load(this.memory.words, stateAt) & BUFFER_STATE.torn) !== 0;
  }

  /** Whether a buffer has the content of its block, whole. */
  isUsable(buffer: number): boolean {
    const stateAt = this.memory.at(buffer) + BUFFER.state;
    return isWhole(Atomics.load(this.memory.words, stateAt));
  }

  /** Says that a block cannot be read for that. */
  tornError(file: number, block: number): Error {
    return new Deno.errors.InvalidData(
      `Cannot read block ${block} of ${shown(this.files.pathOf(file))}: a thread died while it ` +
        "changed it; invalidate() drops the change, repair() mends it",
    );
  }

  /** It is right again. */
  clearTorn(buffer: number): void {
    Atomics.and(this.memory.words, this.memory.at(buffer) + BUFFER.state, ~BUFFER_STATE.torn);
  }

  /**
   * Makes a file longer by so many blocks, one thread after another.
   *
   * @param buffers gets those of the new blocks, pinned, also where it throws
   * @returns the first new block
   */
  *extendFile(number: number, path: string, count: number, buffers: number[]): Steps<number> {
    const { memory: { words, pageBytes }, memory, calls, backendId, files } = this;
    const use = files.useOf(number);
    const word = extenderOf(memory, number);
    for (;;) {
      const holder = Atomics.compareExchange(words, word.index, 0, backendId + 1);
      if (holder === 0) break;
      yield* get(calls.changed(word, holder));
      this.end.check();
      files.checkUse(number, use);
    }
    try {
      const writer = files.writerOf(number);
      if (writer === null) {
        throw new Deno.errors.BadResource(`Cannot extend ${path}: it is not open for writing`);
      }
      const file = this.blocks ? writer.calls.blocking : writer.calls.awaited;
      const { size } = yield* writer.during(get(file.stat(writer.fd, path)));
      files.checkUse(number, use);
      const first = Math.ceil(size / pageBytes);
      if (first + count > BLOCKS_MAX) {
        throw new RangeError(
          `Cannot extend ${shown(path)} by ${count} pages: it has ${first} of 2^31`,
        );
      }
      // Before others can read them: what one has changed and evicted would be zeroed once more.
      yield* this.victims.pinBlocks(number, first, count, buffers);
      const end = (first + count) * pageBytes;
      const growth = growSteps(writer, size, end, this.blocks);
      yield* files.growing(number, writer.during(growth));
      files.checkUse(number, use);
      return first;
    } finally {
      // Whoever leaves the file gives that back, too: by now it may be another task's, or file's.
      if (files.isUse(number, use)) {
        Atomics.store(words, word.index, 0);
        wakeWord(this.bells, word);
      }
    }
  }

  /** See `Victims.pinBlock`. */
  pinBlock(
    file: number,
    block: number,
    isOptional: boolean,
    ring: BufferRing | null,
  ): Steps<number> {
    return this.victims.pinBlock(file, block, isOptional, ring);
  }

  /** See `Victims.tryPinBlock`. */
  tryPinBlock(file: number, block: number): number {
    return this.victims.tryPinBlock(file, block);
  }

  /**
   * Waits until a buffer no longer has the IO that it has now, of whichever thread: by waiting for
   * the IO, as the thread that started it may look for no completions.
   */
  *waitForIo(buffer: number): Steps<void> {
    const { memory, calls } = this;
    const io = Atomics.load(memory.words, memory.at(buffer) + BUFFER.io);
    if (io === 0) return;
    const ref = { index: -1, generation: 0 };
    if (tryRefer(this.control, memory, buffer, io, ref)) {
      if (!this.aio.checkDone(ref)) yield* get(calls.wait(ref));
      return;
    }
    // It is over. The thread died that was about to start it, or takes the word away just now.
    const word = changeOf(memory, buffer);
    const seen = announceWait(word, this.backendId);
    if (Atomics.load(memory.words, memory.at(buffer) + BUFFER.io) !== io) return;
    yield* get(calls.changed(word, seen));
  }

  /**
   * Waits for all IO of this thread on the pool's memory, some of which may have been given up: the
   * IO is at the memory until its handle is done, and not only as long as its word is in a buffer.
   * Also for the user's own on a page's bytes, begun or not: it would write what is there after the
   * memory was given back.
   */
  *settle(): Steps<void> {
    const { memory: { arena, run }, memory } = this;
    const view = new Uint8Array(arena.buffer, run.offset, poolBytes(memory));
    const ref = { index: -1, generation: 0 };
    for (;;) {
      ref.index = arena.ownIoOn(run.offset, view.byteLength);
      if (ref.index >= 0) {
        ref.generation = this.backend.waiting.generationOf(this.control.handleAt(ref.index));
        if (!this.aio.checkDone(ref)) yield* get(this.calls.wait(ref));
        continue;
      }
      // It waits for a handle, or goes on with what the system has cut short.
      if (!this.#transfers.isUsing(view)) return;
      yield* get(delay(LOOK_AGAIN_MS));
    }
  }

  /** Writes a victim back, and others with it. */
  writeVictims(buffer: number): Steps<void> {
    this.counts[COUNT.forcedWrites]!++;
    return this.writes.writeVictims(buffer);
  }

  /** Starts the IO that reads some blocks. */
  startRead(handle: AioHandle, op: PageRead, count: number): void {
    const first = op.at + op.done;
    const isUpward = op.direction === 1;
    const block = isUpward ? op.block + op.done : op.block - op.done - count + 1;
    const file = this.files.readerOf(op.file, op.use);
    handle.registerCallbacks(this.#readv, op.flags);
    if (count === 1) return this.#startOne("read", file, handle, block, op.buffers[first]!);
    const buffers = Array.from(op.buffers.subarray(first, first + count));
    if (!isUpward) buffers.reverse();
    this.#start("read", file, handle, block, buffers);
  }

  /** Starts the IO that writes some blocks. */
  startWrite(
    handle: AioHandle,
    writer: FileInside,
    block: number,
    buffers: readonly number[],
  ): void {
    handle.registerCallbacks(this.#writev);
    if (buffers.length === 1) this.#startOne("write", writer, handle, block, buffers[0]!);
    else this.#start("write", writer, handle, block, buffers);
  }

  /** Without making any array. */
  #startOne(
    direction: "read" | "write",
    file: FileInside,
    handle: AioHandle,
    block: number,
    buffer: number,
  ): void {
    const { memory } = this;
    this.#datum[0] = this.#firstDatum + buffer;
    handle.setHandleData(this.#datum);
    handle.setIovec(memory.bytes(buffer));
    file.start(direction, handle, block * memory.pageBytes, this.blocks ? undefined : END_OF_TURN);
  }

  #start(
    direction: "read" | "write",
    file: FileInside,
    handle: AioHandle,
    block: number,
    buffers: readonly number[],
  ): void {
    const { memory } = this;
    handle.setHandleData(buffers.map((buffer) => this.#firstDatum + buffer));
    handle.setIovec(this.#viewsOf(buffers));
    const options = this.blocks ? undefined : END_OF_TURN;
    file.start(direction, handle, block * memory.pageBytes, options);
  }

  /** The memory of buffers: one view, if they are neighbours. */
  #viewsOf(buffers: readonly number[]): Uint8Array | Uint8Array[] {
    const { memory } = this;
    const first = buffers[0]!;
    if (buffers.every((buffer, i) => buffer === first + i)) {
      const { buffer, byteOffset } = memory.bytes(first);
      return new Uint8Array(buffer, byteOffset, buffers.length * memory.pageBytes);
    }
    return buffers.map((buffer) => memory.bytes(buffer));
  }

  /** Tells what was done about pages of a read that were not right. */
  warn(op: PageRead, result: AioResult, targetData: Int32Array): void {
    this.backend.warn(this.#describe(op, result, targetData));
  }

  /** What was found in the pages of an IO, in words. */
  #describe(op: PageRead, { errorData }: AioResult, targetData: Int32Array): string {
    const count = targetData[FILE_TARGET.length]! / this.memory.pageBytes;
    const file = `file ${JSON.stringify(this.files.pathOf(op.file))}`;
    const block = this.#blockIn(targetData);
    return describeOutcome(unpackOutcome(errorData), block, count, file);
  }

  /** The first block of an IO. */
  #blockIn(targetData: Int32Array): number {
    const low = targetData[FILE_TARGET.offsetLow]!;
    return fromWords(low, targetData[FILE_TARGET.offsetHigh]!) / this.memory.pageBytes;
  }

  /** Throws what came of a read. */
  raise(op: PageRead, result: AioResult, targetData: Int32Array): never {
    const { memory, files } = this;
    const block = this.#blockIn(targetData);
    const path = files.pathOf(op.file);
    const file = `file ${JSON.stringify(path)}`;
    if (result.callbackId !== this.#readv) {
      const count = Math.max(1, targetData[FILE_TARGET.length]! / memory.pageBytes);
      const what = `could not read blocks ${block}..${block + count - 1} in ${file}`;
      throw systemError(result.errorData, what, {
        syscall: "preadv",
        path,
        offset: block * memory.pageBytes,
        length: count * memory.pageBytes,
      });
    }
    if (result.errorData === 0) {
      throw new Deno.errors.UnexpectedEof(
        `could not read block ${block} in ${file}: ` +
          `read only ${result.result} of ${memory.pageBytes} bytes`,
      );
    }
    throw new Deno.errors.InvalidData(this.#describe(op, result, targetData));
  }
}
