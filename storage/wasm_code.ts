/**
 * wasm_code.ts: the instructions of WebAssembly that log/crc32c_blocks.ts and pool/pin_code.ts are
 * put together of, and the module around their functions, by the specification's numbers.
 *
 * @module
 */

const VECTOR_BYTES = 16;
const SIMD = 0xfd;
const ATOMIC = 0xfe;
/** Addresses of words are multiples of 2 to the power of this. */
const WORD_ALIGNED = 2;
/** Addresses of vectors are multiples of 2 to the power of this. */
export const ALIGNED = 4;
/** Types. */
export const I32 = 0x7f;
export const V128 = 0x7b;
/** Instructions, as the specification of WebAssembly numbers them. */
export const OP = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  branch: 0x0c,
  branchIf: 0x0d,
  return: 0x0f,
  drop: 0x1a,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  load: 0x28,
  constant: 0x41,
  isZero: 0x45,
  isEqual: 0x46,
  isNotEqual: 0x47,
  isLess: 0x49,
  add: 0x6a,
  subtract: 0x6b,
  multiply: 0x6c,
  and: 0x71,
  or: 0x72,
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

/** Those of words that other threads write to, too. */
export const ATOMICS = {
  load: 0x10,
  and: 0x2c,
  or: 0x33,
} as const;

/** No values come out of a block. */
export const EMPTY_BLOCK = 0x40;

/** An unsigned number, seven bits a byte. */
export function unsigned(value: number): number[] {
  const low = value & 0x7f;
  return value < 0x80 ? [low] : [low | 0x80, ...unsigned(value >>> 7)];
}

/** A number of 32 bits, where signed ones may stand. */
function signed(value: number): number[] {
  const low = value & 0x7f;
  const rest = value >> 7;
  const isAll = rest === ((low & 0x40) === 0 ? 0 : -1);
  return isAll ? [low] : [low | 0x80, ...signed(rest)];
}

/** A local onto the stack. */
export const get = (local: number): number[] => [OP.get, ...unsigned(local)];
/** The top of the stack into a local. */
export const set = (local: number): number[] => [OP.set, ...unsigned(local)];
/** The same, and it stays on the stack. */
export const tee = (local: number): number[] => [OP.tee, ...unsigned(local)];
/** A number of 32 bits onto the stack. */
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
export const loadWord = (offset: number): number[] => [
  OP.load,
  WORD_ALIGNED,
  ...unsigned(offset),
];
/** An atomic instruction of the word at the address on the stack and an offset. */
export const atomic = (op: number, offset: number): number[] => [
  ATOMIC,
  op,
  WORD_ALIGNED,
  ...unsigned(offset),
];
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

/** A function of numbers of 32 bits that gives one. */
export interface WasmFunction {
  /** What it is exported as. */
  readonly name: string;
  /** How many parameters it has. */
  readonly parameters: number;
  /** Locals beside the parameters: how many of which type. */
  readonly locals: readonly (readonly [count: number, type: number])[];
  readonly code: readonly number[];
}

/** Most pages that a memory can have. */
const PAGES_MAX = 65_536;
const HAS_MAX_AND_IS_SHARED = 3;

/**
 * A module.
 *
 * @param pages of its own memory, 64 KiB each, which it exports as "memory"; `"shared"`: it works
 *   on shared memory that it imports as "memory" of "pool"
 * @param functions that it exports
 */
export function moduleBytes(
  pages: number | "shared",
  functions: readonly WasmFunction[],
): Uint8Array<ArrayBuffer> {
  const counted = (bytes: number[]) => [...unsigned(bytes.length), ...bytes];
  const listed = (entries: number[][]) => [...unsigned(entries.length), ...entries.flat()];
  const section = (id: number, entries: number[][]) => [id, ...counted(listed(entries))];
  const name = (text: string) => counted([...new TextEncoder().encode(text)]);
  const isShared = pages === "shared";
  const limits = [HAS_MAX_AND_IS_SHARED, ...unsigned(0), ...unsigned(PAGES_MAX)];
  const imported = [...name("pool"), ...name("memory"), 2, ...limits];
  const exports = functions.map((one, index) => [...name(one.name), 0, ...unsigned(index)]);
  if (!isShared) exports.unshift([...name("memory"), 2, 0]);
  const types = functions.map(({ parameters }) => [
    0x60,
    ...listed(new Array(parameters).fill([I32])),
    ...counted([I32]),
  ]);
  const bodies = functions.map(({ locals, code }) =>
    counted([...listed(locals.map(([count, type]) => [...unsigned(count), type])), ...code])
  );
  return new Uint8Array([
    // Its name and version; then types, memory, functions, exports, code.
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...isShared ? section(2, [imported]) : [],
    ...section(3, functions.map((_, index) => unsigned(index))),
    ...isShared ? [] : section(5, [[0, ...unsigned(pages)]]),
    ...section(7, exports),
    ...section(10, bodies),
  ]);
}
