/**
 * log_memory.ts: where everything lies that the threads of a log share: in one run of the arena.
 *
 * ```text
 * run │ header │ a place for each backend │ figures │ ring │ stage, for direct writes
 * ```
 *
 * Positions are bytes from the beginning of the log, and only grow. Three of them say how far it
 * is: all before `inserted` belongs to some record; all before `written` is durable, and the ring
 * has what is between the two; all before `flushed` is durable, too, and a record ends there. What
 * a backend is inserting is in its place: the record begins at `from`, has been copied into the
 * ring before `done`, and is missing from there to `to`.
 *
 * A position is whole after every store (core/memory/position.ts), whoever dies, and can be read
 * without a lock.
 *
 * @module
 */

import {
  alignUp,
  type ArenaRun,
  locks,
  PAGE_SIZE_BYTES,
  positions,
  type WaitWord,
} from "../../core/inside_layers.ts";
import type { Arena } from "../../core/inside_layers.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { POSITION_WORDS, positionAt, quietPosition, setPosition } = positions;

const MAGIC = 0x0a10_1061;
/** Words that threads on different processors cannot write without disturbing each other. */
const LINE_WORDS = 16;
/** Most backends: a word has a bit for each. */
export const BACKENDS_MAX = 32;

/** The header. */
export const LOG = {
  magic: 0,
  /** Another number for each log of an Aio: memory is used again. */
  serial: 1,
  ringBytes: 2,
  segmentBytes: 3,
  /** What writes to its files must be multiples of, in bytes. */
  blockBytes: 4,
  identityLow: 5,
  identityHigh: 6,
  /** The number of this opening of the log. */
  opening: 7,
  /** Bits of {@linkcode LOG_FLAGS}. */
  flags: 8,
  /** The backends that use the log, one bit each. */
  users: 9,
  /** What a flush has failed of; 0: none has. */
  failure: 10,
  /** Where the log begins: nothing before is kept. */
  start: LINE_WORDS,
  /** The lock of the places and of `inserted`: the thread id of its holder, or 0. */
  insertLock: 2 * LINE_WORDS,
  inserted: 2 * LINE_WORDS + 1,
  /** The backend that takes its place, plus 1; 0: none does. */
  reserving: 2 * LINE_WORDS + 1 + POSITION_WORDS,
  /** Moves when a backend has inserted something, and whoever flushes waits for that. */
  insertion: 3 * LINE_WORDS,
  insertionWaiters: 3 * LINE_WORDS + 1,
  flushed: 4 * LINE_WORDS,
  written: 4 * LINE_WORDS + POSITION_WORDS,
  /** The backend that flushes, plus 1; 0: none does. */
  leader: 4 * LINE_WORDS + 2 * POSITION_WORDS,
  /** How many flushes have begun: the next one takes along what is in the ring now. */
  begun: 4 * LINE_WORDS + 2 * POSITION_WORDS + 1,
  /** Moves when a backend has stopped flushing, or making a segment. */
  change: 5 * LINE_WORDS,
  changeWaiters: 5 * LINE_WORDS + 1,
  /** The backend that makes, moves or removes segments, plus 1; 0: none does. */
  preparer: 5 * LINE_WORDS + 2,
  /** The number of the first segment that is not there yet: its low 32 bits. */
  prepared: 5 * LINE_WORDS + 3,
  /** Where this opening began: nothing before was ever in the ring, but for the end of a block. */
  openedAt: 5 * LINE_WORDS + 4,
  /** Changed to its own value by whoever must have read before it goes on. */
  fence: 5 * LINE_WORDS + 4 + POSITION_WORDS,
  size: 6 * LINE_WORDS,
} as const;

/** How the log writes, and reads what the ring has no more. */
export const LOG_FLAGS = { direct: 1, dsync: 2, readsDirect: 4 } as const;

/** What a backend is inserting. */
export const PLACE = {
  /** {@linkcode INSERTING}. */
  state: 0,
  from: 1,
  to: 1 + POSITION_WORDS,
  done: 1 + 2 * POSITION_WORDS,
  size: LINE_WORDS,
} as const;

/** Doubles that threads on different processors can write without disturbing each other. */
const LINE_FIGURES = 8;
/** The lines of all backends lie before that. */
const TIMES_AT = LINE_FIGURES + BACKENDS_MAX * LINE_FIGURES;
const TIMES_MAX = 1024;

/** What was done so far, in doubles; see log_stats.ts. */
export const FIGURE = {
  /** Of all threads: whoever flushes writes them. */
  flushes: 0,
  bytes: 1,
  /** The line of the first backend, and how long each is. */
  backends: LINE_FIGURES,
  line: LINE_FIGURES,
  /** In a backend's line. */
  records: 0,
  roomWaits: 1,
  flushWaits: 2,
  /** The times of the last flushes, and how many those are. */
  times: TIMES_AT,
  timesMax: TIMES_MAX,
  size: TIMES_AT + TIMES_MAX,
} as const;

/** What is inserted in a place: nothing, a record, or what its dead thread has left to others. */
export const INSERTING = { nothing: 0, record: 1, void: 2 } as const;

/** What a log is made of. */
export interface LogShape {
  readonly ringBytes: number;
  readonly segmentBytes: number;
  readonly blockBytes: number;
  readonly identity: readonly [number, number];
  readonly opening: number;
  readonly flags: number;
  /** Where it begins, and where it goes on. */
  readonly start: number;
  readonly end: number;
  readonly prepared: number;
  /** The backend that makes it. */
  readonly user: number;
  /** Another one for each log. */
  readonly serial: number;
}

const PLACES_AT = LOG.size;
const FIGURES_AT_BYTES = (PLACES_AT + BACKENDS_MAX * PLACE.size) * Int32Array.BYTES_PER_ELEMENT;
const RING_AT_BYTES = alignUp(
  FIGURES_AT_BYTES + FIGURE.size * Float64Array.BYTES_PER_ELEMENT,
  PAGE_SIZE_BYTES,
);

/**
 * A direct write of so many bytes is copied as a whole: one buffer is cheaper to write than two,
 * the ring's part and the last block.
 */
const STAGE_BYTES = 32 * 1024;

function stageBytes(blockBytes: number): number {
  return blockBytes === 1 ? 0 : Math.max(STAGE_BYTES, alignUp(blockBytes, PAGE_SIZE_BYTES));
}

/** Bytes of the run for a log. */
export function logBytes(ringBytes: number, blockBytes: number): number {
  return RING_AT_BYTES + ringBytes + stageBytes(blockBytes);
}

/** Writes what other threads go by before any of them can find it. */
export function initLog(arena: Arena, { offset }: ArenaRun, shape: LogShape): void {
  const words = new Int32Array(arena.buffer, offset, RING_AT_BYTES / Int32Array.BYTES_PER_ELEMENT);
  words.fill(0);
  words[LOG.serial] = shape.serial;
  words[LOG.ringBytes] = shape.ringBytes;
  words[LOG.segmentBytes] = shape.segmentBytes;
  words[LOG.blockBytes] = shape.blockBytes;
  words[LOG.identityLow] = shape.identity[0];
  words[LOG.identityHigh] = shape.identity[1];
  words[LOG.opening] = shape.opening;
  words[LOG.flags] = shape.flags;
  words[LOG.users] = 1 << shape.user;
  words[LOG.prepared] = shape.prepared;
  setPosition(words, LOG.start, shape.start);
  setPosition(words, LOG.openedAt, shape.end);
  setPosition(words, LOG.inserted, shape.end);
  setPosition(words, LOG.flushed, shape.end);
  setPosition(words, LOG.written, shape.end);
  Atomics.store(words, LOG.magic, MAGIC);
}

/** The serial of the log in a run; 0: there is none. */
export function serialAt(arena: Arena, offset: number): number {
  const header = new Int32Array(arena.buffer, offset, LOG.size);
  return Atomics.load(header, LOG.magic) === MAGIC ? header[LOG.serial]! : 0;
}

/** The memory of one log, as one thread sees it. */
export class LogMemory {
  readonly arena: Arena;
  readonly run: ArenaRun;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly serial: number;
  readonly segmentBytes: number;
  readonly blockBytes: number;
  readonly identity: readonly [number, number];
  readonly opening: number;
  readonly flags: number;
  /** What was done so far: log_stats.ts. */
  readonly figures: Float64Array<SharedArrayBuffer>;
  /** Position p is at p % its length. */
  readonly ring: Uint8Array<SharedArrayBuffer>;
  /** For a short direct write, or the last block of a long one. */
  readonly stage: Uint8Array<SharedArrayBuffer>;
  /** Moves when a backend has inserted something, and whoever flushes waits for that. */
  readonly insertion: WaitWord;
  /** Moves when a backend has stopped flushing. */
  readonly change: WaitWord;
  #flushedVersion = -1;
  #flushedOfLate = 0;

  /** Of a run in which there is a log. */
  constructor(arena: Arena, run: ArenaRun) {
    this.arena = arena;
    this.run = run;
    const { buffer } = arena;
    const { offset } = run;
    const words = RING_AT_BYTES / Int32Array.BYTES_PER_ELEMENT;
    this.words = new Int32Array(buffer, offset, words);
    this.serial = this.words[LOG.serial]!;
    this.segmentBytes = this.words[LOG.segmentBytes]!;
    this.blockBytes = this.words[LOG.blockBytes]!;
    this.identity = [this.words[LOG.identityLow]!, this.words[LOG.identityHigh]!];
    this.opening = this.words[LOG.opening]!;
    this.flags = this.words[LOG.flags]!;
    this.figures = new Float64Array(buffer, offset + FIGURES_AT_BYTES, FIGURE.size);
    const ringBytes = this.words[LOG.ringBytes]!;
    this.ring = new Uint8Array(buffer, offset + RING_AT_BYTES, ringBytes);
    const stageAt = offset + RING_AT_BYTES + ringBytes;
    this.stage = new Uint8Array(buffer, stageAt, stageBytes(this.blockBytes));
    this.insertion = this.#waitWord(LOG.insertion, LOG.insertionWaiters);
    this.change = this.#waitWord(LOG.change, LOG.changeWaiters);
  }

  #waitWord(index: number, waiters: number): WaitWord {
    return { words: this.words, index, waiters };
  }

  /** Where the log begins. */
  get start(): number {
    return positionAt(this.words, LOG.start);
  }

  /** Where the next record begins. */
  get inserted(): number {
    return positionAt(this.words, LOG.inserted);
  }

  /** All before is durable, and a record ends there. */
  get flushed(): number {
    return positionAt(this.words, LOG.flushed);
  }

  /**
   * The same for what each record says, looked at anew only when it has moved: it may be what it
   * was a moment ago.
   */
  get flushedOfLate(): number {
    const version = this.words[LOG.flushed]!;
    if (version !== this.#flushedVersion) {
      this.#flushedVersion = version;
      this.#flushedOfLate = this.flushed;
    }
    return this.#flushedOfLate;
  }

  /** All before is durable. */
  get written(): number {
    return positionAt(this.words, LOG.written);
  }

  /** The ring has room for what ends here, and for nothing behind. */
  get roomEnd(): number {
    const { written, blockBytes } = this;
    // The block in which the next write begins is written again.
    return written - written % blockBytes + this.ring.length;
  }

  /** The bytes before the end of the log, as far as the next write takes them along. */
  preload(bytes: Uint8Array, end: number): void {
    // They are of one block, and no block goes around the end of the ring.
    this.ring.set(bytes, (end - bytes.length) % this.ring.length);
  }

  /**
   * Copies durable bytes that are still in the ring.
   *
   * @param from their position
   * @param to where they end
   * @returns null: they are not, or some have been written over meanwhile
   */
  tryCopy(from: number, to: number): Uint8Array | null {
    const { words } = this;
    if (from < quietPosition(words, LOG.openedAt) || !this.#isInRing(from)) return null;
    const copy = new Uint8Array(to - from);
    this.copyTo(copy, from, to);
    // Whoever writes over them has moved `inserted` before.
    Atomics.or(words, LOG.fence, 0);
    return this.#isInRing(from) ? copy : null;
  }

  /** A part of the ring, in two pieces where it goes around the end. */
  ringViews(from: number, to: number): Uint8Array<SharedArrayBuffer>[] {
    const { ring } = this;
    const views: Uint8Array<SharedArrayBuffer>[] = [];
    for (let at = from; at < to;) {
      const index = at % ring.length;
      const end = Math.min(ring.length, index + to - at);
      views.push(ring.subarray(index, end));
      at += end - index;
    }
    return views;
  }

  /** Copies a part of the ring to the beginning of other memory. */
  copyTo(target: Uint8Array, from: number, to: number): void {
    let filled = 0;
    for (const view of this.ringViews(from, to)) {
      target.set(view, filled);
      filled += view.length;
    }
  }

  /** Whether the ring still has all from a position on. */
  #isInRing(from: number): boolean {
    return this.inserted <= from + this.ring.length;
  }

  /** Where a backend's place is. */
  placeOf(backendId: number): number {
    return PLACES_AT + backendId * PLACE.size;
  }

  /**
   * Looks up to where everything is in the ring.
   *
   * @param whole takes that, and where the last record ends before it
   */
  lookForWhole(whole: { end: number; border: number }): void {
    // First how far records go: whoever moved that has written its place before.
    whole.end = whole.border = this.inserted;
    for (let id = 0; id < BACKENDS_MAX; id++) {
      const at = this.placeOf(id);
      if (Atomics.load(this.words, at + PLACE.state) === INSERTING.nothing) continue;
      const from = positionAt(this.words, at + PLACE.from);
      const done = positionAt(this.words, at + PLACE.done);
      // What ended meanwhile is in the ring, and its words may be those of another record by now.
      if (Atomics.load(this.words, at + PLACE.state) === INSERTING.nothing) continue;
      // A place that was not taken yet is behind.
      whole.end = Math.min(whole.end, done);
      whole.border = Math.min(whole.border, from);
    }
  }

  /**
   * Takes the lock of the places. If its last holder has died while it took its place, that is
   * settled first: it has the place if `inserted` has moved.
   */
  lock(): void {
    const { arena, words } = this;
    locks.lock(words, LOG.insertLock, arena.threadId, arena.isThreadAlive);
    const holder = words[LOG.reserving]! - 1;
    if (holder >= 0) this.#settlePlace(this.placeOf(holder));
  }

  /** Gives it back. */
  unlock(): void {
    locks.unlock(this.words, LOG.insertLock, this.arena.threadId);
  }

  /** Does something under that lock. */
  locked<T>(use: () => T): T {
    this.lock();
    try {
      return use();
    } finally {
      this.unlock();
    }
  }

  #settlePlace(at: number): void {
    const { words } = this;
    if (positionAt(words, at + PLACE.to) > this.inserted) {
      Atomics.store(words, at + PLACE.state, INSERTING.nothing);
    }
    Atomics.store(words, LOG.reserving, 0);
  }
}
