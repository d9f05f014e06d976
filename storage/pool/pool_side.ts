/**
 * pool_side.ts: what the parts of a pool in one thread need of each other, in one of the two ways
 * to wait: {@linkcode PoolSide}. The pool's thread (pool_thread.ts) is all of it.
 *
 * @module
 */

import type { Backend, Control, LayerHost, Steps } from "../../core/inside.ts";
import type { AioCore, AioHandle, AioResult } from "../../core/mod.ts";
import type { FileInside } from "../file/file_inside.ts";
import type { BufferRing } from "./buffer_ring.ts";
import type { PoolCalls } from "./calls.ts";
import type { ContentLocks } from "./content_lock.ts";
import type { Pins } from "./pins.ts";
import type { PoolFiles } from "./pool_files.ts";
import type { PoolEnd } from "./pool_end.ts";
import type { PoolMemory } from "./pool_memory.ts";
import type { PageRead } from "./read_operation.ts";

/** A pool, in one thread and one way to wait. */
export interface PoolSide {
  readonly aio: AioCore;
  readonly backend: Backend;
  readonly backendId: number;
  readonly control: Control;
  readonly bells: LayerHost["bells"];
  readonly memory: PoolMemory;
  readonly pins: Pins;
  readonly locks: ContentLocks;
  /** The calls of this thread that are under way, and when they have to end. */
  readonly end: PoolEnd;
  readonly files: PoolFiles;
  /** This thread's numbers: see pool_counts.ts. */
  readonly counts: Float64Array;
  /** Called before a page is written; null: nothing is. */
  readonly beforeWrite: ((buffer: number) => unknown) | null;
  /** How it waits. */
  readonly calls: PoolCalls;
  /** Whether that blocks the thread. */
  readonly blocks: boolean;
  /** Whether a read is executed where it is waited for. */
  readonly isSynchronous: boolean;
  /** Most blocks of one IO. */
  readonly combineLimit: number;
  /** Does something under the pool's lock. */
  locked<T>(use: () => T): T;
  /** Whether a buffer has the content of its block. */
  isValid(buffer: number): boolean;
  /** Whether an IO has a buffer. */
  hasIo(buffer: number): boolean;
  /** Pins the buffer of a block: see victims.ts. */
  pinBlock(
    file: number,
    block: number,
    isOptional: boolean,
    ring: BufferRing | null,
  ): Steps<number>;
  /** The same without waiting. */
  tryPinBlock(file: number, block: number): number;
  /** Writes a victim back, and others with it. */
  writeVictims(buffer: number): Steps<void>;
  /** Waits until a buffer no longer has the IO that it has now. */
  waitForIo(buffer: number): Steps<void>;
  /** Starts the IO that reads some blocks. */
  startRead(handle: AioHandle, op: PageRead, count: number): void;
  /** Starts the IO that writes some blocks. */
  startWrite(
    handle: AioHandle,
    writer: FileInside,
    block: number,
    buffers: readonly number[],
  ): void;
  /** Tells what was done about pages of a read that were not right. */
  warn(op: PageRead, result: AioResult, targetData: Int32Array): void;
  /** Throws what came of a read. */
  raise(op: PageRead, result: AioResult, targetData: Int32Array): never;
}
