/**
 * crc32c_test.ts: the checksum of the log on published values, and piece by piece.
 *
 * @module
 */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { crc32c, crc32cWords, wordTables } from "../../../storage/log/crc32c.ts";
import { BLOCK_WORDS, blockCrcOf } from "../../../storage/log/crc32c_blocks.ts";
import { slowCrc32c } from "../../support/log/log_model.ts";
import { withPrng } from "../../support/prng.ts";

/** RFC 3720, appendix B.4, and the usual check value. */
const VECTORS: readonly (readonly [Uint8Array, number])[] = [
  [new Uint8Array(), 0],
  [new Uint8Array(32), 0x8a9136aa],
  [new Uint8Array(32).fill(0xff), 0x62a8ab43],
  [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  [Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  [new TextEncoder().encode("123456789"), 0xe3069283],
];

Deno.test("crc32c() of published samples is as published", () => {
  for (const [bytes, sum] of VECTORS) {
    assertEquals(crc32c(0, bytes, 0, bytes.length), sum);
    assertEquals(slowCrc32c(bytes), sum);
  }
});

Deno.test("crc32cWords() of published samples is as published", () => {
  for (const [bytes, sum] of VECTORS) {
    if (bytes.length % 4 !== 0) continue;
    const words = new Int32Array(bytes.buffer);
    assertEquals(crc32cWords(0, words, 0, words.length), sum);
  }
});

Deno.test("crc32c(), crc32cWords() of pieces is that of the whole", () =>
  withPrng((prng) => {
    for (let round = 0; round < 300; round++) {
      const bytes = prng.bytes(4 * prng.below(64));
      const words = new Int32Array(bytes.buffer);
      const from = prng.below(words.length + 1);
      const to = prng.between(from, words.length);
      const cut = prng.between(from, to);
      const sum = slowCrc32c(bytes.subarray(4 * from, 4 * to));
      assertEquals(crc32cWords(crc32cWords(0, words, from, cut), words, cut, to), sum);
      const byteCut = prng.between(4 * from, 4 * to);
      assertEquals(crc32c(crc32c(0, bytes, 4 * from, byteCut), bytes, byteCut, 4 * to), sum);
    }
  }));

Deno.test("crc32cWords() of blocks is what the tables say, and goes on behind them", () =>
  withPrng((prng) => {
    for (const Memory of [ArrayBuffer, SharedArrayBuffer]) {
      // More than two pieces of what is copied at a time.
      const bytes = new Uint8Array(new Memory(40 * 4 * BLOCK_WORDS));
      bytes.set(prng.bytes(bytes.length));
      const words = new Int32Array(bytes.buffer);
      for (const blocks of [1, 2, 14, 15, 16, 30, 31, 39]) {
        for (const more of [-1, 0, 1, 5]) {
          const from = prng.below(BLOCK_WORDS - 5);
          const to = from + blocks * BLOCK_WORDS + more;
          const before = prng.below(2 ** 32);
          const sum = crc32c(before, bytes, 4 * from, 4 * to);
          assertEquals(crc32cWords(before, words, from, to), sum, `${from} to ${to}`);
        }
      }
    }
  }));

Deno.test("crc32cWords() of a block changes with each of its bytes", () => {
  const bytes = new Uint8Array(4 * BLOCK_WORDS);
  const words = new Int32Array(bytes.buffer);
  const sum = crc32cWords(0, words, 0, BLOCK_WORDS);
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = 1 << at % 8;
    assertNotEquals(crc32cWords(0, words, 0, BLOCK_WORDS), sum, `byte ${at}`);
    bytes[at] = 0;
  }
});

Deno.test("wordTables() tells what a word does to the CRC of what follows it", () =>
  withPrng((prng) => {
    for (const more of [0, 1, 5, 40]) {
      const tables = wordTables(4 * more);
      const words = new Int32Array(prng.bytes(4 * (1 + more)).buffer);
      const sum = crc32cWords(0, words, 0, words.length);
      const bytes = new Uint8Array(words.buffer, 0, 4);
      const part = bytes.reduce((all, byte, i) => all ^ tables[256 * i + byte]!, 0);
      words[0] = 0;
      assertEquals((crc32cWords(0, words, 0, words.length) ^ part) >>> 0, sum);
    }
  }));

Deno.test("blockCrcOf() goes by the table that it is given", () => {
  const words = new Int32Array(BLOCK_WORDS).fill(1);
  const blocks = blockCrcOf(new Int32Array(256));
  assert(blocks !== null, "this machine has no such vectors");
  assertEquals(blocks.goOn(-1, words, 0, BLOCK_WORDS), 0);
});
