/**
 * verify_pool_test.ts: pages verified by workers get the same verdict as in the main thread.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { pageChecksum } from "../../../examples/pg_checksums/page.ts";
import { type BadPage, type PageRun, verifyPages } from "../../../examples/pg_checksums/verify.ts";
import { VerifyPool } from "../../../examples/pg_checksums/verify_pool.ts";

const PAGE_BYTES = 8192;
const PAGE_WORDS = PAGE_BYTES / 4;
const CHECKSUM_WORD = 2;
const RUN_PAGES = 128;
const FIRST_BLOCK = 640;
const BLOCKS_BEFORE = 262_144;
/** Far more attempts than it takes until workers have started. */
const ATTEMPTS_MAX = 2000;

/** Pages with right checksums in shared memory, except at some places. */
function runWithBadPages(badIndexes: number[]): PageRun {
  const bytes = new Uint8Array(new SharedArrayBuffer(RUN_PAGES * PAGE_BYTES));
  const words = new Uint32Array(bytes.buffer);
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index, 2654435761);
  for (let page = 0; page < RUN_PAGES; page++) {
    const start = page * PAGE_WORDS;
    const checksum = pageChecksum(words, start, PAGE_WORDS, BLOCKS_BEFORE + FIRST_BLOCK + page);
    words[start + CHECKSUM_WORD]! &= 0xffff0000;
    words[start + CHECKSUM_WORD]! |= checksum;
  }
  for (const page of badIndexes) words[(page + 1) * PAGE_WORDS - 1]! ^= 1;
  return { bytes, blockSize: PAGE_BYTES, firstBlock: FIRST_BLOCK, blocksBefore: BLOCKS_BEFORE };
}

/** Gives a pool work until a worker takes some. */
async function untilWorkerTakes(pool: VerifyPool, run: PageRun): Promise<Promise<BadPage[]>> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const answer = pool.verify(run);
    if (answer instanceof Promise) {
      await answer;
      return answer;
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  throw new Error("no worker took anything");
}

Deno.test("verifyPages() finds the bad pages of a run and numbers them in their file", () => {
  const run = runWithBadPages([0, 77, 127]);
  assertEquals(verifyPages(run).map(({ block }) => block), [640, 717, 767]);
  assertEquals(verifyPages(runWithBadPages([])), []);
});

Deno.test("verifyPages() leaves out what is no whole page", () => {
  const run = runWithBadPages([2]);
  const cut = { ...run, bytes: run.bytes.subarray(0, 3 * PAGE_BYTES - 1) };
  assertEquals(verifyPages(cut), []);
});

Deno.test("VerifyPool.verify() answers at once for what is small", () => {
  using pool = new VerifyPool();
  const run = runWithBadPages([1]);
  const answer = pool.verify({ ...run, bytes: run.bytes.subarray(0, 2 * PAGE_BYTES) });
  assert(Array.isArray(answer));
  assertEquals(answer.map(({ block }) => block), [641]);
});

Deno.test({
  name: "VerifyPool.verify() has workers find what the main thread would",
  ignore: navigator.hardwareConcurrency < 2,
  fn: async () => {
    using pool = new VerifyPool();
    const runs = [[3, 50], [], [127], [0, 1, 2]].map(runWithBadPages);
    await untilWorkerTakes(pool, runs[0]!);
    const answers = runs.map((run) => pool.verify(run));
    for (const answer of answers) assertInstanceOf(answer, Promise);
    assertEquals(await Promise.all(answers), runs.map(verifyPages));
  },
});
