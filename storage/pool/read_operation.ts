/**
 * read_operation.ts: {@linkcode PageRead}, one read of blocks in a row.
 *
 * @module
 */

import { shown } from "../../core/inside.ts";
import type { BufferRing } from "./buffer_ring.ts";
import { AioReturn, type WaitRef } from "../../core/mod.ts";

/** A block's number has a word. */
export const BLOCKS_MAX = 2 ** 31;

/** Refuses what is no block. @throws {RangeError} */
export function checkBlock(block: number): void {
  if (block >= 0 && block < BLOCKS_MAX && Number.isInteger(block)) return;
  throw new RangeError(`Cannot read block ${shown(block)}: an integer from 0 to 2^31 - 1`);
}

/** One read of blocks in a row; made once and used again. */
export class PageRead {
  /** The file's number in the pool. */
  file = 0;
  /** Which use of that number it is: see pool_files.ts. */
  use = 0;
  /** The first block. */
  block = 0;
  /** 1: the others follow upward; -1: downward. */
  direction: 1 | -1 = 1;
  /** How many blocks; a start may make it less. */
  count = 0;
  /** Where their buffers are. */
  buffers: Int32Array = new Int32Array(1);
  /** The place of the first one there. */
  at = 0;
  /** Bits of `READ_FLAG`. */
  flags = 0;
  /** The ring of the scan that reads; null: it uses the pool as any other read. */
  ring: BufferRing | null = null;
  /** How many of the blocks are there. */
  done = 0;
  /** The IO that is waited for, if any. */
  readonly ref: WaitRef = { index: -1, generation: 0 };
  /** What became of it, if it is this thread's. */
  readonly ret: AioReturn = new AioReturn();
  /** The word of the IO that was joined; 0: none. */
  joined = 0;
  /** Whether an own IO is under way, or over and not looked at. */
  isIssued = false;
  /** Whether the wait is to do the reading. */
  isSynchronous = false;
}
