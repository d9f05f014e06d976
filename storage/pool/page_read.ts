/**
 * page_read.ts: reading blocks into buffers, as PostgreSQL's StartReadBuffers and WaitReadBuffers
 * do it: a start pins the buffers of some blocks in a row and begins to read those that are not
 * there, in one IO; a wait sees to it that they are.
 *
 * A start may do less than it was asked for: blocks behind a hit, or behind one that another IO
 * has, are another IO's. Buffers that it has pinned for those are handed back with it, *forwarded*,
 * and taken by the next start. If another IO has the very first block, that IO is waited for,
 * *joined*; if it fails, the wait reads the block itself.
 *
 * @module
 */

import { get, type Steps } from "../../core/inside.ts";
import type { AioHandle } from "../../core/mod.ts";
import { BEGUN, endIo, ioWordOf, tryBeginRead, VALID } from "./buffer_io.ts";
import { COUNT } from "./pool_counts.ts";
import { BUFFER, BUFFER_STATE, NO_BUFFER } from "./pool_memory.ts";
import { tellChange } from "./wait_words.ts";
import type { PoolSide } from "./pool_side.ts";
import { BLOCKS_MAX, checkBlock, type PageRead } from "./read_operation.ts";

/** Reads of one thread. */
export class PageReads {
  readonly #pool: PoolSide;

  /** @param pool of this thread */
  constructor(pool: PoolSide) {
    this.#pool = pool;
  }

  /**
   * Pins the buffers of blocks, and begins to read them.
   *
   * @param op holds forwarded buffers, or `NO_BUFFER`
   * @returns whether {@linkcode wait} is to be called
   * @throws {RangeError} if the first is no block; of the others that is the next start's concern
   */
  *start(op: PageRead): Steps<boolean> {
    checkBlock(op.block);
    if (op.direction === 1) op.count = Math.min(op.count, BLOCKS_MAX - op.block);
    op.done = 0;
    op.isIssued = false;
    op.joined = 0;
    let pinned = 0;
    for (; pinned < op.count; pinned++) {
      const at = op.at + pinned;
      if (op.buffers[at] === NO_BUFFER) {
        const buffer = yield* this.#pool.pinBlock(
          op.file,
          op.block + pinned * op.direction,
          pinned > 0,
          op.ring,
        );
        // Without waiting for anybody there is none: that many are enough.
        if (buffer === NO_BUFFER) break;
        op.buffers[at] = buffer;
      }
      if (!this.#pool.isValid(op.buffers[at]!)) continue;
      if (pinned === 0) {
        op.count = 1;
        this.#pool.counts[COUNT.hits]!++;
        return false;
      }
      // It stays pinned, and is what the next start begins with.
      break;
    }
    op.count = pinned;
    op.isSynchronous = this.#pool.isSynchronous;
    if (op.isSynchronous) return true;
    return yield* this.#issue(op, true);
  }

  /**
   * Pins the buffer of the one block of an operation, and begins to read it, if there is a handle
   * and a buffer for it right now.
   *
   * @returns whether {@linkcode wait} is to be called, or the read that was issued to be awaited
   */
  tryStartNow(op: PageRead): boolean {
    const { backend, pins } = this.#pool;
    const handle = backend.tryAcquire(null, op.ret);
    if (handle === null) return false;
    const buffer = this.#pool.tryPinBlock(op.file, op.block);
    if (buffer === NO_BUFFER) {
      handle.release();
      return false;
    }
    op.done = 0;
    op.isIssued = false;
    op.joined = 0;
    op.isSynchronous = false;
    op.buffers[op.at] = buffer;
    try {
      this.#begin(op, handle, true);
    } catch (error) {
      pins.unpin(buffer);
      throw error;
    }
    return true;
  }

  /**
   * Waits until all blocks are there.
   *
   * @returns whether it had to
   * @throws what came of the IO; the buffers stay pinned
   */
  *wait(op: PageRead): Steps<boolean> {
    let hasWaited = false;
    while (op.done < op.count) {
      if (op.joined !== 0) hasWaited = (yield* this.#waitForOther(op)) || hasWaited;
      else if (op.isIssued) hasWaited = (yield* this.#waitForOwn(op)) || hasWaited;
      if (op.done >= op.count || op.joined !== 0) continue;
      hasWaited = true;
      yield* this.#issue(op, false);
    }
    return hasWaited;
  }

  /** Waits for an IO that another start has begun. */
  *#waitForOther(op: PageRead): Steps<boolean> {
    const buffer = op.buffers[op.at + op.done]!;
    const hasWaited = this.#pool.hasIo(buffer);
    yield* this.#pool.waitForIo(buffer);
    op.joined = 0;
    // Whatever it was that was waited for: what counts is what the buffer says now.
    if (this.#pool.isValid(buffer)) {
      op.done++;
      this.#pool.counts[COUNT.joined]!++;
    }
    return hasWaited;
  }

  /** Waits for the IO that this start has begun. */
  *#waitForOwn(op: PageRead): Steps<boolean> {
    const { aio, calls } = this.#pool;
    let hasWaited = false;
    if (!aio.checkDone(op.ref)) {
      hasWaited = true;
      yield* get(calls.wait(op.ref));
    }
    op.isIssued = false;
    const { result, targetData } = op.ret;
    if (result.status === "error") this.#pool.raise(op, result, targetData);
    if (result.status === "warning") this.#pool.warn(op, result, targetData);
    op.done += this.#countValid(op);
    return hasWaited;
  }

  /** How many of the blocks that are not done yet are there, one after another. */
  #countValid({ buffers, at, done, count }: PageRead): number {
    let valid = 0;
    while (done + valid < count && this.#pool.isValid(buffers[at + done + valid]!)) valid++;
    return valid;
  }

  /**
   * Pins the buffer of a block and fills it with zeros, as {@linkcode zero} does, if there is a
   * handle and a buffer for it right now.
   *
   * @returns `NO_BUFFER` if not
   */
  tryZeroNow(file: number, block: number): number {
    const { backend, pins } = this.#pool;
    const handle = backend.tryAcquire(null, null);
    if (handle === null) return NO_BUFFER;
    const buffer = this.#pool.tryPinBlock(file, block);
    if (buffer === NO_BUFFER) {
      handle.release();
      return NO_BUFFER;
    }
    const found = this.#zeroAt(buffer, handle);
    if (found === BEGUN || found === VALID) return buffer;
    pins.unpin(buffer);
    return NO_BUFFER;
  }

  /**
   * Fills a pinned buffer with zeros, in place of reading its block. What is there already stays.
   */
  *zero(buffer: number): Steps<void> {
    const use = (handle: AioHandle) => this.#zeroAt(buffer, handle);
    while (!this.#pool.isValid(buffer)) {
      const found = yield* get(this.#pool.calls.withHandle(use, null));
      if (found !== BEGUN && found !== VALID) yield* this.#pool.waitForIo(buffer);
    }
  }

  /**
   * With a handle, as whoever finds the buffer in progress waits for that.
   *
   * @returns as `tryBeginRead`
   */
  #zeroAt(buffer: number, handle: AioHandle): number {
    const { memory, control, bells } = this.#pool;
    const begun = tryBeginRead(memory, buffer, ioWordOf(control, handle.index, "read"));
    if (begun === BEGUN) {
      memory.bytes(buffer).fill(0);
      Atomics.or(memory.words, memory.at(buffer) + BUFFER.state, BUFFER_STATE.valid);
      endIo(bells, memory, buffer);
    }
    handle.release();
    return begun;
  }

  /**
   * Begins to read what is not done.
   *
   * @param isFirst whether the read may be made shorter
   * @returns whether there is something to wait for
   */
  #issue(op: PageRead, isFirst: boolean): Steps<boolean> {
    const use = (handle: AioHandle) => this.#begin(op, handle, isFirst);
    return get(this.#pool.calls.withHandle(use, op.ret));
  }

  /** The same with a handle in hand, as no buffer may be in progress that cannot be waited for. */
  #begin(op: PageRead, handle: AioHandle, isFirst: boolean): boolean {
    const { memory, control, bells } = this.#pool;
    const word = ioWordOf(control, handle.index, "read");
    const first = op.at + op.done;
    const begun = tryBeginRead(memory, op.buffers[first]!, word);
    if (begun !== BEGUN) {
      tellChange(bells, memory, op.buffers[first]!);
      handle.release();
      return this.#beginNone(op, begun, isFirst);
    }
    let count = 1;
    while (op.done + count < op.count && count < this.#pool.combineLimit) {
      if (tryBeginRead(memory, op.buffers[first + count]!, word) !== BEGUN) break;
      count++;
    }
    if (isFirst) op.count = op.done + count;
    try {
      handle.waitRef(op.ref);
      this.#pool.startRead(handle, op, count);
    } catch (error) {
      // It never became an IO.
      for (let i = 0; i < count; i++) endIo(bells, memory, op.buffers[first + i]!);
      if (handle.state === "handedOut") handle.release();
      throw error;
    }
    op.isIssued = true;
    this.#pool.counts[COUNT.reads]!++;
    this.#pool.counts[COUNT.blocksRead]! += count;
    return true;
  }

  /** The first block is there, or another IO has it. */
  #beginNone(op: PageRead, found: number, isFirst: boolean): boolean {
    if (found === VALID) {
      op.done++;
      if (!isFirst) return true;
      op.count = 1;
      this.#pool.counts[COUNT.hits]!++;
      return false;
    }
    op.joined = found;
    if (isFirst) op.count = 1;
    return true;
  }
}
