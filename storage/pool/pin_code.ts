/**
 * pin_code.ts: a pool's hit and its end as code of WebAssembly: to find the buffer of a block, to
 * pin it, to look at its tag once more, and to take the pin away. They are a dozen loads and three
 * atomic operations, each of which takes JavaScript a call of 8 to 10 ns, and this code 1 to 5.
 *
 * What it does is said where it belongs: how a chain is followed in mapping.ts, what a pin is in
 * pins.ts. A thread does not end between two of its instructions, but for the steps in a chain. The
 * places of a pool's memory are constants of its code, so each pool has a module of its own, put
 * together here when a thread joins in: there is no build step.
 *
 * @module
 */

import {
  atomic,
  ATOMICS,
  constant,
  EMPTY_BLOCK,
  get,
  I32,
  instantiate,
  loadWord,
  moduleBytes,
  OP,
  set,
  tee,
  type WasmFunction,
} from "../wasm_code.ts";
import {
  BLOCK_FACTOR,
  BUCKET_SHIFT,
  FILE_FACTOR,
  HINT_SHIFT,
  LINK_BITS,
  LINK_MASK,
} from "./mapping.ts";
import { BUFFER, POOL, type PoolPlaces } from "./pool_memory.ts";

/** The code of one pool, in one thread. */
export interface PinCode {
  /**
   * Pins the buffer of a block for a backend.
   *
   * @param tag the number of the block's file, plus 1
   * @param block which
   * @param bit of the backend
   * @returns {@linkcode bufferOf} and {@linkcode stateOf} it; {@linkcode NOT_FOUND}; or, below
   *   that, {@linkcode lostBuffer}: one that has another block by now, and is pinned
   */
  pin(tag: number, block: number, bit: number): number;
  /**
   * Takes a backend's pin away.
   *
   * @returns {@linkcode TOLD} bits
   */
  unpin(buffer: number, bit: number): number;
}

/** Steps in a chain after which a look gives up: chains that change can lead in circles. */
const STEPS_MAX = 64;

/** Nothing was found, and nothing is pinned. */
export const NOT_FOUND = -1;
/** A buffer is less than 2 to the power of this. */
const STATE_SHIFT = LINK_BITS;

/** The buffer that was pinned. */
export function bufferOf(pinned: number): number {
  return pinned & LINK_MASK;
}

/** The state that it was found in. */
export function stateOf(pinned: number): number {
  return pinned >>> STATE_SHIFT;
}

/** The buffer that was pinned for nothing. */
export function lostBuffer(pinned: number): number {
  return NOT_FOUND - 1 - pinned;
}

/** Those that wait for the end of a pin. */
export const TOLD = {
  /** Somebody waits for a change of that buffer. */
  buffer: 1,
  /** It is pinned by nobody, and somebody waits for any such buffer. */
  unpinned: 2,
} as const;

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
const WORD_SHIFT = Math.log2(WORD_BYTES);
const DESCRIPTOR_SHIFT = Math.log2(BUFFER.size * WORD_BYTES);

/** Where a field of a descriptor is, from its beginning. */
const fieldOf = (field: number): number => field * WORD_BYTES;
const shifted = (local: number, by: number): number[] => [
  ...get(local),
  ...constant(by),
  OP.shiftLeft,
];

/** The parameters and locals of `pin`. */
const TAG = 0;
const BLOCK = 1;
const BIT = 2;
const HASH = 3;
const LINK = 4;
const STEPS = 5;
const FOUND = 6;
const AT = 7;

/** Whether the descriptor at `AT` has the block, for everybody to see if that is `isAtomic`. */
function hasBlock(isAtomic: boolean): number[] {
  const file = fieldOf(BUFFER.file);
  return [
    ...get(AT),
    // The block is only right if the file is: it is written before it, and so needs no barrier.
    ...isAtomic ? atomic(ATOMICS.load, file) : loadWord(file),
    ...get(TAG),
    OP.isEqual,
    ...get(AT),
    ...loadWord(fieldOf(BUFFER.block)),
    ...get(BLOCK),
    OP.isEqual,
    OP.and,
  ];
}

function pinFunction(places: PoolPlaces): WasmFunction {
  const code = [
    // The hash of the block; the first link of its bucket.
    ...[...get(TAG), ...constant(1), OP.subtract, ...constant(FILE_FACTOR), OP.multiply],
    ...[...get(BLOCK), ...constant(BLOCK_FACTOR), OP.multiply, OP.add, ...tee(HASH)],
    ...[...get(HASH), ...constant(BUCKET_SHIFT), OP.shiftRight, OP.xor],
    ...[...constant(places.bucketMask), OP.and, ...constant(WORD_SHIFT), OP.shiftLeft],
    ...[...loadWord(places.buckets), ...set(LINK)],
    ...[...get(HASH), ...constant(HINT_SHIFT), OP.shiftRight, ...set(HASH)],
    ...[...constant(STEPS_MAX), ...set(STEPS)],
    ...[OP.block, EMPTY_BLOCK],
    ...[OP.loop, EMPTY_BLOCK],
    // The end of the chain.
    ...[...get(LINK), OP.isZero, OP.if, EMPTY_BLOCK, ...constant(NOT_FOUND), OP.return, OP.end],
    ...[...get(LINK), ...constant(LINK_MASK), OP.and, ...constant(1), OP.subtract, ...set(FOUND)],
    ...[...shifted(FOUND, DESCRIPTOR_SHIFT), ...constant(places.descriptors), OP.add, ...set(AT)],
    // Its hint and its tag are right: out of the block.
    ...[...get(LINK), ...constant(LINK_BITS), OP.shiftRight, ...get(HASH), OP.isEqual],
    ...[OP.if, EMPTY_BLOCK, ...hasBlock(false), OP.branchIf, 2, OP.end],
    // The next one, if these are not too many already.
    ...[...shifted(FOUND, WORD_SHIFT), ...loadWord(places.nexts), ...set(LINK)],
    ...[...get(STEPS), ...constant(1), OP.subtract, ...tee(STEPS), OP.branchIf, 0],
    OP.end,
    ...[...constant(NOT_FOUND), OP.return],
    OP.end,
    ...[...get(AT), ...get(BIT), ...atomic(ATOMICS.or, fieldOf(BUFFER.pins)), OP.drop],
    ...[...hasBlock(true), OP.if, I32],
    ...[...get(AT), ...atomic(ATOMICS.load, fieldOf(BUFFER.state))],
    ...[...constant(STATE_SHIFT), OP.shiftLeft, ...get(FOUND), OP.or],
    OP.else,
    ...[...constant(lostBuffer(0)), ...get(FOUND), OP.subtract],
    OP.end,
    OP.end,
  ];
  return { name: "pin", parameters: [I32, I32, I32], locals: [[AT + 1 - HASH, I32]], code };
}

/** The parameters and locals of `unpin`. */
const BUFFER_GIVEN = 0;
const BIT_GIVEN = 1;
const DESCRIPTOR = 2;
const OTHERS_MASK = 3;

function unpinFunction(places: PoolPlaces): WasmFunction {
  const code = [
    ...[...shifted(BUFFER_GIVEN, DESCRIPTOR_SHIFT), ...constant(places.descriptors), OP.add],
    ...[...tee(DESCRIPTOR), ...get(BIT_GIVEN), ...constant(-1), OP.xor, ...tee(OTHERS_MASK)],
    // The bits of others, of which there may be none.
    ...[...atomic(ATOMICS.and, fieldOf(BUFFER.pins)), ...get(OTHERS_MASK), OP.and, OP.isZero],
    ...[...constant(places.header), ...atomic(ATOMICS.load, POOL.unpinnedWaiters * WORD_BYTES)],
    ...[...constant(0), OP.isNotEqual, OP.and, ...constant(1), OP.shiftLeft],
    ...[...get(DESCRIPTOR), ...atomic(ATOMICS.load, fieldOf(BUFFER.waiters))],
    ...[...constant(0), OP.isNotEqual, OP.or],
    OP.end,
  ];
  return { name: "unpin", parameters: [I32, I32], locals: [[2, I32]], code };
}

/** Makes the code of a pool. */
export function makePinCode(places: PoolPlaces, memory: WebAssembly.Memory): PinCode {
  const exports = instantiate(memory, moduleBytes([pinFunction(places), unpinFunction(places)]));
  return { pin: exports["pin"] as PinCode["pin"], unpin: exports["unpin"] as PinCode["unpin"] };
}
