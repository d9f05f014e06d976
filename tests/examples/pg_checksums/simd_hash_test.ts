/**
 * simd_hash_test.ts: the hash of a page by vectors is the plain one.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { hashColumns } from "../../../examples/pg_checksums/page.ts";
import { startSimdHash } from "../../../examples/pg_checksums/simd_hash.ts";

const MEMORY_BYTES = 128 * 1024;
const BLOCK_SIZES = [1024, 2048, 4096, 8192, 16384, 32768];

/** Bytes that look random, others for each seed. */
function fill(bytes: Uint8Array, seed: number): void {
  let state = seed | 1;
  for (let i = 0; i < bytes.length; i++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    bytes[i] = state >>> 24;
  }
}

const simd = startSimdHash(MEMORY_BYTES);

for (const bytes of BLOCK_SIZES) {
  Deno.test({
    name: `startSimdHash() hashes pages of ${bytes} bytes as hashColumns() does`,
    ignore: simd === undefined,
    fn: () => {
      const { memory, hash } = simd!;
      const words = new Uint32Array(memory.buffer);
      const pageWords = bytes / 4;
      for (let seed = 1; seed <= 20; seed++) {
        fill(memory, seed);
        for (let start = 0; start < words.length; start += pageWords) {
          assertEquals(hash(words, start, pageWords), hashColumns(words, start, pageWords));
        }
      }
    },
  });
}

Deno.test({
  name: "startSimdHash() hashes pages of one bit as hashColumns() does",
  ignore: simd === undefined,
  fn: () => {
    const { memory, hash } = simd!;
    const words = new Uint32Array(memory.buffer);
    memory.fill(0);
    for (let bit = 0; bit < 8192 * 8; bit += 7) {
      memory[bit >>> 3] = 1 << (bit & 7);
      assertEquals(hash(words, 0, 2048), hashColumns(words, 0, 2048));
      memory[bit >>> 3] = 0;
    }
  },
});

Deno.test({
  name: "startSimdHash() has as much memory as is asked for",
  ignore: simd === undefined,
  fn: () => {
    assert(simd!.memory.length >= MEMORY_BYTES);
    assert(startSimdHash(1024 * 1024)!.memory.length >= 1024 * 1024);
  },
});
