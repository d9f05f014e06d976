/**
 * log_insert.ts: how a thread puts records into the log: it takes a place at the end, and copies
 * the record into the ring.
 *
 * ```text
 * lock ─► room? ─► the backend's place says what it inserts ─► `inserted` moves ─► unlock
 *           │ no                          └─ copied ─► the place is empty again
 *           └─ until a flush has made room
 * ```
 *
 * All of that is done at once where there is room, so that nobody has to wait for the thread,
 * unless it dies. A record that is larger than the ring takes its place, and is copied as flushes
 * make room; the thread's other records wait behind it.
 *
 * An atomic load or store is a call of the runtime, and costs as much as a dozen plain ones. So
 * only those are atomic that order the others: the two of the lock; that of `inserted`, with which
 * others see the place; that which empties the place, with which they see the record; and the look
 * for whoever waits. In a thread that inserts many records insert_code.ts does all that for plain
 * ones.
 *
 * @module
 */

import {
  type Backend,
  type Eventually,
  get,
  positions,
  runSteps,
  runStepsSync,
  type Steps,
  tellIfAwaited,
} from "../../core/inside.ts";
import { type InsertCode, makeInsertCode } from "./insert_code.ts";
import type { LogFlush } from "./log_flush.ts";
import { INSERTING, LOG, type LogMemory, PLACE } from "./log_memory.ts";
import type { LogStats } from "./log_stats.ts";
import {
  CrcSeed,
  endOf,
  FRAGMENT_BYTES_MAX,
  fragmentBytes,
  HEAD_BYTES,
  KIND,
  NOTHING,
  plainEndOf,
  remainder,
  segmentEndOf,
  startOf,
  UINT32_RANGE,
} from "./record.ts";
import { changedRecord, checkDurable, RecordWriter } from "./record_writer.ts";

/** To make the code takes as long as to insert thousands of records: few are not worth it. */
const RECORDS_BEFORE_CODE = 256;

/** Where a record is. */
export interface Inserted {
  readonly position: number;
  readonly end: number;
}

interface Waiting {
  readonly data: Uint8Array;
  /** How long it was then. */
  readonly bytes: number;
  readonly resolve: (inserted: Inserted) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Whether the memory of a record was taken away. It has no bytes then; and of a record without any
 * only a copy tells.
 */
function isGone(data: Uint8Array): boolean {
  try {
    NOTHING.set(data);
    return false;
  } catch {
    return true;
  }
}

/** Flushes once, or waits for a flush under way: that makes room, if it is still needed. */
type Lead = (isEnough?: () => boolean) => Eventually<void>;

/** How one thread inserts records into a log. */
export class LogInsert {
  readonly #memory: LogMemory;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #backend: Backend;
  readonly #flush: LogFlush;
  readonly #stats: LogStats;
  readonly #writer: RecordWriter;
  readonly #seed: CrcSeed;
  /** Undefined: not yet; null: this machine has none. */
  #code: InsertCode | null | undefined;
  #countdown = RECORDS_BEFORE_CODE;
  readonly #placeAt: number;
  /** Records for which there was no room, the oldest first. */
  readonly #queue: Waiting[] = [];
  #isDraining = false;
  #end = 0;
  #roomEnd = 0;
  /** Where the segment ends into which this thread has inserted last. */
  #segmentEnd = 0;
  #drained: Promise<void> = Promise.resolve();

  /**
   * @param memory of the log
   * @param backend of this thread
   * @param flush makes room
   * @param stats count the records
   */
  constructor(memory: LogMemory, backend: Backend, flush: LogFlush, stats: LogStats) {
    this.#memory = memory;
    this.#words = memory.words;
    this.#backend = backend;
    this.#flush = flush;
    this.#stats = stats;
    this.#writer = new RecordWriter({ bytes: memory.ring }, memory.segmentBytes, memory.identity);
    this.#seed = new CrcSeed(memory.identity);
    this.#placeAt = memory.placeOf(backend.id);
  }

  /** Where the record ends that was inserted last. */
  get end(): number {
    return this.#end;
  }

  /** Whether records wait for room. */
  get isWaiting(): boolean {
    return this.#queue.length > 0;
  }

  /** Inserts a record at once. @returns where it begins; -1: there is no room */
  tryInsert(data: Uint8Array): number {
    if (this.#queue.length > 0) return -1;
    return this.#tryInsert(data);
  }

  #tryInsert(data: Uint8Array): number {
    if (this.#isTaken) return -1;
    if (data.length === 0 && isGone(data)) throw changedRecord();
    const quick = this.#tryQuickly(data);
    if (quick >= 0) return quick;
    const position = this.#reserve(data.length, true);
    if (position < 0) return -1;
    try {
      this.#writer.write(position, data, this.#memory.opening, this.#memory.flushedOfLate);
    } catch (error) {
      this.#leaveVoid();
      throw error;
    }
    this.#inserted();
    return position;
  }

  /** The same of a plain record, by insert_code.ts. @returns -1: it is none, or not right now */
  #tryQuickly(data: Uint8Array): number {
    const { length } = data;
    const code = this.#code ?? this.#tryMakeCode();
    if (code === null || length > FRAGMENT_BYTES_MAX) return -1;
    const position = code.reserve(length, this.#roomEnd);
    if (position < 0) return -1;
    const memory = this.#memory;
    const { ring } = memory;
    const at = remainder(position, ring.length);
    const durable = memory.flushedOfLate;
    try {
      checkDurable(durable, position);
      ring.set(data, at + HEAD_BYTES);
    } catch (error) {
      this.#leaveVoid();
      throw error;
    }
    const [low, high] = [durable | 0, (durable / UINT32_RANGE) | 0];
    const seed = this.#seed.crc(position, length, memory.opening, KIND.whole, low, high);
    if (code.finish(at, length, seed, low, high) !== 0) this.#tellInsertion();
    this.#end = position + fragmentBytes(length);
    return position;
  }

  #tryMakeCode(): InsertCode | null {
    if (this.#code === null || this.#countdown-- > 0) return null;
    this.#code = null;
    try {
      this.#code = makeInsertCode(this.#memory, this.#backend.id);
    } catch {
      // There may be no memory for it. All goes the other way then.
    }
    return this.#code;
  }

  /** Takes a place. @returns where it begins; -1: there is no room for it now */
  #reserve(length: number, needsRoom: boolean): number {
    const memory = this.#memory;
    const words = this.#words;
    const at = this.#placeAt;
    memory.lock();
    try {
      const { segmentBytes } = memory;
      const inserted = positions.quietPosition(words, LOG.inserted);
      let position = inserted;
      let end = plainEndOf(position, length, this.#segmentEnd);
      const isPlain = end >= 0;
      if (!isPlain) {
        position = startOf(inserted, segmentBytes);
        end = endOf(position, length, segmentBytes);
      }
      if (needsRoom && !this.#hasRoom(end)) return -1;
      if (!isPlain) this.#segmentEnd = segmentEndOf(end, segmentBytes);
      words[LOG.reserving] = this.#backend.id + 1;
      positions.preparePosition(words, at + PLACE.from, position);
      positions.preparePosition(words, at + PLACE.to, end);
      positions.preparePosition(words, at + PLACE.done, inserted);
      words[at + PLACE.state] = INSERTING.record;
      positions.setPosition(words, LOG.inserted, end);
      words[LOG.reserving] = 0;
      this.#end = end;
      return position;
    } finally {
      memory.unlock();
    }
  }

  /** The room only grows: what was seen of it before is there. */
  #hasRoom(end: number): boolean {
    if (end > this.#roomEnd) this.#roomEnd = this.#memory.roomEnd;
    return end <= this.#roomEnd;
  }

  /** The record is in the ring. */
  #inserted(): void {
    Atomics.store(this.#words, this.#placeAt + PLACE.state, INSERTING.nothing);
    this.#stats.noteRecord();
    this.#tellInsertion();
  }

  /** What is missing is for whoever flushes next. */
  #leaveVoid(): void {
    Atomics.store(this.#words, this.#placeAt + PLACE.state, INSERTING.void);
    this.#tellInsertion();
  }

  #tellInsertion(): void {
    tellIfAwaited(this.#backend.doorbells, this.#memory.insertion);
  }

  /** Inserts a record once there is room for it, behind those that wait. @returns where it is */
  insert(data: Uint8Array): Promise<Inserted> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ data, bytes: data.length, resolve, reject });
      if (!this.#isDraining) this.#drained = this.#drain();
    });
  }

  /** Resolves when no record waits for room. */
  async idle(): Promise<void> {
    while (this.#queue.length > 0) await this.#drained;
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    const lead: Lead = (isEnough) => this.#flush.lead(isEnough);
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      try {
        const position = await runSteps(this.#insertSlowly(next, lead));
        this.#queue.shift();
        next.resolve({ position, end: this.#end });
      } catch (error) {
        this.#queue.shift();
        next.reject(error);
      }
    }
    this.#isDraining = false;
  }

  /** As {@linkcode insert}, blocking; nothing may wait. */
  insertSync(data: Uint8Array): number {
    const lead: Lead = (isEnough) => this.#flush.leadSync(isEnough);
    return runStepsSync(this.#insertSlowly({ data, bytes: data.length }, lead));
  }

  /** Only this thread takes it; what its dead predecessor has left others make empty. */
  get #isTaken(): boolean {
    return this.#words[this.#placeAt + PLACE.state] !== INSERTING.nothing;
  }

  *#insertSlowly(record: Pick<Waiting, "data" | "bytes">, lead: Lead): Steps<number> {
    const { data, bytes } = record;
    const memory = this.#memory;
    const { segmentBytes, ring, blockBytes } = memory;
    for (let isFirst = true;; isFirst = false) {
      if (data.length !== bytes) throw changedRecord();
      const position = this.#tryInsert(data);
      if (position >= 0) return position;
      if (isFirst) this.#stats.noteRoomWait();
      const end = endOf(startOf(memory.inserted, segmentBytes), data.length, segmentBytes);
      const isLarge = end - memory.inserted > ring.length - 2 * blockBytes;
      if (isLarge && !this.#isTaken) return yield* this.#insertInSteps(data, lead);
      // There is no room, or a thread that had this place before has died: a flush fills it.
      yield* get(lead());
    }
  }

  *#insertInSteps(data: Uint8Array, lead: Lead): Steps<number> {
    const memory = this.#memory;
    const position = this.#reserve(data.length, false);
    const writer = this.#writer;
    let isWhole = false;
    try {
      writer.begin(position, data, memory.opening);
      for (let isMore = true; isMore;) {
        const end = writer.nextEnd();
        const hasRoom = () => end <= memory.roomEnd;
        while (!hasRoom()) yield* get(lead(hasRoom));
        isMore = writer.writeNext(memory.flushed);
        positions.setPosition(this.#words, this.#placeAt + PLACE.done, writer.position);
        this.#tellInsertion();
      }
      isWhole = true;
    } finally {
      if (!isWhole) this.#leaveVoid();
    }
    this.#inserted();
    return position;
  }
}
