/**
 * record_reader.ts: finds the fragments that record.ts lays out, whatever the bytes are, and makes
 * records of them.
 *
 * @module
 */

import { fromWords } from "../../core/inside.ts";
import { crc32c, crc32cWords } from "./crc32c.ts";
import {
  CrcSeed,
  fragmentBytes,
  type FragmentKind,
  HEAD_BYTES,
  KIND,
  type LogIdentity,
  LONGEST_BYTES,
  NOTHING,
  restAt,
  ROOM_BYTES_MIN,
  startOf,
  WORD_BYTES,
} from "./record.ts";

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
