/**
 * The hash of `page.ts` as a WebAssembly program with vectors of 128 bits, three times as fast:
 * four of the 32 columns in a vector, eight vectors side by side. The program is small enough to be
 * put together here, instruction by instruction. `verify.ts` uses it.
 *
 * A WebAssembly program reads the memory that it is started with only: one that pages are read or
 * copied into, or that of an Aio, where they are already.
 *
 * @module
 */

import {
  CHECKSUM_WORD,
  COLUMN_SEEDS,
  FNV_PRIME,
  HASH_SHIFT,
  NOT_CHECKSUM,
  type PageHash,
} from "./page.ts";

const LANES = 4;
const WORD_BYTES = 4;
const VECTOR_BYTES = LANES * WORD_BYTES;
const VECTORS = COLUMN_SEEDS.length / LANES;
const ROW_BYTES = VECTORS * VECTOR_BYTES;
/** The names by which the program takes its memory. */
const IMPORT = ["aio", "memory"] as const;

// What is used of WebAssembly, by the names in its specification.
const HEADER = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const TYPE = { i32: 0x7f, v128: 0x7b, function: 0x60, empty: 0x40 } as const;
const KIND = { function: 0, memory: 2 } as const;
/** Memory of whatever size; of shared memory the program says the most, in pages of 64 KiB. */
const ANY_SIZE = [0, 0];
const ANY_SIZE_SHARED = [3, 0, ...number(65_536)];
const LOOP = 0x03;
const END = 0x0b;
const BR_IF = 0x0d;
const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const I32_CONST = 0x41;
const I32_NE = 0x47;
const I32_ADD = 0x6a;
const I32_XOR = 0x73;
const V128_LOAD = [0xfd, 0x00];
const V128_CONST = [0xfd, 0x0c];
const I32X4_EXTRACT_LANE = [0xfd, 0x1b];
const V128_AND = [0xfd, 0x4e];
const V128_XOR = [0xfd, 0x51];
const I32X4_SHR_U = [0xfd, 0xad, 0x01];
const I32X4_MUL = [0xfd, 0xb5, 0x01];

// The parameters of the function, and its other variables.
const ADDRESS = 0;
const END_ADDRESS = 1;
const MIXED = 2;
const FIRST_HASH = 3;
const HASHES = Array.from({ length: VECTORS }, (_, i) => FIRST_HASH + i);
/** What of the first four words is hashed. */
const CHECKSUM_MASK = Array.from({ length: LANES }, (_, i) => {
  return i === CHECKSUM_WORD ? NOT_CHECKSUM : 0xffffffff;
});

/**
 * Starts the program.
 *
 * @param memory Where the pages are: what {@linkcode PageHash} takes must be the words of it.
 * @returns Nothing where the machine has no such vectors.
 */
export function startSimdHash(memory: WebAssembly.Memory): PageHash | undefined {
  const bytes = program(memory.buffer instanceof SharedArrayBuffer);
  if (!WebAssembly.validate(bytes)) return undefined;
  const imports = { [IMPORT[0]]: { [IMPORT[1]]: memory } };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  const hash = exports["hash"] as (address: number, endAddress: number) => number;
  return (_words, start, pageWords) => hash(start * WORD_BYTES, (start + pageWords) * WORD_BYTES);
}

/** One function: from the address of a page and that of its end to its hash. */
function program(isShared: boolean): Uint8Array<ArrayBuffer> {
  const type = [TYPE.function, ...list([[TYPE.i32], [TYPE.i32]]), ...list([[TYPE.i32]])];
  const size = isShared ? ANY_SIZE_SHARED : ANY_SIZE;
  return new Uint8Array([
    ...HEADER,
    ...section(SECTION.type, [type]),
    ...section(SECTION.import, [[...IMPORT.flatMap(name), KIND.memory, ...size]]),
    ...section(SECTION.function, [[0]]),
    ...section(SECTION.export, [[...name("hash"), KIND.function, 0]]),
    ...section(SECTION.code, [withSize(code())]),
  ]);
}

function code(): number[] {
  const variables = list([[1 + VECTORS, TYPE.v128]]);
  const seeds = HASHES.flatMap((hash, i) => {
    const seed = COLUMN_SEEDS.subarray(i * LANES, (i + 1) * LANES);
    return [...constant(seed), LOCAL_SET, hash];
  });
  const zeroRow = HASHES.flatMap((hash) => round(hash, []));
  return [...variables, ...seeds, ...rows(), ...zeroRow, ...zeroRow, ...folded(), END];
}

/** All rows of the page, one after another; the first one has the checksum. */
function rows(): number[] {
  const first = row([...constant(CHECKSUM_MASK), ...V128_AND]);
  const more = [LOCAL_GET, ADDRESS, LOCAL_GET, END_ADDRESS, I32_NE, BR_IF, 0];
  return [...first, LOOP, TYPE.empty, ...row([]), ...more, END];
}

/** One row, and the address of the next. */
function row(maskFirst: number[]): number[] {
  const rounds = HASHES.flatMap((hash, i) => {
    const load = [...V128_LOAD, ...number(Math.log2(VECTOR_BYTES)), ...number(i * VECTOR_BYTES)];
    const value = [LOCAL_GET, ADDRESS, ...load, ...(i === 0 ? maskFirst : [])];
    return round(hash, [...value, ...V128_XOR]);
  });
  const next = [LOCAL_GET, ADDRESS, I32_CONST, ...number(ROW_BYTES), I32_ADD, LOCAL_SET, ADDRESS];
  return [...rounds, ...next];
}

/** `mixed = hash ^ value; hash = mixed * FNV_PRIME ^ mixed >>> HASH_SHIFT`, for four columns. */
function round(hash: number, xorValue: number[]): number[] {
  return [
    ...[LOCAL_GET, hash, ...xorValue, LOCAL_TEE, MIXED],
    ...[...constant(new Array(LANES).fill(FNV_PRIME)), ...I32X4_MUL],
    ...[LOCAL_GET, MIXED, I32_CONST, HASH_SHIFT, ...I32X4_SHR_U],
    ...[...V128_XOR, LOCAL_SET, hash],
  ];
}

/** All hashes as one. */
function folded(): number[] {
  const vector = HASHES.flatMap((hash, i) => [LOCAL_GET, hash, ...(i === 0 ? [] : V128_XOR)]);
  const lanes = Array.from({ length: LANES }, (_, lane) => {
    return [LOCAL_GET, MIXED, ...I32X4_EXTRACT_LANE, lane, ...(lane === 0 ? [] : [I32_XOR])];
  });
  return [...vector, LOCAL_SET, MIXED, ...lanes.flat()];
}

/** A vector of four words. */
function constant(words: ArrayLike<number>): number[] {
  return [...V128_CONST, ...new Uint8Array(Uint32Array.from(words).buffer)];
}

/** A number in LEB128, seven bits a byte. The constants here are the same with a sign. */
function number(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...number(value >>> 7)];
}

function list(items: number[][]): number[] {
  return [...number(items.length), ...items.flat()];
}

function withSize(bytes: number[]): number[] {
  return [...number(bytes.length), ...bytes];
}

function name(text: string): number[] {
  return withSize([...new TextEncoder().encode(text)]);
}

function section(id: number, items: number[][]): number[] {
  return [id, ...withSize(list(items))];
}
