/**
 * wasm_code.ts: the instructions of WebAssembly that crc32c_blocks.ts is put together of, and the
 * module around its function, by the specification's numbers.
 *
 * @module
 */

const VECTOR_BYTES = 16;
const SIMD = 0xfd;
/** Addresses of vectors are multiples of 2 to the power of this. */
export const ALIGNED = 4;
/** Types. */
export const I32 = 0x7f;
export const V128 = 0x7b;
/** Instructions, as the specification of WebAssembly numbers them. */
export const OP = {
  loop: 0x03,
  end: 0x0b,
  branchIf: 0x0d,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  load: 0x28,
  constant: 0x41,
  isLess: 0x49,
  add: 0x6a,
  and: 0x71,
  xor: 0x73,
  shiftLeft: 0x74,
  shiftRight: 0x76,
} as const;
/** Those of vectors. */
export const VECTOR = {
  load: 0x00,
  store: 0x0b,
  constant: 0x0c,
  shuffle: 0x0d,
  replaceLane: 0x17,
  and: 0x4e,
  xor: 0x51,
  shiftRight16: 0x8d,
  /** The relaxed one: all indices are less than 16. */
  swizzle: 0x100,
} as const;

/** No values come out of a block. */
export const EMPTY_BLOCK = 0x40;

/** An unsigned number, seven bits a byte. */
export function unsigned(value: number): number[] {
  const low = value & 0x7f;
  return value < 0x80 ? [low] : [low | 0x80, ...unsigned(value >>> 7)];
}

/** A number from 0, where signed ones may stand. */
function signed(value: number): number[] {
  const low = value & 0x7f;
  return value < 0x40 ? [low] : [low | 0x80, ...signed(value >>> 7)];
}

/** A local onto the stack. */
export const get = (local: number): number[] => [OP.get, ...unsigned(local)];
/** The top of the stack into a local. */
export const set = (local: number): number[] => [OP.set, ...unsigned(local)];
/** A number onto the stack, from 0. */
export const constant = (value: number): number[] => [OP.constant, ...signed(value)];
/** An instruction of vectors. */
export const vector = (op: number): number[] => [SIMD, ...unsigned(op)];
/** A vector of equal bytes. */
export const vectorOf = (byte: number): number[] => [
  ...vector(VECTOR.constant),
  ...new Array(VECTOR_BYTES).fill(byte),
];
/** A vector from the address on the stack and an offset. */
export const loadVector = (offset: number): number[] => [
  ...vector(VECTOR.load),
  ALIGNED,
  ...unsigned(offset),
];
/** A word likewise. */
export const loadWord = (offset: number): number[] => [OP.load, 2, ...unsigned(offset)];
/** The lanes of two vectors that are listed. */
export const shuffle = (a: number[], b: number[], lanes: readonly number[]): number[] => [
  ...a,
  ...b,
  ...vector(VECTOR.shuffle),
  ...lanes,
];

/** Code for each number below a count, one behind the other. */
export function repeat(count: number, codeOf: (index: number) => number[]): number[] {
  return Array.from({ length: count }, (_, index) => codeOf(index)).flat();
}

/**
 * A module that exports a memory, and a function of three numbers that gives one, "crc".
 *
 * @param pages of the memory, 64 KiB each
 * @param locals beside the parameters: how many of which type
 * @param code of the function
 */
export function moduleBytes(
  pages: number,
  locals: readonly (readonly [count: number, type: number])[],
  code: readonly number[],
): Uint8Array<ArrayBuffer> {
  const counted = (bytes: number[]) => [...unsigned(bytes.length), ...bytes];
  const section = (id: number, bytes: number[]) => [id, ...counted(bytes)];
  const name = (text: string) => counted([...new TextEncoder().encode(text)]);
  const types = locals.flatMap(([count, type]) => [...unsigned(count), type]);
  const body = [locals.length, ...types, ...code];
  return new Uint8Array([
    // Its name and version; then the type, the function, the memory, both exports, the code.
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, ...counted([I32, I32, I32]), ...counted([I32])]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, pages]),
    ...section(7, [2, ...name("memory"), 2, 0, ...name("crc"), 0, 0]),
    ...section(10, [1, ...counted(body)]),
  ]);
}
