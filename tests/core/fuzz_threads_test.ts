/**
 * fuzz_threads_test.ts: random programs of the core in three threads on one Aio, on every method:
 * each with a model of its own backend (fuzz_test.ts), waiting for each other's IO, attaching and
 * detaching. A failure shows the seeds and the last steps; `AIO_TEST_SEED=<the run's seed>` runs
 * the same programs again, but the threads may take turns in another order.
 *
 * The canary breaks a rule in one thread, which another one has to notice; another canary is in
 * fuzz_long_test.ts.
 */

import { CORE_METHODS } from "../support/core_methods.ts";
import { methodsOfPart } from "../support/methods.ts";
import { fuzzThreads, FuzzWorkers } from "../support/fuzz/fuzz_threads.ts";
import { testThreadsCanary } from "../support/fuzz/fuzz_threads_canary.ts";
import { testSeed } from "../support/prng.ts";
import { shareAmongTests } from "../support/shared.ts";

const STEPS = 150;
const ROUNDS = 2;

const workersOf = shareAmongTests(() => Promise.resolve(new FuzzWorkers()));

const NAME = "random programs in three threads find everything as it should be";
for (const { name: method, ignore } of methodsOfPart(NAME, CORE_METHODS)) {
  Deno.test({
    name: `${method}: ${NAME}`,
    ignore,
    async fn() {
      const plan = { method, seed: testSeed(), steps: STEPS, rounds: ROUNDS };
      await fuzzThreads(plan, workersOf());
    },
  });
}

testThreadsCanary("another thread's IO is said to be done, but is not");
