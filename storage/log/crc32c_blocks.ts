/**
 * crc32c_blocks.ts: CRC-32C of blocks of 4 KiB by SIMD instructions of WebAssembly: with the copy
 * into their memory more than twice as fast as the tables of crc32c.ts.
 *
 * A block is 16 stripes of 256 bytes. Each stripe is a lane of vectors of 16 bytes, and has a CRC
 * of its own, which four vectors hold, the *planes*: one for each byte of it. A step takes one byte
 * of each stripe. As a CRC is linear, its table of 256 entries is two of 16, one for each half of a
 * byte, and a swizzle looks all lanes up at once. Squares of 16 by 16 bytes are transposed, so that
 * the bytes of a step are one vector. At the end of a block the CRCs of the stripes become one:
 * each is moved on by as many zeros as a stripe has, and the next one added.
 *
 * There is no build step: the code is put together here, when it is needed first.
 *
 * @module
 */

import {
  ALIGNED,
  constant,
  EMPTY_BLOCK,
  get,
  I32,
  loadVector,
  loadWord,
  moduleBytes,
  OP,
  repeat,
  set,
  shuffle,
  unsigned,
  V128,
  VECTOR,
  vector,
  vectorOf,
} from "../wasm_code.ts";

const LANES = 16;
const STRIPE_BYTES = 256;
const WORD_BYTES = 4;
/** Words of a block. */
export const BLOCK_WORDS = LANES * STRIPE_BYTES / WORD_BYTES;
const BLOCK_BYTES = BLOCK_WORDS * WORD_BYTES;

/** The memory: what a CRC becomes by a stripe of zeros, byte by byte; both halves of the table. */
const ZEROS_AT = 0;
const HALVES_AT = 4096;
/** The CRCs of the stripes. */
const SUMS_AT = 4352;
const DATA_AT = 8192;
const PAGES = 2;
/** The longest fragment has less than one block more. */
const DATA_WORDS_MAX = 15 * BLOCK_WORDS;

/** Shuffles that put the first halves of two vectors together, lane by lane, or the second ones. */
const FIRST = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
const SECOND = FIRST.map((lane) => lane + 8);
/** The same by lanes of two bytes. */
const FIRST_PAIRS = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23];
const SECOND_PAIRS = FIRST_PAIRS.map((lane) => lane + 8);

/** The locals of the function, its parameters first. */
const SUM = 0;
const FROM = 1;
const TO = 2;
const AT = 3;
const PLANES = 4;
const ROWS = 8;
const OTHER_ROWS = ROWS + LANES;
const MIXED = OTHER_ROWS + LANES;
const LOW = MIXED + 1;
const HIGH = MIXED + 2;
const HALVES = MIXED + 3;
const MASK = HALVES + 8;
const LOCALS = [[1, I32], [MASK + 1 - PLANES, V128]] as const;

/** Loads a square of bytes, and transposes it: four times each vector is mixed with another. */
function loadSquare(): number[] {
  const code = repeat(LANES, (row) => [
    ...get(FROM),
    ...get(AT),
    OP.add,
    ...loadVector(STRIPE_BYTES * row),
    ...set(ROWS + row),
  ]);
  let [from, to] = [ROWS, OTHER_ROWS];
  for (let pass = 0; pass < 4; pass++) {
    code.push(...repeat(LANES / 2, (row) => {
      const [a, b] = [get(from + row), get(from + row + LANES / 2)];
      return [
        ...shuffle(a, b, FIRST),
        ...set(to + 2 * row),
        ...shuffle(a, b, SECOND),
        ...set(to + 2 * row + 1),
      ];
    }));
    [from, to] = [to, from];
  }
  return code;
}

/** One byte of each stripe. */
function step(row: number): number[] {
  const half = (table: number, index: number) => [
    ...get(table),
    ...get(index),
    ...vector(VECTOR.swizzle),
  ];
  return [
    ...get(PLANES),
    ...get(ROWS + row),
    ...vector(VECTOR.xor),
    OP.tee,
    ...unsigned(MIXED),
    ...get(MASK),
    ...vector(VECTOR.and),
    ...set(LOW),
    ...get(MIXED),
    ...constant(4),
    ...vector(VECTOR.shiftRight16),
    ...get(MASK),
    ...vector(VECTOR.and),
    ...set(HIGH),
    ...repeat(4, (plane) => [
      ...half(HALVES + plane, LOW),
      ...half(HALVES + 4 + plane, HIGH),
      ...vector(VECTOR.xor),
      ...(plane < 3 ? [...get(PLANES + plane + 1), ...vector(VECTOR.xor)] : []),
      ...set(PLANES + plane),
    ]),
  ];
}

/** Writes the CRC of each stripe as a word. */
function storeSums(): number[] {
  const pairs = (lanes: readonly number[]) =>
    [0, 2].map((plane) => shuffle(get(PLANES + plane), get(PLANES + plane + 1), lanes));
  const [low, high] = [pairs(FIRST), pairs(SECOND)];
  const words = [
    shuffle(low[0]!, low[1]!, FIRST_PAIRS),
    shuffle(low[0]!, low[1]!, SECOND_PAIRS),
    shuffle(high[0]!, high[1]!, FIRST_PAIRS),
    shuffle(high[0]!, high[1]!, SECOND_PAIRS),
  ];
  return words.flatMap((code, index) => [
    ...constant(0),
    ...code,
    ...vector(VECTOR.store),
    ALIGNED,
    ...unsigned(SUMS_AT + LANES * index),
  ]);
}

/** Joins the CRCs of the stripes. */
function joinSums(): number[] {
  const join = (lane: number) => [
    ...constant(0),
    ...loadWord(SUMS_AT + WORD_BYTES * lane),
    ...repeat(4, (byte) => [
      ...get(SUM),
      ...constant(8 * byte),
      OP.shiftRight,
      ...constant(0xff),
      OP.and,
      ...constant(2),
      OP.shiftLeft,
      ...loadWord(ZEROS_AT + 1024 * byte),
      OP.xor,
    ]),
    ...set(SUM),
  ];
  return [
    ...constant(0),
    ...loadWord(SUMS_AT),
    ...set(SUM),
    ...repeat(LANES - 1, (lane) => join(lane + 1)),
  ];
}

function functionCode(): number[] {
  return [
    ...repeat(
      8,
      (half) => [...constant(0), ...loadVector(HALVES_AT + 16 * half), ...set(HALVES + half)],
    ),
    ...vectorOf(0x0f),
    ...set(MASK),
    OP.loop,
    EMPTY_BLOCK,
    // The first stripe goes on with the CRC of what came before, the others begin anew.
    ...repeat(4, (plane) => [
      ...vectorOf(0),
      ...get(SUM),
      ...constant(8 * plane),
      OP.shiftRight,
      ...vector(VECTOR.replaceLane),
      0,
      ...set(PLANES + plane),
    ]),
    ...constant(0),
    ...set(AT),
    OP.loop,
    EMPTY_BLOCK,
    ...loadSquare(),
    ...repeat(LANES, step),
    ...get(AT),
    ...constant(LANES),
    OP.add,
    OP.tee,
    ...unsigned(AT),
    ...constant(STRIPE_BYTES),
    OP.isLess,
    OP.branchIf,
    0,
    OP.end,
    ...storeSums(),
    ...joinSums(),
    ...get(FROM),
    ...constant(BLOCK_BYTES),
    OP.add,
    OP.tee,
    ...unsigned(FROM),
    ...get(TO),
    OP.isLess,
    OP.branchIf,
    0,
    OP.end,
    ...get(SUM),
    OP.end,
  ];
}

/**
 * CRCs of blocks.
 *
 * @param table the CRC of each byte
 * @returns null: there is no WebAssembly, or none with these instructions
 */
export function blockCrcOf(table: Int32Array): BlockCrc | null {
  const crc = { name: "crc", parameters: AT, locals: LOCALS, code: functionCode() };
  const code = moduleBytes(PAGES, [crc]);
  // Without a compiler (--jitless) there is none.
  if (globalThis.WebAssembly?.validate(code) !== true) return null;
  return new BlockCrc(new WebAssembly.Instance(new WebAssembly.Module(code)).exports, table);
}

/** Goes on with the bytes between two addresses. */
type Call = (sum: number, from: number, to: number) => number;

/** CRCs of blocks: see {@linkcode blockCrcOf}. */
export class BlockCrc {
  readonly #crc: Call;
  readonly #data: Int32Array;

  /**
   * @param exports what the module exports
   * @param table the CRC of each byte
   */
  constructor(exports: WebAssembly.Exports, table: Int32Array) {
    const { buffer } = exports["memory"] as WebAssembly.Memory;
    this.#crc = exports["crc"] as Call;
    this.#data = new Int32Array(buffer, DATA_AT, DATA_WORDS_MAX);
    const bytes = new Uint8Array(buffer);
    const words = new Int32Array(buffer, ZEROS_AT);
    for (let plane = 0; plane < 4; plane++) {
      for (let half = 0; half < 16; half++) {
        bytes[HALVES_AT + 16 * plane + half] = table[half]! >>> 8 * plane;
        bytes[HALVES_AT + 16 * (4 + plane) + half] = table[half << 4]! >>> 8 * plane;
      }
      for (let byte = 0; byte < 256; byte++) {
        let sum = byte << 8 * plane;
        for (let i = 0; i < STRIPE_BYTES; i++) sum = (sum >>> 8) ^ table[sum & 0xff]!;
        words[256 * plane + byte] = sum;
      }
    }
  }

  /**
   * Goes on with whole blocks.
   *
   * @param sum the inverted CRC of what came before
   * @param words the words, and maybe more
   * @param from where they begin, in words
   * @param to where they end: a multiple of {@linkcode BLOCK_WORDS} behind that, and not the same
   * @returns the inverted CRC
   */
  goOn(sum: number, words: Int32Array, from: number, to: number): number {
    const data = this.#data;
    let now = sum;
    for (let at = from; at < to; at += DATA_WORDS_MAX) {
      const end = Math.min(to, at + DATA_WORDS_MAX);
      data.set(words.subarray(at, end));
      now = this.#crc(now, DATA_AT, DATA_AT + (end - at) * WORD_BYTES);
    }
    return now;
  }
}
