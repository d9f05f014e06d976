/**
 * record_writer.ts: writes records into a ring, as record.ts lays them out.
 *
 * @module
 */

import { AioInvariantError } from "../../core/mod.ts";
import { crc32cWords } from "./crc32c.ts";
import {
  CrcSeed,
  fragmentBytes,
  type FragmentKind,
  HEAD_BYTES,
  KIND,
  type LogIdentity,
  longestIn,
  NOTHING,
  plainEndOf,
  remainder,
  restAt,
  type Ring,
  segmentEndOf,
  startOf,
  UINT32_RANGE,
  WORD_BYTES,
} from "./record.ts";

const HEAD_WORDS = HEAD_BYTES / WORD_BYTES;

/** Checks what a fragment at a position is to say of the position known durable. */
export function checkDurable(durable: number, position: number): void {
  if (durable <= position) return;
  throw new AioInvariantError("A fragment's place is durable before it is written");
}

/** The memory of a record was resized or transferred before it was in the log. */
export function changedRecord(): TypeError {
  return new TypeError(
    "Cannot put a record into the log as its buffer changed its size, or was transferred",
  );
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

/** Writes records into a ring, one fragment after another. Allocates nothing for a short one. */
export class RecordWriter {
  readonly #writer: FragmentWriter;
  readonly #segmentBytes: number;
  #data: Uint8Array = NOTHING;
  /** Bytes of the record when it began: so many have their place. */
  #length = 0;
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
    this.#length = data.length;
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
    return Math.min(this.#length - this.#done, room);
  }

  /**
   * Writes the fragment that comes next.
   *
   * @param durable the position known durable
   * @returns whether another one follows
   * @throws {TypeError} if the record is not as long any more as it was; nothing is written then
   */
  writeNext(durable: number): boolean {
    if (this.#data.length !== this.#length) throw changedRecord();
    const length = this.#nextLength();
    const from = this.#done;
    const isLast = from + length === this.#length;
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
