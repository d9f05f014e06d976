/**
 * fuzz_long_test.ts: more and longer random programs than those of fuzz_test.ts and
 * fuzz_threads_test.ts, and one more canary.
 */

import { CORE_METHODS } from "../support/core_methods.ts";
import { fuzzCore } from "../support/fuzz/fuzz_run.ts";
import { fuzzThreads } from "../support/fuzz/fuzz_threads.ts";
import { testThreadsCanary } from "../support/fuzz/fuzz_threads_canary.ts";
import { isMappedPart } from "../support/house/part.ts";
import { testSeed } from "../support/prng.ts";

const RUNS = isMappedPart() ? 10 : 30;
const STEPS = 2000;
const RUNS_IN_THREADS = isMappedPart() ? 4 : 10;
const STEPS_IN_THREADS = 1500;
/** Keeps these programs apart from those of the quick tests. */
const SEED_STEP = 1000;

for (const { name: method, ignore } of CORE_METHODS) {
  Deno.test({
    name: `${method}: ${RUNS} random programs of the core find everything as it should be`,
    ignore,
    async fn() {
      for (let run = 1; run <= RUNS; run++) {
        await fuzzCore({ method, seed: (testSeed() + run * SEED_STEP) >>> 0, steps: STEPS });
      }
    },
  });

  Deno.test({
    name: `${method}: ${RUNS_IN_THREADS} random programs in three threads find the same`,
    ignore,
    async fn() {
      for (let run = 1; run <= RUNS_IN_THREADS; run++) {
        const seed = (testSeed() + run * SEED_STEP) >>> 0;
        await fuzzThreads({ method, seed, steps: STEPS_IN_THREADS, rounds: 3 });
      }
    },
  });
}

testThreadsCanary("another thread's read ends with an error that there was not");
