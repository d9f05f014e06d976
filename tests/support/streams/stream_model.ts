/**
 * stream_model.ts: PostgreSQL's read stream once more, as plainly as possible: lists instead of
 * rings, no stopping half-way. What it does, and the state that it is in, must be those of the real
 * one at each step.
 *
 * @module
 */

import { NO_BUFFER, NO_WAIT, READ_FLAG, WAIT } from "../../../storage/stream/page_source.ts";
import { ReadOperation } from "../../../storage/stream/page_source.ts";
import type { MadeUpSource } from "./made_up_source.ts";

/** How the stream reads. */
export interface ModelOptions {
  readonly maxIos: number;
  readonly ioCombineLimit: number;
  readonly sequential: boolean;
  readonly full: boolean;
}

interface Read {
  readonly op: ReadOperation;
}

interface Place {
  readonly buffer: number;
  /** Of the first buffer of a read. */
  readonly read: Read | null;
}

/** The stream. */
export class StreamModel {
  readonly source: MadeUpSource;
  readonly limit: number;
  readonly maxIos: number;
  readonly maxPinned: number;
  readonly next: () => number | null;
  readonly flags: number;
  readonly advice: boolean;
  pinned: Place[] = [];
  forwarded: number[] = [];
  pending: number[] = [];
  unget: number | null = null;
  ios = 0;
  readahead: number;
  combine: number;
  holdoff = 0;
  seq: number | null = null;
  seqUntil: number | null = null;
  isFast = false;

  constructor(source: MadeUpSource, options: ModelOptions, next: () => number | null) {
    const { maxIos, ioCombineLimit, sequential, full } = options;
    this.source = source;
    this.next = next;
    this.limit = ioCombineLimit;
    this.maxIos = Math.max(maxIos, 1);
    this.maxPinned = Math.min((maxIos + 1) * ioCombineLimit, source.pinLimit());
    this.flags = maxIos === 0 ? READ_FLAG.synchronously : 0;
    this.advice = source.isSynchronous && !sequential && maxIos > 0;
    this.readahead = this.combine = full ? Math.min(this.maxPinned, ioCombineLimit) : 1;
  }

  /** The state by the names of `inspect()`. */
  state(): Record<string, unknown> {
    return {
      iosInProgress: this.ios,
      pinnedBuffers: this.pinned.length,
      forwardedBuffers: this.forwarded.length,
      readaheadDistance: this.readahead,
      combineDistance: this.combine,
      distanceDecayHoldoff: this.holdoff,
      bufferedBlocknum: this.unget,
      seqBlocknum: this.seq,
      seqUntilProcessed: this.seqUntil,
      pendingReadBlocknum: this.pending[0] ?? null,
      pendingReadNblocks: this.pending.length,
      fastPath: this.isFast,
    };
  }

  #getBlock(): number | null {
    const block = this.unget ?? this.next();
    this.unget = null;
    return block;
  }

  #shouldLookAhead(): boolean {
    if (this.readahead === 0 || this.ios >= this.maxIos) return false;
    const pending = this.pending.length;
    if (pending > 0 && this.pinned.length === 0 && pending < this.combine) return true;
    return this.pinned.length + pending < this.readahead;
  }

  #shouldIssueNow(): boolean {
    if (this.pending.length === 0 || this.ios >= this.maxIos) return false;
    if (this.readahead === 0 || this.pending.length >= this.combine) return true;
    return this.pinned.length === 0 && !this.#shouldLookAhead();
  }

  #continues(block: number): boolean {
    const { pending } = this;
    if (pending.length === 0) return false;
    const step = pending.length > 1 ? pending[1]! - pending[0]! : block - pending[0]!;
    return Math.abs(step) === 1 && block === pending.at(-1)! + step;
  }

  #lookAhead(): void {
    while (this.#shouldLookAhead()) {
      if (this.#shouldIssueNow()) {
        this.#startPending();
        continue;
      }
      const block = this.#getBlock();
      if (block === null) {
        this.readahead = this.combine = 0;
        break;
      }
      if (this.#continues(block)) {
        this.pending.push(block);
        continue;
      }
      while (this.pending.length > 0) {
        if (!this.#startPending() || this.ios === this.maxIos) {
          this.unget = block;
          return;
        }
      }
      this.pending = [block];
    }
    if (this.#shouldIssueNow()) this.#startPending();
  }

  #startPending(): boolean {
    const block = this.pending[0]!;
    let { flags } = this;
    if (this.advice && block === this.seq) {
      if (this.seqUntil !== null) flags |= READ_FLAG.issueAdvice;
    } else if (this.advice) {
      this.seqUntil = block;
      if (this.pinned.length > 0) flags |= READ_FLAG.issueAdvice;
    }
    let budget = this.source.additionalPins() + this.forwarded.length;
    if (budget === 0 && this.pinned.length === 0) budget = 1;
    let count = this.pending.length;
    if (budget < count) {
      this.readahead = Math.min(this.readahead, this.pinned.length + budget);
      if (this.pinned.length > 0) return false;
      count = budget;
    }
    const op = this.#operation(block, count, flags);
    for (const [i, buffer] of this.forwarded.entries()) op.buffers[i] = buffer;
    const isMiss = this.source.tryStartRead(op) === WAIT;
    const accepted = Array.from(op.buffers.subarray(0, op.count));
    const read = isMiss ? { op } : null;
    this.pinned.push(...accepted.map((buffer, i) => ({ buffer, read: i === 0 ? read : null })));
    if (!isMiss && this.ios === 0) {
      if (this.holdoff > 0) this.holdoff--;
      else {
        this.readahead = Math.max(this.readahead - 1, Math.min(1, this.readahead));
        this.combine = Math.max(this.combine - 1, Math.min(1, this.combine));
      }
    }
    if (isMiss) {
      this.ios++;
      this.seq = Math.max(...this.pending.slice(0, op.count)) + 1;
    }
    const rest = Array.from(op.buffers.subarray(op.count, count));
    const end = rest.indexOf(NO_BUFFER);
    this.forwarded = end < 0 ? rest : rest.slice(0, end);
    this.pending.splice(0, op.count);
    return true;
  }

  #operation(block: number, count: number, flags: number): ReadOperation {
    const op = new ReadOperation(new Int32Array(count).fill(NO_BUFFER));
    op.block = block;
    op.count = count;
    op.flags = flags;
    op.direction = (this.pending[1] ?? block + 1) > block ? 1 : -1;
    return op;
  }

  /** The next buffer; null at the end. */
  nextBuffer(): number | null {
    if (this.isFast) return this.#nextFast();
    if (this.pinned.length === 0) {
      if (this.readahead === 0) return null;
      this.#lookAhead();
      if (this.pinned.length === 0) return null;
    }
    const { buffer, read } = this.pinned[0]!;
    if (read !== null) this.#wait(read.op);
    this.pinned.shift();
    this.#lookAhead();
    this.isFast = this.ios === 0 && this.forwarded.length === 0 && this.pinned.length === 1 &&
      this.readahead === 1 && this.combine === 1 && this.pending.length === 0;
    return buffer;
  }

  #wait(op: ReadOperation): void {
    const isLate = this.source.tryWaitRead(op) !== NO_WAIT ||
      (op.flags & READ_FLAG.synchronously) !== 0;
    this.ios--;
    if (isLate) this.readahead = Math.min(2 * this.readahead, this.maxPinned);
    this.holdoff = this.maxPinned;
    if (this.combine > 0 && this.combine < this.limit) {
      this.combine = Math.min(2 * this.combine, this.limit, this.maxPinned);
    }
    if (this.advice && op.block === this.seqUntil) this.seqUntil = null;
  }

  #nextFast(): number {
    const { buffer } = this.pinned.shift()!;
    const block = this.#getBlock();
    if (block === null) {
      this.readahead = this.combine = 0;
      this.isFast = false;
      return buffer;
    }
    const flags = READ_FLAG.synchronously | (this.advice ? READ_FLAG.issueAdvice : 0);
    const op = this.#operation(block, 1, flags);
    const isMiss = this.source.tryStartRead(op) === WAIT;
    this.pinned.push({ buffer: op.buffers[0]!, read: isMiss ? { op } : null });
    if (isMiss) {
      this.ios = 1;
      this.seq = block + 1;
      this.isFast = false;
    }
    return buffer;
  }
}
