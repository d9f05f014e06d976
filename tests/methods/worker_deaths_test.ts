/**
 * worker_deaths_test.ts: IO Workers die at random moments, in every way there is, while IO goes on: every
 * IO is done, every byte is right, and the pool is whole in the end. The same for 100,000 IOs, and 200
 * starts and ends of a pool: `deno task soak:workers`.
 */

import { assert, assertEquals } from "@std/assert";
import { describeSeed, Prng, testSeed } from "../support/prng.ts";
import { runDeaths } from "../support/worker_deaths.ts";

const IOS = 10_000;
const DEATHS_MIN = 20;

for (const family of ["bySelf", "terminate"] as const) {
  Deno.test(`worker: random deaths of Workers lose no IO and no byte (${family})`, async () => {
    const seed = testSeed();
    const { wrong, left, deaths } = await runDeaths(IOS, new Prng(seed), family);
    assertEquals([wrong, left], [0, []], describeSeed(seed));
    assert(deaths >= DEATHS_MIN, `only ${deaths} died: ${describeSeed(seed)}`);
  });
}

Deno.test("worker canary: a byte that is wrong is found", async () => {
  const seed = testSeed();
  const { wrong } = await runDeaths(500, new Prng(seed), "terminate", { isSpoilt: true });
  assert(wrong > 0, describeSeed(seed));
});
