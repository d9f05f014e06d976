/**
 * insert_code.ts: how a plain record goes into the log, as code of WebAssembly: it takes its place,
 * and, once the record has been copied there, gets its head with the CRC and is shown to others.
 * These are a hundred loads and stores, five of them atomic, each of which takes JavaScript a call
 * of 8 to 10 ns, and this code 1 to 5; and the CRC is made where the record lies, by vectors.
 *
 * What it does is said where it belongs: what a place is in log_insert.ts and log_memory.ts, how a
 * record lies in record.ts. Whatever is not plain (no room, a segment or the ring ends, others have
 * the lock, a thread died with it) is left to log_insert.ts. A thread does not end between two
 * instructions of `reserve`, as there is no jump back. The places of a log's memory are constants
 * of its code, so each log has a module of its own in each thread, put together here when it is
 * worth it: there is no build step.
 *
 * @module
 */

import {
  atomic,
  ATOMICS,
  constant,
  constant64,
  constantDouble,
  EMPTY_BLOCK,
  F64,
  get,
  I32,
  I64,
  load64,
  loadDouble,
  loadTableWord,
  loadWord,
  OP,
  repeat,
  set,
  store64,
  storeDouble,
  storeWord,
  tee,
  tryInstantiate,
  unsigned,
  type WasmFunction,
} from "../wasm_code.ts";
import { SIZE, TABLE } from "./crc32c.ts";
import { BLOCK_BYTES, blockFunction, SHORT_BYTES } from "./crc32c_blocks.ts";
import { BYTE_TABLE_BYTES, fillTables, TABLE_PAGES, TABLES_END } from "./crc32c_stripes.ts";
import { FIGURE, INSERTING, LOG, type LogMemory, PLACE } from "./log_memory.ts";
import { HEAD_BYTES, KIND, ROOM_BYTES_MIN, WORD_BYTES } from "./record.ts";

/** The code of one log, in one thread. */
export interface InsertCode {
  /**
   * Takes a place for a plain record, and clears what follows the record there.
   *
   * @param length bytes of the record; at most `FRAGMENT_BYTES_MAX`
   * @param roomEnd up to where there is room, as is known
   * @returns its position; -1: it is not plain, or cannot be done right now
   */
  reserve(length: number, roomEnd: number): number;
  /**
   * Writes the head of a record that is in the ring, and shows it to others.
   *
   * @param at where it begins in the ring, in bytes
   * @param length bytes of the record
   * @param seed the CRC of what comes before
   * @param low of the position known durable
   * @param high of that
   * @returns the backends that wait for an insertion, one bit each
   */
  finish(at: number, length: number, seed: number, low: number, high: number): number;
}

/** The functions of the module. */
const LONG = 0;
const SHORT = 1;
const REST = 2;
/** Where the tables of whole words are. */
const WORD_TABLES_AT = TABLES_END;
/** The two pairs of a position's words lie behind its version. */
const PAIR_SHIFT = 3;

/** Where everything is, in bytes. */
class Places {
  readonly words: number;
  readonly place: number;
  readonly ring: number;
  readonly records: number;

  constructor(readonly memory: LogMemory, readonly backendId: number) {
    this.words = memory.words.byteOffset;
    this.place = this.words + memory.placeOf(backendId) * WORD_BYTES;
    this.ring = memory.ring.byteOffset;
    const figure = FIGURE.backends + backendId * FIGURE.line + FIGURE.records;
    this.records = memory.figures.byteOffset + figure * Float64Array.BYTES_PER_ELEMENT;
  }

  /** A word of the header. */
  of(field: number): number {
    return this.words + field * WORD_BYTES;
  }

  /** A word of the thread's place. */
  own(field: number): number {
    return this.place + field * WORD_BYTES;
  }
}

/** A word at a fixed place. */
const wordAt = (address: number): number[] => [...constant(0), ...loadWord(address)];
/** A constant to a fixed place. */
const setWord = (address: number, value: number): number[] => [
  ...constant(0),
  ...constant(value),
  ...storeWord(address),
];
/** Bytes of a fragment, by the local that has the length of its record. */
const fragmentBytesOf = (length: number): number[] => [
  ...get(length),
  ...constant(HEAD_BYTES + 7),
  OP.add,
  ...constant(-8),
  OP.and,
];

/** The parameters and locals of `reserve`. */
const LENGTH = 0;
const ROOM_END = 1;
const BYTES = 2;
const VERSION = 3;
const AT = 4;
const POSITION = 5;
const END = 6;

/** The pair by which a version holds, from the version's place on. */
const pairOf = (): number[] => [
  ...get(VERSION),
  ...constant(1),
  OP.and,
  ...constant(PAIR_SHIFT),
  OP.shiftLeft,
];

/** Writes a position of the place: others find it behind the next atomic store. */
function preparePosition(address: number, value: number): number[] {
  return [
    ...[...wordAt(address), ...constant(1), OP.add, ...set(VERSION)],
    ...[...pairOf(), ...get(value), ...store64(address + WORD_BYTES)],
    ...[...constant(0), ...get(VERSION), ...storeWord(address)],
  ];
}

/** Gives the lock back, and wakes one that may sleep for it. */
function unlock(places: Places, threadId: number): number[] {
  const address = places.of(LOG.insertLock);
  return [
    ...[...constant(0), ...constant(threadId), ...constant(0)],
    ...[...atomic(ATOMICS.compareExchange, address), ...constant(threadId), OP.isNotEqual],
    ...[OP.if, EMPTY_BLOCK],
    ...[...constant(0), ...constant(0), ...atomic(ATOMICS.store, address)],
    ...[...constant(0), ...constant(1), ...atomic(ATOMICS.notify, address), OP.drop],
    OP.end,
  ];
}

/** The remainder of the record's position. */
const remainderBy = (size: number): number[] => [
  ...get(POSITION),
  ...constant64(size),
  OP.remainder64,
  OP.low,
];

function reserveFunction(places: Places, threadId: number): WasmFunction {
  const { memory, backendId } = places;
  const inserted = places.of(LOG.inserted);
  const none = constantDouble(-1);
  const code = [
    // What this thread, or one before it, was inserting is not over.
    ...[...wordAt(places.own(PLACE.state)), OP.if, EMPTY_BLOCK, ...none, OP.return, OP.end],
    ...[...constant(0), ...constant(0), ...constant(threadId)],
    ...atomic(ATOMICS.compareExchange, places.of(LOG.insertLock)),
    ...[OP.if, EMPTY_BLOCK, ...none, OP.return, OP.end],
    ...[OP.block, EMPTY_BLOCK],
    // A thread has died while it took its place.
    ...[...wordAt(places.of(LOG.reserving)), OP.branchIf, 0],
    ...[...fragmentBytesOf(LENGTH), ...set(BYTES)],
    ...[...wordAt(inserted), ...set(VERSION)],
    ...[...pairOf(), ...load64(inserted + WORD_BYTES), ...tee(POSITION)],
    ...[...get(BYTES), OP.extend, OP.add64, ...tee(END)],
    ...[...get(ROOM_END), OP.fromDouble, OP.isGreater64, OP.branchIf, 0],
    // Another fragment has to fit behind it into the segment; and it does not go around the ring.
    ...[...remainderBy(memory.segmentBytes), ...get(BYTES), OP.add],
    ...[...constant(memory.segmentBytes - ROOM_BYTES_MIN), OP.isGreater, OP.branchIf, 0],
    ...[...remainderBy(memory.ring.length), ...tee(AT), ...get(BYTES), OP.add],
    ...[...constant(memory.ring.length), OP.isGreater, OP.branchIf, 0],
    ...setWord(places.of(LOG.reserving), backendId + 1),
    ...preparePosition(places.own(PLACE.from), POSITION),
    ...preparePosition(places.own(PLACE.to), END),
    ...preparePosition(places.own(PLACE.done), POSITION),
    ...setWord(places.own(PLACE.state), INSERTING.record),
    ...[...wordAt(inserted), ...constant(1), OP.add, ...set(VERSION)],
    ...[...pairOf(), ...get(END), ...store64(inserted + WORD_BYTES)],
    ...[...constant(0), ...get(VERSION), ...atomic(ATOMICS.store, inserted)],
    ...setWord(places.of(LOG.reserving), 0),
    ...unlock(places, threadId),
    // The record is copied over all of that but its end.
    ...[...get(AT), ...get(BYTES), OP.add, ...constant64(0), ...store64(places.ring - 8)],
    ...[...get(POSITION), OP.toDouble, OP.return],
    OP.end,
    ...unlock(places, threadId),
    ...none,
    OP.end,
  ];
  const locals = [[AT + 1 - BYTES, I32], [END + 1 - POSITION, I64]] as const;
  return { name: "reserve", parameters: [I32, F64], result: F64, locals, code };
}

/** The parameters and locals of `rest`. */
const SUM = 0;
const FROM = 1;
const TO = 2;
const WORDS = 3;

/** What a byte of a word does to the CRC when so many bytes follow. */
const lookUp = (word: number, byte: number, behind: number): number[] => [
  ...get(word),
  ...(byte === 0 ? [...constant(2), OP.shiftLeft] : [...constant(8 * byte - 2), OP.shiftRight]),
  ...constant(0xff << 2),
  OP.and,
  ...loadTableWord(WORD_TABLES_AT + BYTE_TABLE_BYTES * behind),
];

/** Goes on with some words, as long as there are so many. */
function goOnBy(words: number): number[] {
  const bytes = words * WORD_BYTES;
  return [
    ...[OP.block, EMPTY_BLOCK, OP.loop, EMPTY_BLOCK],
    ...[...get(FROM), ...constant(bytes), OP.add, ...get(TO), OP.isGreater, OP.branchIf, 1],
    ...repeat(words, (word) => [
      ...[...get(FROM), ...loadWord(word * WORD_BYTES)],
      ...(word === 0 ? [...get(SUM), OP.xor] : []),
      ...set(WORDS + word),
    ]),
    ...repeat(bytes, (at) => [
      ...lookUp(WORDS + Math.floor(at / WORD_BYTES), at % WORD_BYTES, bytes - 1 - at),
      ...(at > 0 ? [OP.xor] : []),
    ]),
    ...set(SUM),
    ...[...get(FROM), ...constant(bytes), OP.add, ...set(FROM), OP.branch, 0],
    ...[OP.end, OP.end],
  ];
}

/** What is less than a block: whole words, by the tables, as crc32c.ts does it. */
function restFunction(): WasmFunction {
  const code = [...goOnBy(4), ...goOnBy(1), ...get(SUM), OP.end];
  return { name: "rest", parameters: [I32, I32, I32], locals: [[4, I32]], code };
}

/** The parameters and locals of `finish`. */
const PLACE_AT = 0;
const DATA_LENGTH = 1;
const CRC = 2;
const LOW = 3;
const HIGH = 4;
const DATA_AT = 5;
const DATA_END = 6;
const MIDDLE = 7;

/** The CRC of as many whole blocks as there are. */
function sumBlocks(index: number, bytes: number): number[] {
  return [
    ...[...get(DATA_END), ...get(DATA_END), ...get(DATA_AT), OP.subtract],
    ...[...constant(bytes - 1), OP.and, OP.subtract, ...tee(MIDDLE)],
    ...[...get(DATA_AT), OP.isGreater, OP.if, EMPTY_BLOCK],
    ...[...get(CRC), ...get(DATA_AT), ...get(MIDDLE), OP.call, ...unsigned(index), ...set(CRC)],
    ...[...get(MIDDLE), ...set(DATA_AT)],
    OP.end,
  ];
}

function finishFunction(places: Places): WasmFunction {
  const { ring, records } = places;
  const head = (word: number, value: number[]) => [
    ...get(PLACE_AT),
    ...value,
    ...storeWord(ring + word * WORD_BYTES),
  ];
  const code = [
    ...[...get(PLACE_AT), ...constant(ring), OP.add, ...tee(DATA_AT)],
    ...[...fragmentBytesOf(DATA_LENGTH), OP.add, ...set(DATA_END)],
    ...[...get(DATA_AT), ...constant(HEAD_BYTES), OP.add, ...set(DATA_AT)],
    ...[...get(CRC), ...constant(-1), OP.xor, ...set(CRC)],
    ...sumBlocks(LONG, BLOCK_BYTES),
    ...sumBlocks(SHORT, SHORT_BYTES),
    ...[...get(DATA_AT), ...get(DATA_END), OP.isLess, OP.if, EMPTY_BLOCK],
    ...[...get(CRC), ...get(DATA_AT), ...get(DATA_END), OP.call, REST, ...set(CRC)],
    OP.end,
    ...head(0, [...get(CRC), ...constant(-1), OP.xor]),
    ...head(1, get(DATA_LENGTH)),
    ...head(2, constant(places.memory.opening)),
    ...head(3, constant(KIND.whole)),
    ...head(4, get(LOW)),
    ...head(5, get(HIGH)),
    ...[...constant(0), ...constant(INSERTING.nothing)],
    ...atomic(ATOMICS.store, places.own(PLACE.state)),
    ...[...constant(0), ...constant(0), ...loadDouble(records)],
    ...[...constantDouble(1), OP.addDouble, ...storeDouble(records)],
    ...[...constant(0), ...atomic(ATOMICS.load, places.of(LOG.insertionWaiters))],
    OP.end,
  ];
  const parameters = [I32, I32, I32, I32, I32];
  return { name: "finish", parameters, locals: [[3, I32]], code };
}

/**
 * Makes the code of a log.
 *
 * @param memory of the log
 * @param backendId of this thread
 * @returns null: this machine does not have these instructions
 */
export function makeInsertCode(memory: LogMemory, backendId: number): InsertCode | null {
  const places = new Places(memory, backendId);
  const { arena } = memory;
  const exports = tryInstantiate(arena.wasmMemory, [
    blockFunction("long"),
    blockFunction("short"),
    restFunction(),
    reserveFunction(places, arena.threadId),
    finishFunction(places),
  ], TABLE_PAGES);
  if (exports === null) return null;
  const tables = exports["tables"] as WebAssembly.Memory;
  fillTables(tables, TABLE.subarray(0, SIZE));
  new Int32Array(tables.buffer, WORD_TABLES_AT).set(TABLE);
  return {
    reserve: exports["reserve"] as InsertCode["reserve"],
    finish: exports["finish"] as InsertCode["finish"],
  };
}
