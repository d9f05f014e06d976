/**
 * deaths_test.ts: IO Workers die at random moments, in every way there is, while IO goes on: every
 * IO is done, every byte is right, and the pool is whole in the end. With more IO:
 * deaths_long_test.ts; with 100,000, and 200 starts and ends of a pool: `deno task soak:workers`.
 */

import { assert } from "@std/assert";
import { describeSeed, Prng, testSeed } from "../../support/prng.ts";
import { runDeaths, testWorkerDeaths } from "../../support/deaths/worker_deaths.ts";

testWorkerDeaths(450);

Deno.test("worker canary: a byte that is wrong is found", async () => {
  const seed = testSeed();
  const { wrong } = await runDeaths(100, new Prng(seed), "terminate", { isSpoilt: true });
  assert(wrong > 0, describeSeed(seed));
});
