/**
 * crc32c_blocks.ts: CRC-32C of blocks of 4 KiB and of 256 bytes by SIMD instructions of
 * WebAssembly: about twice as fast as the tables of crc32c.ts.
 *
 * A block is 16 stripes. Each stripe is a lane of vectors of 16 bytes, and has a CRC of its own,
 * which four vectors hold, the *planes*: one for each byte of it. A step takes one byte of each
 * stripe. As a CRC is linear, its table of 256 entries is two of 16, one for each half of a byte,
 * and a swizzle looks all lanes up at once. Squares of 16 by 16 bytes are transposed, so that the
 * bytes of a step are one vector. At the end of a block the CRCs of the stripes become one: each is
 * moved on by as many zeros as there are bytes behind it, and all are added. For neighbours, and
 * then for pairs of them, that is the same in all lanes, and vectors do it; for the four that are
 * left there are tables.
 *
 * There is no build step: the code is put together here, when it is needed first. Long blocks are
 * copied into memory of its own; short ones are of use only where they lie (insert_code.ts).
 *
 * @module
 */

import {
  constant,
  EMPTY_BLOCK,
  get,
  I32,
  loadTable,
  loadTableWord,
  loadVector,
  OP,
  repeat,
  set,
  shuffle,
  tee,
  tryInstantiate,
  V128,
  VECTOR,
  vector,
  vectorOf,
  type WasmFunction,
} from "../wasm_code.ts";
import {
  BYTE_TABLE_BYTES,
  fillTables,
  FOUR_BYTES,
  FOURS_AT,
  HALVES_AT,
  LANES,
  PAIR_BYTES,
  PAIRS_AT,
  type Size,
  STRIPE_BYTES,
  TABLE_PAGES,
  WORD_BYTES,
} from "./crc32c_stripes.ts";

/** Bytes and words of a long block. */
export const BLOCK_BYTES = LANES * STRIPE_BYTES.long;
export const BLOCK_WORDS = BLOCK_BYTES / WORD_BYTES;
/** Bytes of a short block. */
export const SHORT_BYTES = LANES * STRIPE_BYTES.short;

/** The memory for what is copied. */
const DATA_PAGES = 1;
/** The longest fragment has less than one block more. */
const DATA_WORDS_MAX = 15 * BLOCK_WORDS;

/** Shuffles that put the first halves of two vectors together, lane by lane, or the second ones. */
const FIRST = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
const SECOND = FIRST.map((lane) => lane + 8);

/** The locals of a function, its parameters first. */
const SUM = 0;
const FROM = 1;
const TO = 2;
const AT = 3;
const PLANES = 4;
const MOVED = PLANES + 4;
const ROWS = MOVED + 4;
const OTHER_ROWS = ROWS + LANES;
const MIXED = OTHER_ROWS + LANES;
const LOW = MIXED + 1;
const HIGH = MIXED + 2;
const MASK = MIXED + 3;
const LOCALS = [[1, I32], [MASK + 1 - PLANES, V128]] as const;

/** Loads a square of bytes, and transposes it: four times each vector is mixed with another. */
function loadSquare(size: Size): number[] {
  const code = repeat(LANES, (row) => [
    ...get(FROM),
    ...get(AT),
    OP.add,
    ...loadVector(STRIPE_BYTES[size] * row),
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

/** Takes a vector on the stack apart into the halves of its bytes. */
function halve(): number[] {
  return [
    ...tee(MIXED),
    ...get(MASK),
    ...vector(VECTOR.and),
    ...set(LOW),
    ...get(MIXED),
    ...constant(4),
    ...vector(VECTOR.shiftRight16),
    ...get(MASK),
    ...vector(VECTOR.and),
    ...set(HIGH),
  ];
}

/** Looks all lanes up by one half of a byte. */
function lookUp(tableAt: number, half: number): number[] {
  return [...loadTable(tableAt), ...get(half), ...vector(VECTOR.swizzle)];
}

/** One byte of each stripe. */
function step(row: number): number[] {
  return [
    ...get(PLANES),
    ...get(ROWS + row),
    ...vector(VECTOR.xor),
    ...halve(),
    ...repeat(4, (plane) => [
      ...lookUp(HALVES_AT + LANES * plane, LOW),
      ...lookUp(HALVES_AT + LANES * (4 + plane), HIGH),
      ...vector(VECTOR.xor),
      ...(plane < 3 ? [...get(PLANES + plane + 1), ...vector(VECTOR.xor)] : []),
      ...set(PLANES + plane),
    ]),
  ];
}

/** Moves all CRCs on by the zeros of a table, and adds the one behind each, so many lanes away. */
function joinPairs(tableAt: number, lanes: 1 | 2): number[] {
  const shift = lanes === 1 ? VECTOR.shiftRight16 : VECTOR.shiftRight32;
  return [
    ...repeat(4, (byte) => [
      ...get(PLANES + byte),
      ...halve(),
      ...repeat(4, (plane) => [
        ...lookUp(tableAt + LANES * (8 * byte + plane), LOW),
        ...lookUp(tableAt + LANES * (8 * byte + 4 + plane), HIGH),
        ...vector(VECTOR.xor),
        ...(byte > 0 ? [...get(MOVED + plane), ...vector(VECTOR.xor)] : []),
        ...set(MOVED + plane),
      ]),
    ]),
    ...repeat(4, (plane) => [
      ...get(MOVED + plane),
      ...get(PLANES + plane),
      ...constant(8 * lanes),
      ...vector(shift),
      ...vector(VECTOR.xor),
      ...set(PLANES + plane),
    ]),
  ];
}

/** Adds the four CRCs that are left, each moved on by what comes behind it. */
function joinFours(tablesAt: number): number[] {
  const move = (lane: number, byte: number) => [
    ...get(MIXED),
    ...vector(VECTOR.extractWord),
    lane,
    ...constant(8 * byte),
    OP.shiftRight,
    ...constant(0xff),
    OP.and,
    ...constant(2),
    OP.shiftLeft,
    ...loadTableWord(tablesAt + FOUR_BYTES * lane + BYTE_TABLE_BYTES * byte),
    OP.xor,
  ];
  return [
    // Each is a word again.
    ...repeat(4, (byte) => [
      ...get(PLANES + byte),
      ...vectorOf(0xff, 0, 0, 0),
      ...vector(VECTOR.and),
      ...constant(8 * byte),
      ...vector(VECTOR.shiftLeft32),
      ...(byte > 0 ? vector(VECTOR.xor) : []),
    ]),
    ...tee(MIXED),
    ...vector(VECTOR.extractWord),
    3,
    ...repeat(3, (lane) => repeat(4, (byte) => move(lane, byte))),
    ...set(SUM),
  ];
}

/** All squares of a block; a short one is a single one. */
function addSquares(size: Size): number[] {
  const square = [...loadSquare(size), ...repeat(LANES, step)];
  if (size === "short") return square;
  return [
    ...constant(0),
    ...set(AT),
    OP.loop,
    EMPTY_BLOCK,
    ...square,
    ...get(AT),
    ...constant(LANES),
    OP.add,
    ...tee(AT),
    ...constant(STRIPE_BYTES[size]),
    OP.isLess,
    OP.branchIf,
    0,
    OP.end,
  ];
}

function functionCode(size: Size): number[] {
  return [
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
    ...addSquares(size),
    ...joinPairs(PAIRS_AT[size], 1),
    ...joinPairs(PAIRS_AT[size] + PAIR_BYTES, 2),
    ...joinFours(FOURS_AT[size]),
    ...get(FROM),
    ...constant(LANES * STRIPE_BYTES[size]),
    OP.add,
    ...tee(FROM),
    ...get(TO),
    OP.isLess,
    OP.branchIf,
    0,
    OP.end,
    ...get(SUM),
    OP.end,
  ];
}

const FUNCTIONS = new Map<Size, WasmFunction>();

/** The function of blocks, of the inverted CRC before them and the addresses of both their ends. */
export function blockFunction(name: Size): WasmFunction {
  let made = FUNCTIONS.get(name);
  if (made === undefined) {
    const code = Uint8Array.from(functionCode(name));
    made = { name, parameters: [I32, I32, I32], locals: LOCALS, code };
    FUNCTIONS.set(name, made);
  }
  return made;
}

/**
 * CRCs of long blocks.
 *
 * @param table the CRC of each byte
 * @returns null: there is no WebAssembly, or none with these instructions
 */
export function blockCrcOf(table: Int32Array): BlockCrc | null {
  // Without a compiler (--jitless) there is none.
  if (globalThis.WebAssembly === undefined) return null;
  const limits = { initial: DATA_PAGES, maximum: DATA_PAGES, shared: true };
  const memory = new WebAssembly.Memory(limits);
  const exports = tryInstantiate(memory, [blockFunction("long")], TABLE_PAGES);
  return exports === null ? null : new BlockCrc(exports, memory, table);
}

/** Goes on with the bytes between two addresses. */
type Call = (sum: number, from: number, to: number) => number;

/** CRCs of long blocks, which are copied for it: see {@linkcode blockCrcOf}. */
export class BlockCrc {
  readonly #crc: Call;
  readonly #data: Int32Array;

  /**
   * @param exports of the code
   * @param memory that it works on
   * @param table the CRC of each byte
   */
  constructor(exports: WebAssembly.Exports, memory: WebAssembly.Memory, table: Int32Array) {
    this.#crc = exports["long"] as Call;
    this.#data = new Int32Array(memory.buffer, 0, DATA_WORDS_MAX);
    fillTables(exports["tables"] as WebAssembly.Memory, table);
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
      now = this.#crc(now, 0, (end - at) * WORD_BYTES);
    }
    return now;
  }
}
