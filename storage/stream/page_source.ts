/**
 * page_source.ts: what a read stream reads through: PostgreSQL's `StartReadBuffers` and
 * `WaitReadBuffers`. A buffer pool is a source, and so is a plain file with private pages.
 *
 * A source has buffers, known by numbers from 0. It fills them by operations, of which the stream
 * has one for each IO that may be in flight, made once. An operation points into the stream's ring
 * of buffers; that ring is where both sides exchange numbers.
 *
 * @module
 */

import type { Steps } from "../../core/inside.ts";

/** In a ring of buffers: there is none. */
export const NO_BUFFER = -1;

/** Bits of the flags of an operation. */
export const READ_FLAG = {
  /** A page that is damaged is filled with zeros, with a warning. */
  zeroOnError: 1,
  /** The kernel hears by `posix_fadvise(2)` that the blocks will be read. */
  issueAdvice: 2,
  /** A page with a wrong checksum is as good as another one. */
  ignoreChecksumFailures: 4,
  /**
   * No read-ahead is wanted: whoever blocks executes the read at once. The source sets it where it
   * reads nothing before the wait.
   */
  synchronously: 8,
} as const;

/** What a quick call returns that would have to wait: make the one that has steps. */
export const UNSURE = -1;
/** The pages are there. */
export const NO_WAIT = 0;
/** The start: the read must be waited for. The wait: there was something to wait for. */
export const WAIT = 1;
/** What a quick call returns. */
export type Quick = typeof UNSURE | typeof NO_WAIT | typeof WAIT;

/** One read of neighbouring blocks. The source may keep more in its own kind of these. */
export class ReadOperation {
  /** The stream's ring of buffers. */
  readonly buffers: Int32Array<ArrayBuffer>;
  /** The place of the first buffer in it; the others follow without a gap. */
  index = 0;
  /** The block of the first buffer. */
  block = 0;
  /** In: how many blocks are wanted. Out: how many of them this operation reads, at least 1. */
  count = 0;
  /** 1: the next buffer has the next block. -1: it has the block before. */
  direction: 1 | -1 = 1;
  /** Bits of {@linkcode READ_FLAG}. */
  flags = 0;
  /** Whether the stream has a buffer pinned, so that others may wait for it: see the start. */
  isOptional = false;

  /** @param buffers the stream's ring */
  constructor(buffers: Int32Array<ArrayBuffer>) {
    this.buffers = buffers;
  }
}

/**
 * Where the pages of a stream come from.
 *
 * `isBlocking` says whether whoever needs the page blocks the thread. Steps that have to wait block
 * then; otherwise they yield promises.
 */
export interface PageSource<P> {
  /** Whether a read is executed where it is waited for: the method `sync`. */
  readonly isSynchronous: boolean;
  /** Whether reads go past the page cache, so that advice is of no use. */
  readonly isDirect: boolean;
  /** Whether the pages belong to this thread alone. */
  readonly isTemporary: boolean;
  /** Starts and ends a batch of IO; null: starts are not batched. */
  readonly batches: { enterBatchmode(): void; exitBatchmode(): void } | null;

  /** Most buffers that a stream may pin at once, or the strategy has. */
  pinLimit(): number;
  /** How many more buffers the stream could pin now; 0: none. */
  additionalPins(): number;
  /** Says once how many buffers the stream will pin at most. */
  prepare(maxPinnedBuffers: number): void;
  /** Makes an operation. */
  makeOperation(buffers: Int32Array<ArrayBuffer>): ReadOperation;

  /**
   * Starts a read. The leading ones of `buffers[index..index + count)` may be *forwarded*: pinned
   * by the start before, which was split, for these blocks. The others are {@linkcode NO_BUFFER}.
   * The source pins the missing ones and cuts `count`:
   *
   * - The first block is there: `count` is 1, and there is nothing to wait for.
   * - A later one is there, or is being read by somebody else: the read ends before it. The source
   *   may leave its buffer, and those behind it, pinned in `buffers`: they are forwarded.
   * - The first block is being read by somebody else: `count` is 1, and the wait waits for that.
   * - A buffer would have to be waited for until somebody unpins one, and the read `isOptional`:
   *   `count` is 0, and nothing was done. Threads that wait with buffers pinned would wait for one
   *   another.
   *
   * If it throws nothing is pinned that was not forwarded.
   *
   * @returns {@linkcode NO_WAIT}: the one page is there. {@linkcode WAIT}: call
   *   {@linkcode tryWaitRead} before the pages are used. {@linkcode UNSURE}: call
   *   {@linkcode startRead} with the same operation.
   */
  tryStartRead(op: ReadOperation, isBlocking: boolean): Quick;
  /** As {@linkcode tryStartRead}, with steps that may wait. @returns whether to wait for it */
  startRead(op: ReadOperation, isBlocking: boolean): Steps<boolean>;
  /**
   * Waits for a read until all its blocks are done. What keeps a page from being used may be thrown
   * here, or by {@linkcode pageOf}, which lets the pages before it be delivered.
   *
   * @returns {@linkcode WAIT} if it was not done yet; {@linkcode UNSURE}: call
   *   {@linkcode waitRead}
   */
  tryWaitRead(op: ReadOperation, isBlocking: boolean): Quick;
  /** As {@linkcode tryWaitRead}, with steps that may wait. @returns whether it was not done yet */
  waitRead(op: ReadOperation, isBlocking: boolean): Steps<boolean>;
  /**
   * Gives up an operation that was started and not waited for. It goes on by itself; its buffers
   * are the source's again at once, and so is the operation the stream's.
   */
  abandon(op: ReadOperation): void;

  /**
   * A page to be delivered.
   *
   * @param data what the callback was given for the block
   * @throws what keeps it from being used
   */
  pageOf(buffer: number, data: unknown): P;
  /** Has later operations do without the strategy that limits them; not there: there is none. */
  clearStrategy?(): void;
  /** Unpins a buffer. */
  release(buffer: number): void;
  /** The stream has nothing pinned, and may stay so for long. */
  rest(): void;
  /** Resolves when nothing is in flight that was given up. */
  settled(): Promise<void>;
}
