/**
 * simd_hash_test.ts: the hash of a page by vectors is the plain one.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { hashColumns } from "../../../examples/pg_checksums/page.ts";
import { startSimdHash } from "../../../examples/pg_checksums/simd_hash.ts";

const MEMORY_PAGES = 2;
const BLOCK_SIZES = [1024, 2048, 4096, 8192, 16384, 32768];

/** Bytes that look random, others for each seed. */
function fill(bytes: Uint8Array, seed: number): void {
  let state = seed | 1;
  for (let i = 0; i < bytes.length; i++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    bytes[i] = state >>> 24;
  }
}

const MEMORIES = {
  "memory of its own": new WebAssembly.Memory({ initial: MEMORY_PAGES }),
  "shared memory": new WebAssembly.Memory({
    initial: MEMORY_PAGES,
    maximum: MEMORY_PAGES,
    shared: true,
  }),
};

for (const [what, memory] of Object.entries(MEMORIES)) {
  const hash = startSimdHash(memory);
  const ignore = hash === undefined;
  const bytes = new Uint8Array(memory.buffer);
  const words = new Uint32Array(memory.buffer);

  for (const blockSize of BLOCK_SIZES) {
    const name =
      `startSimdHash() hashes pages of ${blockSize} bytes in ${what} as hashColumns() does`;
    Deno.test({
      name,
      ignore,
      fn: () => {
        const pageWords = blockSize / 4;
        for (let seed = 1; seed <= 20; seed++) {
          fill(bytes, seed);
          for (let start = 0; start < words.length; start += pageWords) {
            assertEquals(hash!(words, start, pageWords), hashColumns(words, start, pageWords));
          }
        }
      },
    });
  }

  Deno.test({
    name: `startSimdHash() hashes pages of one bit in ${what} as hashColumns() does`,
    ignore,
    fn: () => {
      bytes.fill(0);
      for (let bit = 0; bit < 8192 * 8; bit += 7) {
        bytes[bit >>> 3] = 1 << (bit & 7);
        assertEquals(hash!(words, 0, 2048), hashColumns(words, 0, 2048));
        bytes[bit >>> 3] = 0;
      }
    },
  });

  Deno.test({
    name: `startSimdHash() takes no bit of the checksum in ${what}`,
    ignore,
    fn: () => {
      fill(bytes, 1);
      const plain = hash!(words, 0, 2048);
      for (let bit = 0; bit < 16; bit++) {
        bytes[8 + (bit >>> 3)]! ^= 1 << (bit & 7);
        assertEquals(hash!(words, 0, 2048), plain);
      }
    },
  });
}
