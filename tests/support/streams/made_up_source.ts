/**
 * made_up_source.ts: a made-up buffer pool for read streams: which pages are there, which others
 * are being read by somebody else, how many may be pinned and which reads are done in time is up to
 * the test. It refuses what a pool would be destroyed by.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { get, type Steps } from "../../../core/inside.ts";
import {
  NO_BUFFER,
  NO_WAIT,
  type PageSource,
  type Quick,
  READ_FLAG,
  ReadOperation,
  UNSURE,
  WAIT,
} from "../../../storage/stream/page_source.ts";

/** What the pool is like. */
export interface SourceTraits {
  /** Whether a page is there. Default: none is. */
  isCached?(block: number): boolean;
  /** Whether somebody else is reading a page. Default: nobody is. */
  isForeign?(block: number): boolean;
  /** Whether the consumer has to wait for a read. Default: for each. */
  isLate?(block: number): boolean;
  /** Whether a call has to wait for something else, so that it takes steps. Default: none. */
  isUnsure?(): boolean;
  /** Whether a start would have to wait for a buffer. Default: none has to. */
  isFull?(): boolean;
  /** Thrown by the start of a read of that block, or by the wait for it. */
  failStart?: number;
  failWait?: number;
  /** Most pins, the consumer's too. Default: 1000. */
  pins?: number;
  /** What the stream may pin. Default: 1000. */
  pinLimit?: number;
  /** Whether the method is `sync`. */
  isSynchronous?: boolean;
}

/** A buffer, and how often it is pinned. */
interface Pinned {
  readonly block: number;
  pins: number;
}

/** The pool. */
export class MadeUpSource implements PageSource<number> {
  readonly isSynchronous: boolean;
  readonly isDirect = false;
  readonly isTemporary = false;
  readonly batches: PageSource<number>["batches"];
  /** What it was called for, in words: `start 5+3`, `advise 5`, `wait 5`, `abandon 5`. */
  readonly events: string[] = [];
  readonly #traits: SourceTraits;
  readonly #buffers: Pinned[] = [];
  readonly #inFlight = new Set<ReadOperation>();
  #isInBatch = false;

  constructor(traits: SourceTraits = {}) {
    this.#traits = traits;
    this.isSynchronous = traits.isSynchronous ?? false;
    this.batches = {
      enterBatchmode: () => {
        assert(!this.#isInBatch, "a batch in a batch");
        this.#isInBatch = true;
      },
      exitBatchmode: () => {
        assert(this.#isInBatch, "the end of no batch");
        this.#isInBatch = false;
      },
    };
  }

  /** How many pins there are. */
  pinned = 0;

  pinLimit(): number {
    return this.#traits.pinLimit ?? 1000;
  }

  additionalPins(): number {
    return Math.max(0, (this.#traits.pins ?? 1000) - this.pinned);
  }

  prepare(): void {}

  makeOperation(buffers: Int32Array<ArrayBuffer>): ReadOperation {
    return new ReadOperation(buffers);
  }

  #isUnsure(): boolean {
    return this.#traits.isUnsure?.() ?? false;
  }

  tryStartRead(op: ReadOperation): Quick {
    // Only a start with steps may do nothing.
    if (this.#isUnsure() || this.#traits.isFull !== undefined) return UNSURE;
    return this.#start(op) ? WAIT : NO_WAIT;
  }

  *startRead(op: ReadOperation, isBlocking: boolean): Steps<boolean> {
    assert(!this.#isInBatch, "a wait in a batch");
    yield* get(isBlocking ? undefined : Promise.resolve());
    return this.#start(op);
  }

  #start(op: ReadOperation): boolean {
    const { block, direction, index, buffers } = op;
    const { isCached, isForeign, failStart } = this.#traits;
    if (failStart === block) throw new Error(`start of ${block}`);
    if (buffers[index] === NO_BUFFER && this.#isFull(op)) {
      op.count = 0;
      return false;
    }
    if ((op.flags & READ_FLAG.issueAdvice) !== 0) this.events.push(`advise ${block}`);
    const wanted = op.count;
    let accepted = wanted;
    for (let i = 0; i < wanted; i++) {
      this.#pin(buffers, index + i, block + i * direction);
      if (isCached?.(block + i * direction) !== true) continue;
      accepted = Math.max(1, i);
      break;
    }
    if (isCached?.(block) === true) {
      op.count = 1;
      this.events.push(`hit ${block}`);
      return false;
    }
    for (let i = 0; i < accepted; i++) {
      if (isForeign?.(block + i * direction) === true) accepted = Math.max(1, i);
    }
    op.count = accepted;
    if (this.isSynchronous) op.flags |= READ_FLAG.synchronously;
    // The direction of one block means nothing.
    const sign = direction === 1 || accepted === 1 ? "+" : "-";
    this.events.push(`start ${block}${sign}${accepted}`);
    this.#inFlight.add(op);
    return true;
  }

  /** Whoever may not wait with buffers pinned does not. */
  #isFull(op: ReadOperation): boolean {
    if (this.#traits.isFull?.() !== true) return false;
    if (!op.isOptional) assertEquals(this.pinned, 0, "a wait for a buffer with others pinned");
    return op.isOptional;
  }

  /** What is forwarded must be the buffer of its block. */
  #pin(buffers: Int32Array, at: number, block: number): void {
    const forwarded = buffers[at]!;
    if (forwarded !== NO_BUFFER) {
      assertEquals(this.#buffers[forwarded]!.block, block, "a forwarded buffer of another block");
      assert(this.#buffers[forwarded]!.pins > 0, "a forwarded buffer that is not pinned");
      return;
    }
    this.pinned++;
    buffers[at] = this.#buffers.push({ block, pins: 1 }) - 1;
  }

  tryWaitRead(op: ReadOperation): Quick {
    if (this.#isUnsure()) return UNSURE;
    return this.#wait(op) ? WAIT : NO_WAIT;
  }

  *waitRead(op: ReadOperation, isBlocking: boolean): Steps<boolean> {
    assert(!this.#isInBatch, "a wait in a batch");
    yield* get(isBlocking ? undefined : Promise.resolve());
    return this.#wait(op);
  }

  #wait(op: ReadOperation): boolean {
    assert(this.#inFlight.has(op), "a wait for nothing");
    if (this.#traits.failWait === op.block) throw new Error(`wait for ${op.block}`);
    this.#inFlight.delete(op);
    this.events.push(`wait ${op.block}`);
    return this.isSynchronous || (this.#traits.isLate?.(op.block) ?? true);
  }

  abandon(op: ReadOperation): void {
    assert(this.#inFlight.delete(op), "nothing to abandon");
    this.events.push(`abandon ${op.block}`);
    for (let i = 0; i < op.count; i++) this.release(op.buffers[op.index + i]!);
  }

  pageOf(buffer: number): number {
    const { block, pins } = this.#buffers[buffer]!;
    assert(pins > 0, "a page that is not pinned");
    return block;
  }

  release(buffer: number): void {
    const found = this.#buffers[buffer];
    assert(found !== undefined && found.pins > 0, `buffer ${buffer} is not pinned`);
    found.pins--;
    this.pinned--;
  }

  rest(): void {}

  settled(): Promise<void> {
    return Promise.resolve();
  }
}
