/**
 * record.ts: how records lie in the log. record_writer.ts writes them so, record_reader.ts finds
 * them. Everything there is synchronous and does no IO.
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

import { crc32cWords, wordTables } from "./crc32c.ts";

/** Bytes of a fragment's head. */
export const HEAD_BYTES = 24;
/** Bytes of a record that one fragment holds at most. */
export const FRAGMENT_BYTES_MAX = 65536 - HEAD_BYTES;
/** Bytes of the longest fragment. */
export const LONGEST_BYTES = HEAD_BYTES + FRAGMENT_BYTES_MAX;
/** Bytes that a segment must have left for a fragment to begin there. */
export const ROOM_BYTES_MIN = HEAD_BYTES + 8;

/** Bytes of a word. */
export const WORD_BYTES = 4;
/** So many numbers a word can hold. */
export const UINT32_RANGE = 0x1_0000_0000;

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

/** No bytes. */
export const NOTHING = new Uint8Array();

/** Memory that position p has at index `p % bytes.length`. */
export interface Ring {
  /** Begins at a multiple of 4 in its memory; its length is a multiple of 64 KiB. */
  readonly bytes: Uint8Array;
}

/** The remainder of a position; V8's own for numbers beyond 31 bits calls a function. */
export function remainder(position: number, size: number): number {
  return position - Math.floor(position / size) * size;
}

/** Bytes of a fragment with all that belongs to it. */
export function fragmentBytes(length: number): number {
  return HEAD_BYTES + ((length + 7) & ~7);
}

/** Bytes of its segment from a position on. */
export function restAt(position: number, segmentBytes: number): number {
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
export function longestIn(rest: number): number {
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
 * Where a record ends that is one fragment, with room behind it for another one: as nearly every
 * record is.
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
 * Where the next void fragment ends of those that fill a range; see `writeVoid`.
 *
 * @param from where the range begins
 * @param to where it ends
 * @param segmentBytes of each segment
 */
export function voidEnd(from: number, to: number, segmentBytes: number): number {
  const rest = Math.min(to - from, restAt(from, segmentBytes));
  return startOf(from + longestIn(rest), segmentBytes);
}

/**
 * The words in front of a fragment's part of the record that its CRC covers.
 *
 * As a CRC is linear, what the position's lower word and the length do to it is looked up and added
 * to the CRC of the others, which stay as they are for many fragments.
 */
export class CrcSeed {
  readonly #words = new Int32Array(9);
  readonly #position = wordTables(8 * WORD_BYTES);
  readonly #length = wordTables(4 * WORD_BYTES);
  #rest = 0;

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
    const above = (position / UINT32_RANGE) | 0;
    const isKept = words[7] === low && words[6] === kind && words[5] === opening &&
      words[8] === high && words[1] === above;
    if (!isKept) {
      words[1] = above;
      words[5] = opening;
      words[6] = kind;
      words[7] = low;
      words[8] = high;
      this.#rest = crc32cWords(0, words, 0, words.length) | 0;
    }
    const byPosition = this.#position;
    const byLength = this.#length;
    const at = position | 0;
    return this.#rest ^ byPosition[at & 0xff]! ^ byPosition[256 + (at >>> 8 & 0xff)]! ^
      byPosition[512 + (at >>> 16 & 0xff)]! ^ byPosition[768 + (at >>> 24)]! ^
      byLength[length & 0xff]! ^ byLength[256 + (length >>> 8)]!;
  }
}
