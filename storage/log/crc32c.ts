/**
 * crc32c.ts: CRC-32C (Castagnoli), the checksum of the log's fragments, a piece at a time.
 *
 * Each step takes 16 bytes and looks each of them up in a table of its own ("slicing by 16"). The
 * tables lie one behind the other in one array: table n says what a byte does to the CRC when n
 * more bytes follow it. Of what is long, whole blocks go to crc32c_blocks.ts.
 *
 * @module
 */

import * as blocks from "./crc32c_blocks.ts";
import { type BlockCrc, blockCrcOf } from "./crc32c_blocks.ts";
import { bitsBy, movedBy } from "./crc32c_stripes.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { BLOCK_WORDS } = blocks;

/** The Castagnoli polynomial, its bits in reverse. */
const POLYNOMIAL = 0x82f63b78;
/** Entries of a table, one a value of a byte. */
export const SIZE = 256;
const TABLES = 16;

/** The tables. */
export const TABLE: Int32Array = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(TABLES * SIZE);
  for (let byte = 0; byte < SIZE; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
    tables[byte] = crc;
  }
  for (let i = SIZE; i < tables.length; i++) {
    const before = tables[i - SIZE]!;
    tables[i] = (before >>> 8) ^ tables[before & 0xff]!;
  }
  return tables;
}

/** Made when it is needed first; null: it cannot be, and the tables do all. */
let blockCrc: BlockCrc | null | undefined;

/** By how many bytes follow. */
const WORD_TABLES = new Map<number, Int32Array>();

/**
 * What a word does to the CRC when more bytes follow it: a table for each of its bytes, the lowest
 * one first.
 */
export function wordTables(bytesBehind: number): Int32Array {
  let tables = WORD_TABLES.get(bytesBehind);
  if (tables === undefined) {
    tables = makeWordTables(bytesBehind);
    WORD_TABLES.set(bytesBehind, tables);
  }
  return tables;
}

function makeWordTables(bytesBehind: number): Int32Array {
  const tables = new Int32Array(4 * SIZE);
  for (let byte = 0; byte < 4; byte++) {
    const bits = bitsBy(TABLE, 3 - byte + bytesBehind);
    for (let value = 0; value < SIZE; value++) {
      tables[byte * SIZE + value] = movedBy(bits, TABLE[value]!);
    }
  }
  return tables;
}

/**
 * The CRC-32C of what came before and some bytes behind it.
 *
 * @param crc of what came before; 0 if nothing did
 * @param bytes the bytes, and maybe more
 * @param from where they begin
 * @param to where they end
 * @returns an unsigned 32-bit number
 */
export function crc32c(crc: number, bytes: Uint8Array, from: number, to: number): number {
  let sum = ~crc;
  let at = from;
  for (; at + 16 <= to; at += 16) {
    sum ^= bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24;
    sum = TABLE[15 * SIZE + (sum & 0xff)]! ^ TABLE[14 * SIZE + (sum >>> 8 & 0xff)]! ^
      TABLE[13 * SIZE + (sum >>> 16 & 0xff)]! ^ TABLE[12 * SIZE + (sum >>> 24)]! ^
      TABLE[11 * SIZE + bytes[at + 4]!]! ^ TABLE[10 * SIZE + bytes[at + 5]!]! ^
      TABLE[9 * SIZE + bytes[at + 6]!]! ^ TABLE[8 * SIZE + bytes[at + 7]!]! ^
      TABLE[7 * SIZE + bytes[at + 8]!]! ^ TABLE[6 * SIZE + bytes[at + 9]!]! ^
      TABLE[5 * SIZE + bytes[at + 10]!]! ^ TABLE[4 * SIZE + bytes[at + 11]!]! ^
      TABLE[3 * SIZE + bytes[at + 12]!]! ^ TABLE[2 * SIZE + bytes[at + 13]!]! ^
      TABLE[SIZE + bytes[at + 14]!]! ^ TABLE[bytes[at + 15]!]!;
  }
  for (; at < to; at++) sum = (sum >>> 8) ^ TABLE[(sum ^ bytes[at]!) & 0xff]!;
  return ~sum >>> 0;
}

/**
 * The same of whole words, as a processor has them whose lowest byte comes first: faster, as it
 * reads four bytes at once, and much faster from 4 KiB on.
 *
 * @param crc of what came before; 0 if nothing did
 * @param words the words, and maybe more
 * @param from where they begin, in words
 * @param to where they end, in words
 * @returns an unsigned 32-bit number
 */
export function crc32cWords(crc: number, words: Int32Array, from: number, to: number): number {
  let sum = ~crc;
  let at = from;
  if (to - from >= BLOCK_WORDS) {
    if (blockCrc === undefined) blockCrc = blockCrcOf(TABLE.subarray(0, SIZE));
    if (blockCrc !== null) {
      at = to - (to - from) % BLOCK_WORDS;
      sum = blockCrc.goOn(sum, words, from, at);
    }
  }
  for (; at + 4 <= to; at += 4) {
    const a = sum ^ words[at]!;
    const b = words[at + 1]!;
    const c = words[at + 2]!;
    const d = words[at + 3]!;
    sum = TABLE[15 * SIZE + (a & 0xff)]! ^ TABLE[14 * SIZE + (a >>> 8 & 0xff)]! ^
      TABLE[13 * SIZE + (a >>> 16 & 0xff)]! ^ TABLE[12 * SIZE + (a >>> 24)]! ^
      TABLE[11 * SIZE + (b & 0xff)]! ^ TABLE[10 * SIZE + (b >>> 8 & 0xff)]! ^
      TABLE[9 * SIZE + (b >>> 16 & 0xff)]! ^ TABLE[8 * SIZE + (b >>> 24)]! ^
      TABLE[7 * SIZE + (c & 0xff)]! ^ TABLE[6 * SIZE + (c >>> 8 & 0xff)]! ^
      TABLE[5 * SIZE + (c >>> 16 & 0xff)]! ^ TABLE[4 * SIZE + (c >>> 24)]! ^
      TABLE[3 * SIZE + (d & 0xff)]! ^ TABLE[2 * SIZE + (d >>> 8 & 0xff)]! ^
      TABLE[SIZE + (d >>> 16 & 0xff)]! ^ TABLE[d >>> 24]!;
  }
  for (; at < to; at++) {
    const a = sum ^ words[at]!;
    sum = TABLE[3 * SIZE + (a & 0xff)]! ^ TABLE[2 * SIZE + (a >>> 8 & 0xff)]! ^
      TABLE[SIZE + (a >>> 16 & 0xff)]! ^ TABLE[a >>> 24]!;
  }
  return ~sum >>> 0;
}
