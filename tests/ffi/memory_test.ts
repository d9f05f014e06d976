/**
 * memory_test.ts: addresses in two halves, and alignment, up to 2^53.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  alignUp,
  fromWords,
  highWord,
  isAligned,
  isPowerOfTwo,
  lowWord,
} from "../../ffi/memory.ts";
import { type Prng, withPrng } from "../support/prng.ts";

const EDGES = [
  0,
  1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 32 + 1,
  2 ** 47 - 4096,
  2 ** 52 - 1,
  2 ** 53 - 1,
];

function check(value: number): void {
  const words = Int32Array.of(lowWord(value), highWord(value));
  assertEquals(fromWords(words[0]!, words[1]!), value);
  const asBigInt = new BigInt64Array(words.buffer)[0]!;
  assertEquals(asBigInt, BigInt(value), `the two words of ${value}, as the kernel reads them`);
}

Deno.test("lowWord() and highWord() are what fromWords() puts together, at the edges", () => {
  for (const value of EDGES) check(value);
});

Deno.test("lowWord() and highWord() are what fromWords() puts together, at random", () =>
  withPrng((prng: Prng) => {
    for (let i = 0; i < 10_000; i++) check(prng.below(2 ** prng.between(1, 52)));
  }));

Deno.test("isAligned() is right beyond 32 bits", () => {
  assert(isAligned(0, 4096));
  assert(isAligned(2 ** 52, 4096));
  assert(!isAligned(2 ** 52 + 512, 4096));
  assert(isAligned(2 ** 52 + 512, 512));
  assert(isAligned(7, 1));
});

Deno.test("alignUp() gives the least multiple that is not below", () => {
  assertEquals(alignUp(0, 4096), 0);
  assertEquals(alignUp(1, 4096), 4096);
  assertEquals(alignUp(4096, 4096), 4096);
  assertEquals(alignUp(2 ** 40 + 1, 512), 2 ** 40 + 512);
  assertEquals(alignUp(5, 1), 5);
});

Deno.test("isPowerOfTwo() takes the powers up to 2^52 and nothing else", () => {
  for (let exponent = 0; exponent <= 52; exponent++) assert(isPowerOfTwo(2 ** exponent));
  for (const value of [0, -1, -2, 3, 0.5, 6, 2 ** 33 + 1, 2 ** 52 + 1, NaN, Infinity]) {
    assert(!isPowerOfTwo(value), String(value));
  }
});
