/**
 * wasm_code.ts: the instructions of WebAssembly that log/crc32c_blocks.ts, log/insert_code.ts and
 * pool/pin_code.ts are put together of, and the module around their functions, by the
 * specification's numbers.
 *
 * @module
 */

const VECTOR_BYTES = 16;
const SIMD = 0xfd;
const ATOMIC = 0xfe;
/** Addresses of words are multiples of 2 to the power of this. */
const WORD_ALIGNED = 2;
/** Addresses of vectors are multiples of 2 to the power of this. */
const VECTOR_ALIGNED = 4;
/** The number of the second memory; a bit tells that there is one. */
const TABLES = 1;
const OF_MEMORY = 0x40;
/** Types. */
export const I32 = 0x7f;
export const I64 = 0x7e;
export const F64 = 0x7c;
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
  call: 0x10,
  drop: 0x1a,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  load: 0x28,
  load64: 0x29,
  loadDouble: 0x2b,
  store: 0x36,
  store64: 0x37,
  storeDouble: 0x39,
  constant: 0x41,
  constant64: 0x42,
  constantDouble: 0x44,
  isZero: 0x45,
  isEqual: 0x46,
  isNotEqual: 0x47,
  isLess: 0x49,
  isGreater: 0x4b,
  isGreater64: 0x56,
  add: 0x6a,
  subtract: 0x6b,
  multiply: 0x6c,
  and: 0x71,
  or: 0x72,
  xor: 0x73,
  shiftLeft: 0x74,
  shiftRight: 0x76,
  add64: 0x7c,
  remainder64: 0x82,
  addDouble: 0xa0,
  low: 0xa7,
  extend: 0xad,
  fromDouble: 0xb1,
  toDouble: 0xba,
} as const;
/** Those of vectors. */
export const VECTOR = {
  load: 0x00,
  constant: 0x0c,
  shuffle: 0x0d,
  replaceLane: 0x17,
  extractWord: 0x1b,
  and: 0x4e,
  xor: 0x51,
  shiftRight16: 0x8d,
  shiftLeft32: 0xab,
  shiftRight32: 0xad,
  /** The relaxed one: all indices are less than 16. */
  swizzle: 0x100,
} as const;

/** Those of words that other threads write to, too. */
export const ATOMICS = {
  notify: 0x00,
  load: 0x10,
  store: 0x17,
  and: 0x2c,
  or: 0x33,
  compareExchange: 0x48,
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
/** The same of 64 bits. */
export const constant64 = (value: number): number[] => [OP.constant64, ...signed(value)];
/** A double onto the stack. */
export const constantDouble = (value: number): number[] => [
  OP.constantDouble,
  ...new Uint8Array(Float64Array.of(value).buffer),
];
/** An instruction of vectors. */
export const vector = (op: number): number[] => [SIMD, ...unsigned(op)];
/** A vector in which some bytes are repeated. */
export const vectorOf = (...bytes: readonly number[]): number[] => [
  ...vector(VECTOR.constant),
  ...Array.from({ length: VECTOR_BYTES }, (_, i) => bytes[i % bytes.length]!),
];
/** A vector from the address on the stack and an offset; it may lie anywhere. */
export const loadVector = (offset: number): number[] => [
  ...vector(VECTOR.load),
  0,
  ...unsigned(offset),
];
/** A word likewise. */
export const loadWord = (offset: number): number[] => [
  OP.load,
  WORD_ALIGNED,
  ...unsigned(offset),
];
/** The top of the stack to the address below it and an offset. */
export const storeWord = (offset: number): number[] => [
  OP.store,
  WORD_ALIGNED,
  ...unsigned(offset),
];
/** 64 bits from the address on the stack and an offset. */
export const load64 = (offset: number): number[] => [OP.load64, WORD_ALIGNED, ...unsigned(offset)];
/** 64 bits to the address below them and an offset. */
export const store64 = (offset: number): number[] => [
  OP.store64,
  WORD_ALIGNED,
  ...unsigned(offset),
];
/** A double likewise. */
export const loadDouble = (offset: number): number[] => [
  OP.loadDouble,
  WORD_ALIGNED,
  ...unsigned(offset),
];
/** The same the other way. */
export const storeDouble = (offset: number): number[] => [
  OP.storeDouble,
  WORD_ALIGNED,
  ...unsigned(offset),
];
/** A vector of the tables. */
export const loadTable = (offset: number): number[] => [
  ...constant(0),
  ...vector(VECTOR.load),
  OF_MEMORY | VECTOR_ALIGNED,
  TABLES,
  ...unsigned(offset),
];
/** A word of the tables, from the address on the stack and an offset. */
export const loadTableWord = (offset: number): number[] => [
  OP.load,
  OF_MEMORY | WORD_ALIGNED,
  TABLES,
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

/** Instructions. */
type Code = readonly number[] | Uint8Array;

/** A function. */
export interface WasmFunction {
  /** What it is exported as. */
  readonly name: string;
  /** The types of its parameters. */
  readonly parameters: readonly number[];
  /** The type of what it gives. Default: {@linkcode I32}. */
  readonly result?: number;
  /** Locals beside the parameters: how many of which type. */
  readonly locals: readonly (readonly [count: number, type: number])[];
  readonly code: Code;
}

/** Most pages that a memory can have. */
const PAGES_MAX = 65_536;
const HAS_MAX_AND_IS_SHARED = 3;

/**
 * A module.
 *
 * It works on shared memory, which it imports as "memory" of "aio".
 *
 * @param functions that it exports
 * @param tablePages of a second memory, 64 KiB each, which it exports as "tables"; 0: it has none
 */
export function moduleBytes(
  functions: readonly WasmFunction[],
  tablePages = 0,
): Uint8Array<ArrayBuffer> {
  const counted = (bytes: Code) => joined([unsigned(bytes.length), bytes]);
  const listed = (entries: readonly Code[]) => joined([unsigned(entries.length), ...entries]);
  const section = (id: number, entries: readonly Code[]) =>
    joined([[id], counted(listed(entries))]);
  const name = (text: string) => counted(new TextEncoder().encode(text));
  const limits = [HAS_MAX_AND_IS_SHARED, ...unsigned(0), ...unsigned(PAGES_MAX)];
  const imported = joined([name("aio"), name("memory"), [2], limits]);
  const exports = functions.map((one, index) => joined([name(one.name), [0], unsigned(index)]));
  if (tablePages > 0) exports.push(joined([name("tables"), [2], [TABLES]]));
  const types = functions.map(({ parameters, result = I32 }) =>
    joined([[0x60], counted(parameters), counted([result])])
  );
  const bodies = functions.map(({ locals, code }) => {
    const declared = locals.map(([count, type]) => [...unsigned(count), type]);
    return counted(joined([listed(declared), code]));
  });
  return joined([
    // Its name and version; then types, memory, functions, exports, code.
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    section(1, types),
    section(2, [imported]),
    section(3, functions.map((_, index) => unsigned(index))),
    tablePages > 0 ? section(5, [[0, ...unsigned(tablePages)]]) : [],
    section(7, exports),
    section(10, bodies),
  ]);
}

/** Has a module work on a memory. @returns what it exports */
export function instantiate(
  memory: WebAssembly.Memory,
  module: Uint8Array<ArrayBuffer>,
): WebAssembly.Exports {
  return new WebAssembly.Instance(new WebAssembly.Module(module), { aio: { memory } }).exports;
}

/**
 * The same of functions that this machine may not know the instructions of.
 *
 * @returns null: it does not
 */
export function tryInstantiate(
  memory: WebAssembly.Memory,
  functions: readonly WasmFunction[],
  tablePages: number,
): WebAssembly.Exports | null {
  const module = moduleBytes(functions, tablePages);
  return WebAssembly.validate(module) ? instantiate(memory, module) : null;
}

/** One behind the other. */
function joined(parts: readonly Code[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
