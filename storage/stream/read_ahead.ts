/**
 * read_ahead.ts: how a read stream gets from one buffer to the next: the second half of
 * PostgreSQL's `read_stream.c`, on top of look_ahead.ts.
 *
 * It is a machine that stops where it would have to wait: {@linkcode ReadAhead.run} goes on until
 * there is a buffer, which costs neither a generator nor a promise, or until a step has to wait.
 * {@linkcode ReadAhead.steps} does that step and runs on.
 *
 * @module
 */

import type { Steps } from "../../core/inside.ts";
import * as looking from "./look_ahead.ts";
import { LookAhead } from "./look_ahead.ts";
import * as sources from "./page_source.ts";
import type { Quick, ReadOperation } from "./page_source.ts";
import { copyState, type StreamState } from "./stream_state.ts";
import { StreamStats } from "./stream_stats.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { NO_BLOCK } = looking;
const { NO_BUFFER, READ_FLAG, UNSURE, WAIT } = sources;

/** What {@linkcode ReadAhead.run} stopped at: the next buffer is known, or there is none. */
export const DONE = 0;
/** The start of a read has to wait. */
const START = 1;
/** A read has to be waited for. */
const AWAIT = 2;
type Stop = typeof DONE | typeof START | typeof AWAIT;

/** Where the machine goes on. */
const AT_NEXT = 0;
const AT_FAST_START = 1;
const AT_FIRST_LOOK = 2;
const AT_OLDEST = 3;
const AT_TAKING = 4;
const AT_LAST_LOOK = 5;

/** The whole of a stream but for its door. */
export class ReadAhead<P> extends LookAhead<P> {
  at = AT_NEXT;
  /** Whether {@linkcode ReadAhead.steps} end with the step that is under way: a reset follows. */
  isStopping = false;
  /** What {@linkcode ReadAhead.run} stopped at. */
  stopped: Stop = DONE;
  /** The buffer to be delivered. */
  buffer = NO_BUFFER;
  /** What the callback was given for its block. */
  data: unknown = undefined;

  /**
   * §2.8 Goes on to the next buffer.
   *
   * @returns {@linkcode DONE}: it is in `buffer`, or {@linkcode NO_BUFFER} at the end. Else call
   *   {@linkcode steps}.
   * @throws what ended the stream, once all that was read is delivered
   */
  run(isBlocking: boolean): Stop {
    this.isBlocking = isBlocking;
    this.stopped = DONE;
    return this.stopped = this.runOn();
  }

  /** The buffer that the last call has found; {@linkcode NO_BUFFER}: none, or it was stopped. */
  get found(): number {
    return this.at === AT_NEXT ? this.buffer : NO_BUFFER;
  }

  runOn(): Stop {
    if (this.at === AT_NEXT) {
      this.buffer = NO_BUFFER;
      if (this.fastPath) return this.runFast();
      const isOver = this.readaheadDistance === 0 && this.pendingReadNblocks === 0;
      if (this.pinnedBuffers === 0 && isOver) return this.end();
      this.at = this.pinnedBuffers === 0 ? AT_FIRST_LOOK : AT_OLDEST;
    } else if (this.at === AT_FAST_START) {
      return this.endCall();
    }
    if (this.at === AT_FIRST_LOOK) {
      if (!this.lookAhead()) return START;
      if (this.pinnedBuffers === 0) return this.end();
      this.at = AT_OLDEST;
    }
    if (this.at === AT_OLDEST) {
      const op = this.ios[this.oldestIoIndex]!;
      if (this.iosInProgress > 0 && op.index === this.oldestBufferIndex) {
        const quick = this.source.tryWaitRead(op, this.isBlocking);
        if (quick === UNSURE) return AWAIT;
        this.finishWait(op, quick === WAIT);
      }
      this.at = AT_TAKING;
    }
    if (this.at === AT_TAKING) this.take();
    this.at = AT_LAST_LOOK;
    if (!this.lookAhead()) return START;
    this.tryFastPath();
    return this.endCall();
  }

  /** Goes on where {@linkcode run} has stopped, or runs, up to the next buffer. */
  *steps(isBlocking: boolean): Steps<void> {
    let stop = this.stopped === DONE ? this.run(isBlocking) : this.stopped;
    while (stop !== DONE) {
      yield* stop === AWAIT ? this.waitSteps() : this.startSteps();
      if (this.isStopping) return;
      stop = this.run(isBlocking);
    }
  }

  *waitSteps(): Steps<void> {
    const op = this.ios[this.oldestIoIndex]!;
    this.finishWait(op, yield* this.source.waitRead(op, this.isBlocking));
    this.at = AT_TAKING;
  }

  *startSteps(): Steps<void> {
    const isFast = this.at === AT_FAST_START;
    const op = this.ios[isFast ? 0 : this.nextIoIndex]!;
    let needsWait: boolean;
    try {
      needsWait = yield* this.source.startRead(op, this.isBlocking);
    } catch (error) {
      this.failStart(error);
      if (isFast) this.leaveFastPath();
      return;
    }
    if (isFast) this.acceptFast(op, needsWait);
    else this.accept(op, needsWait);
  }

  end(): Stop {
    this.endCall();
    if (this.endError !== undefined) throw this.endError.error;
    return DONE;
  }

  endCall(): Stop {
    this.at = AT_NEXT;
    this.isInHand = this.isShort = false;
    return DONE;
  }

  /** The one pinned buffer is delivered, and a hit takes its place. */
  runFast(): Stop {
    const slot = this.oldestBufferIndex;
    this.buffer = this.buffers[slot]!;
    this.isInHand = true;
    this.data = undefined;
    this.buffers[slot] = NO_BUFFER;
    this.stats?.countPrefetch(1);
    const block = this.getBlock(slot);
    if (block === NO_BLOCK) {
      this.readaheadDistance = this.combineDistance = 0;
      this.leaveFastPath();
      return this.endCall();
    }
    const op = this.ios[0]!;
    op.index = slot;
    op.block = block;
    op.direction = 1;
    op.count = this.wanted = 1;
    op.flags = READ_FLAG.synchronously | (this.adviceEnabled ? READ_FLAG.issueAdvice : 0);
    op.isOptional = true;
    let quick: Quick;
    try {
      quick = this.source.tryStartRead(op, this.isBlocking);
    } catch (error) {
      this.failStart(error);
      this.leaveFastPath();
      return this.endCall();
    }
    if (quick === UNSURE) {
      this.at = AT_FAST_START;
      return START;
    }
    this.acceptFast(op, quick === WAIT);
    return this.endCall();
  }

  acceptFast(op: ReadOperation, needsWait: boolean): void {
    if (op.count === 0) {
      this.bufferedBlocknum = op.block;
      return this.leaveFastPath();
    }
    if (!needsWait) return;
    this.iosInProgress = 1;
    this.oldestIoIndex = 0;
    this.nextIoIndex = this.maxIos > 1 ? 1 : 0;
    this.seqBlocknum = op.block + 1;
    this.fastPath = false;
    this.stats?.countIo(1, 1);
  }

  /** Nothing is pinned any more: the last buffer was just delivered. */
  leaveFastPath(): void {
    this.oldestBufferIndex = this.nextBufferIndex;
    this.pinnedBuffers = 0;
    this.fastPath = false;
  }

  finishWait(op: ReadOperation, hadToWait: boolean): void {
    this.iosInProgress--;
    this.oldestIoIndex = this.oldestIoIndex + 1 === this.maxIos ? 0 : this.oldestIoIndex + 1;
    const waited = hadToWait || (op.flags & READ_FLAG.synchronously) !== 0;
    if (waited && this.stats !== null) this.stats.waitCount++;
    if (waited && this.readaheadDistance > 0) {
      this.readaheadDistance = Math.min(this.readaheadDistance * 2, this.maxPinnedBuffers);
    }
    this.distanceDecayHoldoff = this.maxPinnedBuffers;
    const combine = this.combineDistance;
    if (combine > 0 && combine < this.ioCombineLimit) {
      this.combineDistance = Math.min(combine * 2, this.ioCombineLimit, this.maxPinnedBuffers);
    }
    // The kernel sees the sequence from now on.
    if (this.adviceEnabled && op.block === this.seqUntilProcessed) {
      this.seqUntilProcessed = NO_BLOCK;
    }
  }

  take(): void {
    const slot = this.oldestBufferIndex;
    this.buffer = this.buffers[slot]!;
    this.isInHand = true;
    this.data = this.slotData?.[slot];
    this.clearSlot(slot);
    this.stats?.countPrefetch(this.pinnedBuffers);
    this.pinnedBuffers--;
    this.oldestBufferIndex = this.wrap(slot + 1);
  }

  tryFastPath(): void {
    const isFast = this.iosInProgress === 0 && this.forwardedBuffers === 0 &&
      this.pinnedBuffers === 1 && this.readaheadDistance === 1 && this.combineDistance === 1 &&
      this.pendingReadNblocks === 0 && this.slotData === null;
    if (!isFast) return;
    const slot = this.oldestBufferIndex;
    // A copy that stayed would be taken for a forwarded buffer.
    if (slot < this.ioCombineLimit - 1) this.buffers[this.queueSize + slot] = NO_BUFFER;
    this.fastPath = true;
  }

  // §2.9

  /** Has the stream end behind what is read already, until {@linkcode resume}. */
  pause(): null {
    // PostgreSQL saves what a second pause finds, which is 0.
    if (this.readaheadDistance > 0) {
      this.resumeReadaheadDistance = this.readaheadDistance;
      this.resumeCombineDistance = this.combineDistance;
    }
    this.readaheadDistance = this.combineDistance = 0;
    return null;
  }

  /** Has the stream go on with the distances that it had. */
  resume(): void {
    this.readaheadDistance = this.resumeReadaheadDistance;
    this.combineDistance = this.resumeCombineDistance;
  }

  /** Gives up all that is read and not delivered. Not while {@linkcode steps} are under way. */
  reset(): void {
    this.bufferedBlocknum = NO_BLOCK;
    this.fastPath = false;
    this.pendingReadNblocks = 0;
    // A call that was stopped had its buffer in hand.
    if (this.at === AT_FAST_START || this.at === AT_LAST_LOOK) this.source.release(this.buffer);
    this.buffer = NO_BUFFER;
    this.at = AT_NEXT;
    this.isInHand = this.isShort = false;
    this.stopped = DONE;
    this.isStopping = false;
    this.look = looking.IN_LOOP;
    while (this.pinnedBuffers > 0) this.dropOldest();
    this.releaseForwarded();
    this.readaheadDistance = this.combineDistance = 1;
    this.resumeReadaheadDistance = this.resumeCombineDistance = 1;
    this.distanceDecayHoldoff = 0;
    this.endError = undefined;
  }

  /** Abandons the oldest IO, or unpins the oldest buffer. */
  dropOldest(): void {
    const slot = this.oldestBufferIndex;
    const op = this.ios[this.oldestIoIndex]!;
    const isIo = this.iosInProgress > 0 && op.index === slot;
    const count = isIo ? op.count : 1;
    if (isIo) {
      this.source.abandon(op);
      this.iosInProgress--;
      this.oldestIoIndex = this.oldestIoIndex + 1 === this.maxIos ? 0 : this.oldestIoIndex + 1;
    } else {
      this.source.release(this.buffers[slot]!);
    }
    for (let i = 0; i < count; i++) this.clearSlot(this.wrap(slot + i));
    this.pinnedBuffers -= count;
    this.oldestBufferIndex = this.wrap(slot + count);
  }

  /** The next block, which is then not read; null at the end. */
  nextBlock(): number | null {
    if (this.bufferedBlocknum !== NO_BLOCK) return this.takeUnget();
    return this.callback(this.slotData?.[this.nextBufferIndex]);
  }

  /** Counts from now on. */
  enableStats(): StreamStats {
    return this.stats ??= new StreamStats(this.maxPinnedBuffers);
  }

  /** Copies the state. */
  inspect(): StreamState {
    const { isSynchronous, isTemporary } = this.source;
    return copyState(this, isSynchronous, isTemporary, this.slotData !== null);
  }
}
