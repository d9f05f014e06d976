/** log_threads_test.ts: threads append to one log, and die at any step. */

import { assertGreater } from "@std/assert";
import { assertFound } from "../../support/canary.ts";
import { runLogThreads } from "../../support/log/log_threads.ts";
import { testEachMethod } from "../../support/methods.ts";
import { describeSeed, testSeed } from "../../support/prng.ts";

/** Registers the test of four threads. */
function testThreads(records: number, deaths: number, direct: boolean): void {
  const ways = deaths === 0 ? "live" : "die at any atomic step";
  const name = `a log of ${4 * records} records by threads that ${ways} loses none`;
  testEachMethod(`${name}${direct ? ", direct" : ""}`, async (method) => {
    const seed = testSeed();
    try {
      const died = await runLogThreads({ method, seed, threads: 4, records, deaths, direct });
      if (deaths > 0) assertGreater(died, 0);
    } catch (error) {
      throw new Error(describeSeed(seed), { cause: error });
    }
  });
}

testThreads(500, 0, false);
testThreads(500, 3, false);
testThreads(300, 2, true);

Deno.test("sync: canary: the model of logs finds one that is told a wrong position", async () => {
  const plan = { method: "sync", threads: 2, records: 300, deaths: 0, direct: false } as const;
  await assertFound((seed) => runLogThreads({ ...plan, seed, lies: true }));
});
