/**
 * record.ts: how records lie in the log. Everything here is synchronous and does no IO.
 *
 * A *position* is an offset in the log, a multiple of 8. The log is cut into segments of the same
 * size; segment n begins at position `n * segmentBytes`. A record is one *fragment* or several, one
 * behind the other; none crosses the end of a segment. A fragment is a head, its part of the record
 * and zeros up to a multiple of 8. Where fewer than 32 bytes of a segment are left, the rest is
 * zeros, and the next fragment begins with the next segment.
 *
 * ```text
 * head │ crc │ length │ opening │ kind │ durable: low, high │   each a u32, its low byte first
 * ```
 *
 * The CRC-32C covers the position, the identity of the log, the head behind the CRC, the part of
 * the record and the zeros. So bytes of another log, or of another place of this one, never pass.
 * The number of the log's opening grows from fragment to fragment or stays: without that, what a
 * crash cut off could come back behind what a later opening wrote.
 *
 * @module
 */

import { AioInvariantError } from "../../core/mod.ts";
import { fromWords } from "../../core/inside.ts";
import { crc32c, crc32cWords } from "./crc32c.ts";

/** Bytes of a fragment's head. */
export const HEAD_BYTES = 24;
/** Bytes of a record that one fragment holds at most. */
export const FRAGMENT_BYTES_MAX = 65536 - HEAD_BYTES;
const LONGEST_BYTES = HEAD_BYTES + FRAGMENT_BYTES_MAX;
/** Bytes that a segment must have left for a fragment to begin there. */
const ROOM_BYTES_MIN = HEAD_BYTES + 8;

const WORD_BYTES = 4;
const HEAD_WORDS = HEAD_BYTES / WORD_BYTES;
const UINT32_RANGE = 0x1_0000_0000;

/** What a fragment is of its record. */
export const KIND = {
  whole: 1,
  first: 2,
  middle: 3,
  last: 4,
  /** None: fills a place that a dead thread left. */
  void: 5,
} as const;

/** One of {@linkcode KIND}. */
export type FragmentKind = (typeof KIND)[keyof typeof KIND];

/** Two words that no other log has: they seed each CRC. */
export type LogIdentity = readonly [number, number];

/** Memory that position p has at index `p % bytes.length`. */
export interface Ring {
  /** Begins at a multiple of 4 in its memory; its length is a multiple of 64 KiB. */
  readonly bytes: Uint8Array;
}

/** The remainder of a position; V8's own for numbers beyond 31 bits calls a function. */
function remainder(position: number, size: number): number {
  return position - Math.floor(position / size) * size;
}

/** Bytes of a fragment with all that belongs to it. */
function fragmentBytes(length: number): number {
  return HEAD_BYTES + ((length + 7) & ~7);
}

/** Bytes of its segment from a position on. */
function restAt(position: number, segmentBytes: number): number {
  return segmentBytes - remainder(position, segmentBytes);
}

/** Where the segment of a position ends. */
export function segmentEndOf(position: number, segmentBytes: number): number {
  return position + restAt(position, segmentBytes);
}

/**
 * Bytes of the longest fragment that is to be written where there is so much room. It leaves room
 * for another one or none at all, so a fragment and the short rest of its segment that may follow
 * are never longer than 64 KiB: any ring can hold them.
 */
function longestIn(rest: number): number {
  return rest <= LONGEST_BYTES ? rest : Math.min(LONGEST_BYTES, rest - ROOM_BYTES_MIN);
}

/**
 * Where a fragment begins that may not begin before a position: there, or with the next segment
 * where too little of this one is left.
 *
 * @param position in the log
 * @param segmentBytes of each segment
 */
export function startOf(position: number, segmentBytes: number): number {
  const rest = restAt(position, segmentBytes);
  return rest < ROOM_BYTES_MIN ? position + rest : position;
}

/**
 * Where a record ends and the next one begins.
 *
 * @param position where it begins, as `startOf` gives it
 * @param length bytes of the record
 * @param segmentBytes of each segment
 */
export function endOf(position: number, length: number, segmentBytes: number): number {
  let at = position;
  let left = length;
  for (;;) {
    const part = Math.min(left, longestIn(restAt(at, segmentBytes)) - HEAD_BYTES);
    at = startOf(at + fragmentBytes(part), segmentBytes);
    left -= part;
    if (left === 0) return at;
  }
}

/**
 * Where a record ends that is one fragment with room behind it for another one: nearly every record.
 *
 * @param position where it begins
 * @param length bytes of the record
 * @param segmentEnd where the segment of that position ends
 * @returns -1: it may be none; `startOf` and `endOf` tell
 */
export function plainEndOf(position: number, length: number, segmentEnd: number): number {
  const end = position + fragmentBytes(length);
  return length <= FRAGMENT_BYTES_MAX && end + ROOM_BYTES_MIN <= segmentEnd ? end : -1;
}

/**
 * Where the next void fragment ends of those that fill a range; see {@linkcode writeVoid}.
 *
 * @param from where the range begins
 * @param to where it ends
 * @param segmentBytes of each segment
 */
export function voidEnd(from: number, to: number, segmentBytes: number): number {
  const rest = Math.min(to - from, restAt(from, segmentBytes));
  return startOf(from + longestIn(rest), segmentBytes);
}

/** The words in front of a fragment's part of the record that its CRC covers. */
class CrcSeed {
  readonly #words = new Int32Array(9);

  constructor(identity: LogIdentity) {
    this.#words[2] = identity[0];
    this.#words[3] = identity[1];
  }

  /** Their CRC. `durable` is two words. */
  crc(
    position: number,
    length: number,
    opening: number,
    kind: number,
    low: number,
    high: number,
  ): number {
    const words = this.#words;
    words[0] = position | 0;
    words[1] = (position / UINT32_RANGE) | 0;
    words[4] = length;
    words[5] = opening;
    words[6] = kind;
    words[7] = low;
    words[8] = high;
    return crc32cWords(0, words, 0, words.length);
  }
}

function checkDurable(durable: number, position: number): void {
  if (durable <= position) return;
  throw new AioInvariantError("A fragment's place is durable before it is written");
}

/** Writes fragments into a ring. */
class FragmentWriter {
  readonly bytes: Uint8Array;
  readonly segmentBytes: number;
  readonly #words: Int32Array;
  readonly #seed: CrcSeed;

  constructor({ bytes }: Ring, segmentBytes: number, identity: LogIdentity) {
    this.bytes = bytes;
    this.segmentBytes = segmentBytes;
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / WORD_BYTES);
    this.#seed = new CrcSeed(identity);
  }

  /** Copies bytes to a position. */
  copy(position: number, data: Uint8Array, from: number, length: number): void {
    const { bytes } = this;
    const at = remainder(position, bytes.length);
    const fits = Math.min(length, bytes.length - at);
    if (fits === data.length) bytes.set(data, at);
    else bytes.set(data.subarray(from, from + fits), at);
    if (fits < length) bytes.set(data.subarray(from + fits, from + length), 0);
  }

  /**
   * Writes a record that is one fragment, and does not go around the end of the ring.
   *
   * @returns where it ends; -1: it is no such record, and nothing was written
   */
  tryPlain(position: number, data: Uint8Array, opening: number, durable: number): number {
    const { length } = data;
    const end = plainEndOf(position, length, segmentEndOf(position, this.segmentBytes));
    const { bytes } = this;
    const at = remainder(position, bytes.length);
    if (end < 0 || at + end - position > bytes.length) return -1;
    checkDurable(durable, position);
    const dataAt = at + HEAD_BYTES;
    bytes.set(data, dataAt);
    const endAt = at + end - position;
    for (let i = dataAt + length; i < endAt; i++) bytes[i] = 0;
    const [low, high] = [durable | 0, (durable / UINT32_RANGE) | 0];
    const words = this.#words;
    const word = at / WORD_BYTES;
    const seed = this.#seed.crc(position, length, opening, KIND.whole, low, high);
    words[word] = crc32cWords(seed, words, word + HEAD_WORDS, endAt / WORD_BYTES);
    words[word + 1] = length;
    words[word + 2] = opening;
    words[word + 3] = KIND.whole;
    words[word + 4] = low;
    words[word + 5] = high;
    return end;
  }

  /** Zeros, from a position to another; not longer than the ring. */
  clear(from: number, to: number): void {
    const { bytes } = this;
    const at = remainder(from, bytes.length);
    const end = at + to - from;
    if (end <= bytes.length) {
      if (at < end) bytes.fill(0, at, end);
      return;
    }
    bytes.fill(0, at);
    bytes.fill(0, 0, end - bytes.length);
  }

  /**
   * Writes the head of a fragment whose part of the record is in the ring, the zeros behind it, and
   * the rest of its segment if no more fits in there. @returns where the next fragment begins
   */
  finish(
    position: number,
    length: number,
    kind: FragmentKind,
    opening: number,
    durable: number,
  ): number {
    checkDurable(durable, position);
    const end = position + fragmentBytes(length);
    const next = startOf(end, this.segmentBytes);
    this.clear(position + HEAD_BYTES + length, next);
    const low = durable | 0;
    const high = (durable / UINT32_RANGE) | 0;
    const words = this.#words;
    const at = remainder(position, this.bytes.length) / WORD_BYTES;
    let crc = this.#seed.crc(position, length, opening, kind, low, high);
    const from = at + HEAD_WORDS;
    const to = at + (end - position) / WORD_BYTES;
    if (to <= words.length) crc = crc32cWords(crc, words, from, to);
    else {
      if (from < words.length) crc = crc32cWords(crc, words, from, words.length);
      crc = crc32cWords(crc, words, Math.max(0, from - words.length), to - words.length);
    }
    words[at] = crc;
    words[at + 1 < words.length ? at + 1 : at + 1 - words.length] = length;
    words[at + 2 < words.length ? at + 2 : at + 2 - words.length] = opening;
    words[at + 3 < words.length ? at + 3 : at + 3 - words.length] = kind;
    words[at + 4 < words.length ? at + 4 : at + 4 - words.length] = low;
    words[at + 5 < words.length ? at + 5 : at + 5 - words.length] = high;
    return next;
  }
}

const NOTHING = new Uint8Array();

/** Writes records into a ring, one fragment after another. Allocates nothing for a short one. */
export class RecordWriter {
  readonly #writer: FragmentWriter;
  readonly #segmentBytes: number;
  #data: Uint8Array = NOTHING;
  #opening = 0;
  /** Bytes of the record that are in the ring. */
  #done = 0;
  #position = 0;
  #isBetween = true;

  /**
   * For one log and one thread.
   *
   * @param ring written to
   * @param segmentBytes of each segment
   * @param identity of the log
   */
  constructor(ring: Ring, segmentBytes: number, identity: LogIdentity) {
    this.#writer = new FragmentWriter(ring, segmentBytes, identity);
    this.#segmentBytes = segmentBytes;
  }

  /**
   * Begins a record; nothing is written yet.
   *
   * @param position where it begins, as `startOf` gives it
   * @param data the record; kept until its last fragment is written
   * @param opening number of the log's opening
   */
  begin(position: number, data: Uint8Array, opening: number): void {
    this.#position = position;
    this.#data = data;
    this.#opening = opening;
    this.#done = 0;
    this.#isBetween = false;
  }

  /** Where the next fragment begins; behind the last one of a record, where that ends. */
  get position(): number {
    return this.#position;
  }

  /** Where the fragment ends that comes next: so much room must be in the ring to write it. */
  nextEnd(): number {
    return startOf(this.#position + fragmentBytes(this.#nextLength()), this.#segmentBytes);
  }

  #nextLength(): number {
    if (this.#isBetween) throw new AioInvariantError("The record has no further fragment");
    const room = longestIn(restAt(this.#position, this.#segmentBytes)) - HEAD_BYTES;
    return Math.min(this.#data.length - this.#done, room);
  }

  /**
   * Writes the fragment that comes next.
   *
   * @param durable the position known durable
   * @returns whether another one follows
   */
  writeNext(durable: number): boolean {
    const length = this.#nextLength();
    const from = this.#done;
    const isLast = from + length === this.#data.length;
    const kind = from === 0
      ? (isLast ? KIND.whole : KIND.first)
      : (isLast ? KIND.last : KIND.middle);
    this.#writer.copy(this.#position + HEAD_BYTES, this.#data, from, length);
    this.#position = this.#writer.finish(this.#position, length, kind, this.#opening, durable);
    this.#done = from + length;
    if (isLast) {
      this.#data = NOTHING;
      this.#isBetween = true;
    }
    return !isLast;
  }

  /**
   * Writes a record for which the ring has room.
   *
   * @param position where it begins, as `startOf` gives it
   * @param data the record
   * @param opening number of the log's opening
   * @param durable the position known durable
   * @returns where it ends
   */
  write(position: number, data: Uint8Array, opening: number, durable: number): number {
    const end = this.#writer.tryPlain(position, data, opening, durable);
    if (end >= 0) return end;
    this.begin(position, data, opening);
    while (this.writeNext(durable));
    return this.#position;
  }
}

/**
 * Fills a range of a ring with void fragments. Where the range is longer than the ring, the caller
 * fills it a part at a time, each up to a {@linkcode voidEnd}.
 *
 * @param ring written to
 * @param segmentBytes of each segment
 * @param identity of the log
 * @param opening number of the log's opening
 * @param from where a fragment begins or would have begun
 * @param to where a record ends
 * @param durable the position known durable
 */
export function writeVoid(
  ring: Ring,
  segmentBytes: number,
  identity: LogIdentity,
  opening: number,
  from: number,
  to: number,
  durable = 0,
): void {
  const writer = new FragmentWriter(ring, segmentBytes, identity);
  for (let at = from; at < to;) {
    const length = longestIn(Math.min(to - at, restAt(at, segmentBytes))) - HEAD_BYTES;
    writer.clear(at + HEAD_BYTES, at + HEAD_BYTES + length);
    at = writer.finish(at, length, KIND.void, opening, durable);
  }
}

/**
 * What is at a position: a fragment, or none. `empty` is a head of zeros only; where something is
 * `cut off`, the bytes end within it; a `stale` one is whole, and of an opening that does not fit.
 */
export type FragmentState = "valid" | "empty" | "cut off" | "damaged" | "stale";

/** The word at an index of bytes, as an unsigned number. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

/** Reads fragments, one at a time: its fields are those of the last one that is whole. */
export class FragmentReader {
  /** Where it begins in the log. */
  position = 0;
  /** What it is of its record. */
  kind: FragmentKind = KIND.void;
  /** Bytes of its part of the record. */
  length = 0;
  /** Number of the log's opening that wrote it. */
  opening = 0;
  /** The position that was known durable when it was written; not behind its own. */
  durable = 0;
  /** Where the next fragment begins. */
  end = 0;
  /** The bytes it was found in. */
  bytes: Uint8Array = NOTHING;
  /** The index of its part of the record in them. */
  dataAt = 0;
  readonly #segmentBytes: number;
  readonly #seed: CrcSeed;
  /** `bytes` by words; null where they do not lie at a multiple of 4. */
  #words: Int32Array | null = null;

  /**
   * For one log.
   *
   * @param segmentBytes of each segment
   * @param identity of the log
   */
  constructor(segmentBytes: number, identity: LogIdentity) {
    this.#segmentBytes = segmentBytes;
    this.#seed = new CrcSeed(identity);
  }

  /**
   * Reads the fragment at a position, if one is there.
   *
   * @param bytes some of the log
   * @param at the index of the position in them
   * @param position in the log, as `startOf` gives it
   * @param openingMin of the fragment before
   * @param openingMax number of the log's newest opening
   */
  read(
    bytes: Uint8Array,
    at: number,
    position: number,
    openingMin: number,
    openingMax: number,
  ): FragmentState {
    if (at + HEAD_BYTES > bytes.length) return "cut off";
    const sum = wordAt(bytes, at);
    const length = wordAt(bytes, at + 4);
    const opening = wordAt(bytes, at + 8);
    const kind = wordAt(bytes, at + 12);
    const low = wordAt(bytes, at + 16);
    const high = wordAt(bytes, at + 20);
    if ((sum | length | opening | kind | low | high) === 0) return "empty";
    const rest = restAt(position, this.#segmentBytes);
    if (rest < ROOM_BYTES_MIN || length > Math.min(rest, LONGEST_BYTES) - HEAD_BYTES) {
      return "damaged";
    }
    const durable = fromWords(low, high);
    if (!isKind(kind) || durable > position) return "damaged";
    const end = at + fragmentBytes(length);
    if (end > bytes.length) return "cut off";
    const seed = this.#seed.crc(position, length, opening, kind, low, high);
    if (this.#sum(seed, bytes, at + HEAD_BYTES, end) !== sum) return "damaged";
    this.position = position;
    this.kind = kind;
    this.length = length;
    this.opening = opening;
    this.durable = durable;
    this.end = startOf(position + end - at, this.#segmentBytes);
    this.dataAt = at + HEAD_BYTES;
    return opening < openingMin || opening > openingMax ? "stale" : "valid";
  }

  #sum(crc: number, bytes: Uint8Array, from: number, to: number): number {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.#words = bytes.byteOffset % WORD_BYTES === 0
        ? new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / WORD_BYTES))
        : null;
    }
    if (this.#words === null || from % WORD_BYTES !== 0) return crc32c(crc, bytes, from, to);
    return crc32cWords(crc, this.#words, from / WORD_BYTES, to / WORD_BYTES);
  }
}

function isKind(kind: number): kind is FragmentKind {
  return kind >= KIND.whole && kind <= KIND.void;
}

/** What the assembler takes: a {@linkcode FragmentReader} that has read a valid one. */
export type Fragment = Pick<
  FragmentReader,
  "position" | "kind" | "length" | "end" | "bytes" | "dataAt"
>;

/**
 * Makes records of fragments that it is given in order.
 *
 * A record whose fragments end before the last one is dropped: its thread died, or the log did.
 * Fragments whose record's first one it has not seen are skipped: reading may begin in the middle
 * of a record, where the log was truncated.
 */
export class RecordAssembler {
  /** Where the last whole record begins. */
  position = 0;
  /** Where it ends. */
  end = 0;
  /** Its bytes: of one fragment, in the memory that had it; of several, joined in new memory. */
  data: Uint8Array = NOTHING;
  /** Where the record begins of which more fragments must come; -1: none. */
  openAt = -1;
  /** What is there of it, in memory that grows. */
  #parts: Uint8Array = NOTHING;
  #partsBytes = 0;
  #next = -1;

  /**
   * Takes the next fragment.
   *
   * @returns whether a record is whole with it: `position`, `end` and `data` are those of it
   */
  push(fragment: Fragment): boolean {
    const { kind, position, end } = fragment;
    const isNext = position === this.#next;
    this.#next = end;
    switch (kind) {
      case KIND.void:
        this.#drop();
        return false;
      case KIND.whole: {
        this.#drop();
        const { bytes, dataAt, length } = fragment;
        return this.#hand(position, end, bytes.subarray(dataAt, dataAt + length));
      }
      case KIND.first:
        this.#drop();
        this.openAt = position;
        this.#add(fragment);
        return false;
      case KIND.middle:
      case KIND.last: {
        if (!isNext) this.#drop();
        if (this.openAt < 0) return false;
        this.#add(fragment);
        if (kind === KIND.middle) return false;
        const begin = this.openAt;
        const whole = this.#parts.subarray(0, this.#partsBytes);
        this.#drop();
        return this.#hand(begin, end, whole);
      }
    }
  }

  #hand(position: number, end: number, data: Uint8Array): boolean {
    this.position = position;
    this.end = end;
    this.data = data;
    return true;
  }

  #drop(): void {
    this.openAt = -1;
    this.#parts = NOTHING;
    this.#partsBytes = 0;
  }

  #add({ bytes, dataAt, length }: Fragment): void {
    const bytesNow = this.#partsBytes + length;
    if (bytesNow > this.#parts.length) {
      const grown = new Uint8Array(Math.max(bytesNow, 2 * this.#parts.length));
      grown.set(this.#parts.subarray(0, this.#partsBytes));
      this.#parts = grown;
    }
    this.#parts.set(bytes.subarray(dataAt, dataAt + length), this.#partsBytes);
    this.#partsBytes = bytesNow;
  }
}
