/**
 * pool_memory.ts: where everything of a pool lies: in one run of the arena, so that every thread
 * and every IO Worker sees it.
 *
 * ```text
 * run │ header │ files │ buckets │ descriptors │ pages
 * ```
 *
 * A page of the pool is a *buffer*; its descriptor says which block of which file it has. A field
 * that two threads write independently has a word of its own, and a descriptor has a cache line of
 * its own. Offsets are in words; `pages` begins at a page of the arena.
 *
 * @module
 */

import { alignUp, type ArenaRun, PAGE_SIZE_BYTES } from "../../core/inside_layers.ts";
import type { Arena } from "../../core/inside_layers.ts";

const MAGIC = 0x0a10_b00f;
/** Words that threads on different processors cannot write without disturbing each other. */
const LINE_WORDS = 16;

/** The header. */
export const POOL = {
  magic: 0,
  /** Another number for each pool of an Aio: memory is used again. */
  serial: 1,
  pages: 2,
  pageBytes: 3,
  bucketCount: 4,
  fileCount: 5,
  /** The id of the verifier; 0: pages are not verified. */
  verifier: 6,
  /** The thread whose own the pool is, plus 1; 0: it is everybody's. */
  owner: 7,
  /** The backends that use the pool, one bit each. */
  users: 8,
  /** The place from which on the next file looks for its own: no number is soon used again. */
  nextFile: 9,
  /** The lock of files, buckets and tags: the thread id of its holder, or 0. */
  lock: LINE_WORDS,
  /**
   * The buffer whose file the lock's holder has taken away, plus 1; negative: it will not be given
   * back; 0: none.
   */
  forgetting: LINE_WORDS + 1,
  /** Where the clock's hand is; it only grows. */
  hand: 2 * LINE_WORDS,
  /** Moves when a page is no longer pinned and somebody waits for one. */
  unpinned: 3 * LINE_WORDS,
  /** One bit a backend that waits for that. */
  unpinnedWaiters: 3 * LINE_WORDS + 1,
  size: 4 * LINE_WORDS,
} as const;

/** A file that has pages in the pool, or may get some: its number is its place. */
export const POOL_FILE = {
  /** The backends that use it, one bit each; 0: the place is free. */
  users: 0,
  deviceMajor: 1,
  deviceMinor: 2,
  inodeLow: 3,
  inodeHigh: 4,
  /** An opening of it for writing: its place in the table of open files, plus 1; 0: none. */
  writer: 5,
  writerGeneration: 6,
  /** The thread that makes it longer, plus 1; 0: none. */
  extender: 7,
  /** One bit a backend that waits for that to change. */
  extenderWaiters: 8,
  size: LINE_WORDS,
} as const;

/** The descriptor of a buffer. */
export const BUFFER = {
  /** The number of its file, plus 1; 0: it has no block. */
  file: 0,
  block: 1,
  /** Bits of {@linkcode BUFFER_STATE}. */
  state: 2,
  /** How often it was used, up to 5, since the clock's hand was here. */
  usage: 3,
  /** The backends that have it pinned, one bit each. */
  pins: 4,
  /** The IO that has it: see buffer_io.ts; 0: none. */
  io: 5,
  /** The backends that share its content lock, one bit each. */
  shared: 6,
  /** The backend that has its content lock alone, or waits to, plus 1; 0: none. */
  exclusive: 7,
  /** Moves when one of the words above changes in a way that somebody waits for. */
  change: 8,
  /** One bit a backend that waits for that. */
  waiters: 9,
  /** The bucket whose chain it is in, plus 1; 0: it is in none. */
  bucket: 10,
  /** Its file, plus 1, while that is taken away and may be given back. */
  formerFile: 11,
  size: LINE_WORDS,
} as const;

/** What the content of a buffer is. */
export const BUFFER_STATE = {
  /** It is that of the block. */
  valid: 1,
  /** It is newer than the file's. */
  dirty: 2,
  /** A thread died while it changed it. */
  torn: 4,
  /** The last IO failed. */
  ioError: 8,
} as const;

/** Whether a buffer of that state is newer than the file, and may be written. */
export function isDirty(state: number): boolean {
  return (state & (BUFFER_STATE.dirty | BUFFER_STATE.torn)) === BUFFER_STATE.dirty;
}

/** Whether a buffer of that state has the content of its block, whole. */
export function isWhole(state: number): boolean {
  return (state & (BUFFER_STATE.valid | BUFFER_STATE.torn)) === BUFFER_STATE.valid;
}

/** Beside the backend of an exclusive lock: it has it. Without, it still waits for others. */
export const EXCLUSIVE_GRANTED = 1 << 8;

export { NO_BUFFER } from "../stream/page_source.ts";

/** What a pool is made of. */
export interface PoolShape {
  readonly pages: number;
  readonly pageBytes: number;
  readonly fileCount: number;
  readonly verifier: number;
  /** The backend whose own it is; -1: it is everybody's. */
  readonly owner: number;
  /** Another one for each pool. */
  readonly serial: number;
}

function bucketsFor(pages: number): number {
  return 1 << Math.max(4, 32 - Math.clz32(pages - 1));
}

/** Places for the chains' links, in whole lines. */
function nextsFor(pages: number): number {
  return alignUp(pages, LINE_WORDS);
}

/** Numbers that a backend has: two lines of memory, as threads count at the same time. */
export const COUNTS_SIZE = 2 * LINE_WORDS * Int32Array.BYTES_PER_ELEMENT /
  Float64Array.BYTES_PER_ELEMENT;
const BACKENDS_MAX = 32;
const COUNTS_WORDS = BACKENDS_MAX * 2 * LINE_WORDS;

function wordsBefore({ pages, fileCount }: Pick<PoolShape, "pages" | "fileCount">): number {
  const buckets = bucketsFor(pages);
  const files = POOL.size + COUNTS_WORDS + fileCount * POOL_FILE.size;
  return files + buckets + nextsFor(pages) + pages * BUFFER.size;
}

/** Bytes that a pool takes of the arena. */
export function poolBytes(shape: Pick<PoolShape, "pages" | "pageBytes" | "fileCount">): number {
  const head = alignUp(wordsBefore(shape) * Int32Array.BYTES_PER_ELEMENT, PAGE_SIZE_BYTES);
  return head + shape.pages * shape.pageBytes;
}

/** Where the parts of a pool lie in the arena, in bytes. */
export interface PoolPlaces {
  readonly header: number;
  readonly buckets: number;
  /** How many buckets there are, a power of two, minus 1. */
  readonly bucketMask: number;
  readonly nexts: number;
  readonly descriptors: number;
}

/** The memory of one pool, as one thread sees it. */
export class PoolMemory {
  readonly arena: Arena;
  readonly run: ArenaRun;
  /** All but the pages. */
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly serial: number;
  readonly pages: number;
  readonly pageBytes: number;
  readonly fileCount: number;
  readonly verifier: number;
  readonly owner: number;
  readonly bucketMask: number;
  readonly bucketsAt: number;
  /** Where the link of the first buffer to the next one of its chain is: see mapping.ts. */
  readonly nextsAt: number;
  readonly #descriptorsAt: number;
  readonly #pagesAt: number;
  readonly #views: Uint8Array<SharedArrayBuffer>[] = [];

  /** Of a run in which there is a pool. */
  constructor(arena: Arena, run: ArenaRun) {
    this.arena = arena;
    this.run = run;
    const header = new Int32Array(arena.buffer, run.offset, POOL.size);
    this.serial = header[POOL.serial]!;
    this.pages = header[POOL.pages]!;
    this.pageBytes = header[POOL.pageBytes]!;
    this.fileCount = header[POOL.fileCount]!;
    this.verifier = header[POOL.verifier]!;
    this.owner = header[POOL.owner]! - 1;
    const buckets = header[POOL.bucketCount]!;
    this.bucketMask = buckets - 1;
    this.bucketsAt = this.fileAt(this.fileCount);
    // A descriptor has a line of its own: the buckets before are a power of two, from 16 on.
    this.nextsAt = this.bucketsAt + buckets;
    this.#descriptorsAt = this.nextsAt + nextsFor(this.pages);
    const words = this.#descriptorsAt + this.pages * BUFFER.size;
    this.words = new Int32Array(arena.buffer, run.offset, words);
    this.#pagesAt = run.offset + alignUp(words * Int32Array.BYTES_PER_ELEMENT, PAGE_SIZE_BYTES);
  }

  /** Where a file's entry is. */
  fileAt(number: number): number {
    return POOL.size + COUNTS_WORDS + number * POOL_FILE.size;
  }

  /** The numbers of a backend: see pool_counts.ts. */
  countsOf(backendId: number): Float64Array {
    const words = POOL.size + backendId * 2 * LINE_WORDS;
    const at = this.run.offset + words * Int32Array.BYTES_PER_ELEMENT;
    return new Float64Array(this.arena.buffer, at, COUNTS_SIZE);
  }

  /** Where all that is, in bytes of the arena. */
  get places(): PoolPlaces {
    const { run: { offset: header }, bucketMask } = this;
    const byteOf = (word: number) => header + word * Int32Array.BYTES_PER_ELEMENT;
    return {
      header,
      buckets: byteOf(this.bucketsAt),
      bucketMask,
      nexts: byteOf(this.nextsAt),
      descriptors: byteOf(this.#descriptorsAt),
    };
  }

  /** Where a buffer's descriptor is. */
  at(buffer: number): number {
    return this.#descriptorsAt + buffer * BUFFER.size;
  }

  /** The content of a buffer. */
  bytes(buffer: number): Uint8Array<SharedArrayBuffer> {
    return this.#views[buffer] ??= new Uint8Array(
      this.arena.buffer,
      this.#pagesAt + buffer * this.pageBytes,
      this.pageBytes,
    );
  }
}

/** Makes an empty pool in a run that no other thread has found yet. */
export function initPool(arena: Arena, { offset }: ArenaRun, shape: PoolShape): void {
  const words = new Int32Array(arena.buffer, offset, wordsBefore(shape));
  words.fill(0);
  words[POOL.magic] = MAGIC;
  words[POOL.serial] = shape.serial;
  words[POOL.pages] = shape.pages;
  words[POOL.pageBytes] = shape.pageBytes;
  words[POOL.bucketCount] = bucketsFor(shape.pages);
  words[POOL.fileCount] = shape.fileCount;
  words[POOL.verifier] = shape.verifier;
  words[POOL.owner] = shape.owner + 1;
}

/** The number of the pool that is in a run; 0: none. */
export function serialAt(arena: Arena, offset: number): number {
  if (!Number.isInteger(offset) || offset < 0 || offset % PAGE_SIZE_BYTES !== 0) return 0;
  if (offset >= arena.bytes) return 0;
  const header = new Int32Array(arena.buffer, offset, POOL.size);
  return header[POOL.magic] === MAGIC ? header[POOL.serial]! : 0;
}
