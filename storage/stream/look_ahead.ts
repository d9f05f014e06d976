/**
 * look_ahead.ts: how a read stream decides what to read and when: the first half of PostgreSQL's
 * `read_stream.c`, whose names the state has. What the consumer gets is the other half,
 * read_ahead.ts.
 *
 * A callback says block after block. Neighbours, in either direction, become one *pending read* of
 * up to `ioCombineLimit` blocks. It is started when it is large enough (*combine distance*), and
 * reads go on ahead of the consumer as long as fewer than *read-ahead distance* buffers are pinned.
 * Both distances begin at 1 and double: the first only when the consumer had to wait, the second
 * with every IO. Hits shrink them, once as many buffers as may be pinned were delivered without an
 * IO (the hold-off).
 *
 * ```text
 * callback ─► unget slot ─► pending read ─► source.startRead ─► buffers[] ─► consumer
 *                                                 └► ios[] ─► source.waitRead ┘
 * ```
 *
 * @module
 */

import * as sources from "./page_source.ts";
import type { PageSource, Quick, ReadOperation } from "./page_source.ts";
import type { StreamStats } from "./stream_stats.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { NO_BUFFER, READ_FLAG, UNSURE, WAIT } = sources;

/** In place of a block: there is none. */
export const NO_BLOCK = -1;
/** The counters of PostgreSQL are 16-bit integers. */
const COUNT_MAX = 32767;

/** Where the look-ahead goes on after a start that had to wait. */
export const IN_LOOP = 0;
const IN_JUMP = 1;
const IN_TAIL = 2;

/** What came of the start of the pending read. */
const STARTED = 0;
const REFUSED = 1;
const SUSPENDED = 2;
type Outcome = typeof STARTED | typeof REFUSED | typeof SUSPENDED;

/** How a stream is to read. */
export interface ReadAheadOptions {
  /** Most IOs in progress; 0: no read-ahead. */
  readonly maxIos: number;
  /** Most blocks of one IO. */
  readonly ioCombineLimit: number;
  /** The blocks come in ascending order without gaps, so that advice is of no use. */
  readonly sequential: boolean;
  /** All blocks will be consumed: the distances begin at a full IO. */
  readonly full: boolean;
  /** Starts are batched. */
  readonly batching: boolean;
  /** The next block; null: that was the last one. */
  next(data: unknown): number | null;
  /** Makes the data of a place in the queue; null: blocks have none. */
  readonly makeData: (() => unknown) | null;
}

/** The state of one stream, and its look-ahead. */
export class LookAhead<P> {
  readonly source: PageSource<P>;
  readonly callback: (data: unknown) => number | null;
  readonly maxIos: number;
  readonly ioCombineLimit: number;
  readonly maxPinnedBuffers: number;
  readonly queueSize: number;
  readonly readBuffersFlags: number;
  readonly batchMode: boolean;
  readonly adviceEnabled: boolean;
  readonly buffers: Int32Array<ArrayBuffer>;
  readonly ios: readonly ReadOperation[];
  readonly slotData: unknown[] | null;
  iosInProgress = 0;
  forwardedBuffers = 0;
  pinnedBuffers = 0;
  readaheadDistance: number;
  combineDistance: number;
  distanceDecayHoldoff = 0;
  resumeReadaheadDistance: number;
  resumeCombineDistance: number;
  initializedBuffers = 0;
  bufferedBlocknum = NO_BLOCK;
  seqBlocknum = NO_BLOCK;
  seqUntilProcessed = NO_BLOCK;
  pendingReadBlocknum = NO_BLOCK;
  pendingReadNblocks = 0;
  pendingDirection: 1 | -1 = 1;
  oldestIoIndex = 0;
  nextIoIndex = 0;
  fastPath = false;
  oldestBufferIndex = 0;
  nextBufferIndex = 0;
  /** How many blocks the start that has to wait was given. */
  wanted = 0;
  look = IN_LOOP;
  isBlocking = false;
  /** Whether the buffer to be delivered is still pinned beside the counted ones. */
  isInHand = false;
  /** Whether this call does not look ahead any more, for want of buffers. */
  isShort = false;
  /** What ended the stream behind the blocks that are read already; undefined: nothing did. */
  endError: { readonly error: unknown } | undefined = undefined;
  /** Counts, once wanted. */
  stats: StreamStats | null = null;

  /** §2.3 Begin. */
  constructor(source: PageSource<P>, options: ReadAheadOptions) {
    const { ioCombineLimit, makeData } = options;
    const maxIos = Math.min(options.maxIos, COUNT_MAX);
    const overflow = ioCombineLimit - 1;
    this.source = source;
    this.callback = (data) => options.next(data);
    this.maxIos = Math.max(1, maxIos);
    this.ioCombineLimit = ioCombineLimit;
    // One more: an IO that is done and not consumed does not keep the next one back.
    const wanted = Math.min((maxIos + 1) * ioCombineLimit, COUNT_MAX - overflow - 1);
    this.maxPinnedBuffers = Math.max(1, Math.min(wanted, source.pinLimit()));
    // A gap: the consumer may still look at the data of the buffer that it got last.
    this.queueSize = this.maxPinnedBuffers + 1;
    this.readBuffersFlags = maxIos === 0 ? READ_FLAG.synchronously : 0;
    this.batchMode = options.batching && source.batches !== null;
    this.adviceEnabled = source.isSynchronous && !source.isDirect && !options.sequential &&
      maxIos > 0;
    source.prepare(this.maxPinnedBuffers);
    const buffers = new Int32Array(this.queueSize + overflow);
    this.buffers = buffers;
    this.ios = Array.from({ length: this.maxIos }, () => source.makeOperation(buffers));
    this.slotData = makeData === null ? null : Array.from({ length: this.queueSize }, makeData);
    const first = options.full ? Math.min(this.maxPinnedBuffers, ioCombineLimit) : 1;
    this.readaheadDistance = this.combineDistance = first;
    this.resumeReadaheadDistance = this.resumeCombineDistance = first;
  }

  /** §2.4 */
  shouldLookAhead(): boolean {
    if (this.readaheadDistance === 0 || this.iosInProgress >= this.maxIos) return false;
    const pending = this.pendingReadNblocks;
    // A read grows to its full size even if little is read ahead.
    if (pending > 0 && this.pinnedBuffers === 0 && pending < this.combineDistance) return true;
    return this.pinnedBuffers + pending < this.readaheadDistance;
  }

  /** §2.5 */
  shouldIssueNow(): boolean {
    const pending = this.pendingReadNblocks;
    if (pending === 0 || this.iosInProgress >= this.maxIos) return false;
    // At the end there is nothing more to combine.
    if (this.readaheadDistance === 0 || pending >= this.combineDistance) return true;
    return this.pinnedBuffers === 0 && !this.shouldLookAhead();
  }

  /** §2.6 @returns false: the start of the pending read has to wait */
  lookAhead(): boolean {
    const batches = this.batchMode ? this.source.batches : null;
    batches?.enterBatchmode();
    try {
      return this.lookOn();
    } finally {
      batches?.exitBatchmode();
    }
  }

  lookOn(): boolean {
    const came = this.look;
    this.look = IN_LOOP;
    if (came === IN_TAIL || this.isShort) return true;
    if (came === IN_JUMP) {
      // The block is gone if the start has failed.
      const isHeld = this.iosInProgress === this.maxIos || this.bufferedBlocknum === NO_BLOCK;
      if (isHeld) return true;
      const jumped = this.jump(this.takeUnget());
      if (jumped !== STARTED) return jumped === REFUSED;
    }
    while (this.shouldLookAhead()) {
      if (this.shouldIssueNow()) {
        if (this.startPendingRead() === SUSPENDED) return false;
        continue;
      }
      const block = this.getBlock(this.wrap(this.nextBufferIndex + this.pendingReadNblocks));
      if (block === NO_BLOCK) {
        this.readaheadDistance = this.combineDistance = 0;
        break;
      }
      if (this.extendPending(block)) continue;
      const jumped = this.jump(block);
      if (jumped !== STARTED) return jumped === REFUSED;
    }
    if (this.shouldIssueNow() && this.startPendingRead() === SUSPENDED) {
      this.look = IN_TAIL;
      return false;
    }
    return true;
  }

  /** Whether a block continues the pending read, upward or downward. */
  extendPending(block: number): boolean {
    const pending = this.pendingReadNblocks;
    if (pending === 0) return false;
    const distance = block - this.pendingReadBlocknum;
    if (pending === 1 && (distance === 1 || distance === -1)) this.pendingDirection = distance;
    else if (distance !== pending * this.pendingDirection) return false;
    this.pendingReadNblocks++;
    return true;
  }

  /**
   * Starts all of the pending read and begins another one at a block, which waits in the unget slot
   * if that is not possible now.
   */
  jump(block: number): Outcome {
    while (this.pendingReadNblocks > 0) {
      const outcome = this.startPendingRead();
      if (outcome === SUSPENDED) this.look = IN_JUMP;
      else if (outcome === STARTED && this.iosInProgress < this.maxIos) continue;
      if (this.endError === undefined) this.bufferedBlocknum = block;
      return outcome === SUSPENDED ? SUSPENDED : REFUSED;
    }
    this.pendingReadBlocknum = block;
    this.pendingReadNblocks = 1;
    this.pendingDirection = 1;
    return STARTED;
  }

  takeUnget(): number {
    const block = this.bufferedBlocknum;
    this.bufferedBlocknum = NO_BLOCK;
    return block;
  }

  /** What the callback throws ends the stream behind the blocks that it gave before. */
  getBlock(dataIndex: number): number {
    if (this.bufferedBlocknum !== NO_BLOCK) return this.takeUnget();
    try {
      return this.callback(this.slotData?.[dataIndex]) ?? NO_BLOCK;
    } catch (error) {
      this.endError = { error };
      return NO_BLOCK;
    }
  }

  wrap(index: number): number {
    return index >= this.queueSize ? index - this.queueSize : index;
  }

  /** §2.7 */
  startPendingRead(): Outcome {
    const flags = this.readBuffersFlags | (this.isAdviceDue() ? READ_FLAG.issueAdvice : 0);
    const forwarded = this.forwardedBuffers;
    let budget = Math.min(this.source.additionalPins() + forwarded, COUNT_MAX);
    if (budget === 0 && this.pinnedBuffers === 0) budget = 1;
    let count = this.pendingReadNblocks;
    if (budget < count) {
      const distance = this.pinnedBuffers + budget;
      if (distance < this.readaheadDistance) this.readaheadDistance = distance;
      if (this.pinnedBuffers > 0) return REFUSED;
      count = budget;
    }
    const index = this.nextBufferIndex;
    while (this.initializedBuffers < index + count) {
      this.buffers[this.initializedBuffers++] = NO_BUFFER;
    }
    const op = this.ios[this.nextIoIndex]!;
    op.index = index;
    op.block = this.pendingReadBlocknum;
    op.direction = this.pendingDirection;
    op.count = this.wanted = count;
    op.flags = flags;
    op.isOptional = this.pinnedBuffers > 0 || this.isInHand;
    let quick: Quick;
    try {
      quick = this.source.tryStartRead(op, this.isBlocking);
    } catch (error) {
      this.failStart(error);
      return REFUSED;
    }
    if (quick === UNSURE) return SUSPENDED;
    this.accept(op, quick === WAIT);
    return STARTED;
  }

  /** Whether the kernel should hear of the pending read: it sees sequences by itself. */
  isAdviceDue(): boolean {
    if (!this.adviceEnabled) return false;
    const block = this.pendingReadBlocknum;
    if (block === this.seqBlocknum) return this.seqUntilProcessed !== NO_BLOCK;
    this.seqUntilProcessed = block;
    // The read of what is advised now would follow at once where nothing is pinned.
    return this.pinnedBuffers > 0;
  }

  accept(op: ReadOperation, needsWait: boolean): void {
    const accepted = op.count;
    if (accepted === 0) return this.acceptNone();
    this.pinnedBuffers += accepted;
    if (needsWait) this.acceptMiss(op);
    else if (this.iosInProgress === 0) this.decay();
    const buffers = this.buffers;
    const end = this.nextBufferIndex + accepted;
    const last = this.nextBufferIndex + this.wanted;
    let forwardedEnd = end;
    while (forwardedEnd < last && buffers[forwardedEnd] !== NO_BUFFER) forwardedEnd++;
    this.forwardedBuffers = forwardedEnd - end;
    const overflow = forwardedEnd - this.queueSize;
    if (overflow > 0) buffers.copyWithin(0, this.queueSize, this.queueSize + overflow);
    this.nextBufferIndex = this.wrap(end);
    this.pendingReadBlocknum += accepted * op.direction;
    this.pendingReadNblocks -= accepted;
  }

  /** There is no buffer but for whoever waits with none: so much for this call. */
  acceptNone(): void {
    this.isShort = true;
    if (this.readaheadDistance > 1) this.readaheadDistance = Math.max(1, this.pinnedBuffers);
  }

  acceptMiss(op: ReadOperation): void {
    this.nextIoIndex = this.nextIoIndex + 1 === this.maxIos ? 0 : this.nextIoIndex + 1;
    this.iosInProgress++;
    // The kernel goes on behind the highest block, whichever way the stream goes.
    this.seqBlocknum = op.direction === 1 ? op.block + op.count : op.block + 1;
    this.stats?.countIo(op.count, this.iosInProgress);
  }

  decay(): void {
    if (this.distanceDecayHoldoff > 0) {
      this.distanceDecayHoldoff--;
      return;
    }
    if (this.readaheadDistance > 1) this.readaheadDistance--;
    if (this.combineDistance > 1) this.combineDistance--;
  }

  /** What cannot be started ends the stream behind the blocks that are read already. */
  failStart(error: unknown): void {
    this.endError = { error };
    this.pendingReadNblocks = 0;
    this.bufferedBlocknum = NO_BLOCK;
    this.readaheadDistance = this.combineDistance = 0;
    this.releaseForwarded();
  }

  /** Unpins what was pinned for the rest of a read. */
  releaseForwarded(): void {
    for (let i = 0; i < this.forwardedBuffers; i++) {
      const slot = this.wrap(this.nextBufferIndex + i);
      const buffer = this.buffers[slot]!;
      if (buffer !== NO_BUFFER) this.source.release(buffer);
      this.clearSlot(slot);
    }
    this.forwardedBuffers = 0;
  }

  /** Empties a place of the queue, and its copy behind the end. */
  clearSlot(slot: number): void {
    this.buffers[slot] = NO_BUFFER;
    if (slot < this.ioCombineLimit - 1) this.buffers[this.queueSize + slot] = NO_BUFFER;
  }
}
