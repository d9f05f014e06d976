/**
 * stream_state.ts: the state of a read stream, as `stream.inspect()` shows it, by PostgreSQL's
 * names.
 *
 * @module
 */

/** A copy of a read stream's state. Blocks are null where there is none. */
export interface StreamState {
  /** Most IOs in progress. */
  readonly maxIos: number;
  /** Most blocks of one IO. */
  readonly ioCombineLimit: number;
  /** IOs that are started and not waited for yet. */
  readonly iosInProgress: number;
  /** Places for buffers: one more than may be pinned. */
  readonly queueSize: number;
  /** Most buffers that may be pinned. */
  readonly maxPinnedBuffers: number;
  /** Buffers pinned for the rest of the pending read, by a start that was split. */
  readonly forwardedBuffers: number;
  /** Buffers that are started, or there, and not delivered yet. */
  readonly pinnedBuffers: number;
  /** How many of them are wanted; 0: the end was reached, or the stream is paused. */
  readonly readaheadDistance: number;
  /** How large a read is to grow before it is started; 0: likewise. */
  readonly combineDistance: number;
  /** So many hits are still without effect on the distances. */
  readonly distanceDecayHoldoff: number;
  /** What `resume()` sets `readaheadDistance` to. */
  readonly resumeReadaheadDistance: number;
  /** What `resume()` sets `combineDistance` to. */
  readonly resumeCombineDistance: number;
  /** How many places of the queue were ever used. */
  readonly initializedBuffers: number;
  /** Flags of every read: 8 where there is no read-ahead. */
  readonly readBuffersFlags: number;
  /** Whether the method is `sync`. */
  readonly syncMode: boolean;
  /** Whether starts are batched. */
  readonly batchMode: boolean;
  /** Whether the kernel hears of blocks ahead. */
  readonly adviceEnabled: boolean;
  /** Whether the pages belong to this thread alone. */
  readonly temporary: boolean;
  /** The block that the callback gave and that found no place: it comes next. */
  readonly bufferedBlocknum: number | null;
  /** The block behind the last read. */
  readonly seqBlocknum: number | null;
  /** The kernel hears of all blocks until the read of this one is over. */
  readonly seqUntilProcessed: number | null;
  /** The first block of the read that is not started yet. */
  readonly pendingReadBlocknum: number | null;
  /** How many blocks it has. */
  readonly pendingReadNblocks: number;
  /** Whether blocks have data. */
  readonly perBufferData: boolean;
  /** The place of the oldest IO in progress. */
  readonly oldestIoIndex: number;
  /** The place of the next one. */
  readonly nextIoIndex: number;
  /** Whether the next call takes the path for hits alone. */
  readonly fastPath: boolean;
  /** The queue with its overflow zone: numbers of buffers, -1 for none. */
  readonly buffers: readonly number[];
  /** The place of the buffer that is delivered next. */
  readonly oldestBufferIndex: number;
  /** The place of the next one to be started. */
  readonly nextBufferIndex: number;
}

/** What a stream's state is copied from; blocks are negative where there is none. */
export interface StateFields extends
  Omit<
    StreamState,
    | "syncMode"
    | "temporary"
    | "perBufferData"
    | "buffers"
    | "bufferedBlocknum"
    | "seqBlocknum"
    | "seqUntilProcessed"
    | "pendingReadBlocknum"
  > {
  readonly buffers: Int32Array;
  readonly bufferedBlocknum: number;
  readonly seqBlocknum: number;
  readonly seqUntilProcessed: number;
  readonly pendingReadBlocknum: number;
}

/** Copies the state. */
export function copyState(
  from: StateFields,
  syncMode: boolean,
  temporary: boolean,
  perBufferData: boolean,
): StreamState {
  return {
    maxIos: from.maxIos,
    ioCombineLimit: from.ioCombineLimit,
    iosInProgress: from.iosInProgress,
    queueSize: from.queueSize,
    maxPinnedBuffers: from.maxPinnedBuffers,
    forwardedBuffers: from.forwardedBuffers,
    pinnedBuffers: from.pinnedBuffers,
    readaheadDistance: from.readaheadDistance,
    combineDistance: from.combineDistance,
    distanceDecayHoldoff: from.distanceDecayHoldoff,
    resumeReadaheadDistance: from.resumeReadaheadDistance,
    resumeCombineDistance: from.resumeCombineDistance,
    initializedBuffers: from.initializedBuffers,
    readBuffersFlags: from.readBuffersFlags,
    syncMode,
    batchMode: from.batchMode,
    adviceEnabled: from.adviceEnabled,
    temporary,
    bufferedBlocknum: from.bufferedBlocknum < 0 ? null : from.bufferedBlocknum,
    seqBlocknum: from.seqBlocknum < 0 ? null : from.seqBlocknum,
    seqUntilProcessed: from.seqUntilProcessed < 0 ? null : from.seqUntilProcessed,
    pendingReadBlocknum: from.pendingReadNblocks === 0 ? null : from.pendingReadBlocknum,
    pendingReadNblocks: from.pendingReadNblocks,
    perBufferData,
    oldestIoIndex: from.oldestIoIndex,
    nextIoIndex: from.nextIoIndex,
    fastPath: from.fastPath,
    buffers: Array.from(from.buffers.subarray(0, from.initializedBuffers)),
    oldestBufferIndex: from.oldestBufferIndex,
    nextBufferIndex: from.nextBufferIndex,
  };
}
