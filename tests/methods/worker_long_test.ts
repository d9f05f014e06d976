/**
 * worker_long_test.ts: what worker_test.ts shows, with a larger least number of Workers, and with
 * every way to end for Workers that are replaced.
 */

import { FAULTS } from "./fixtures/worker_faults.ts";
import { testLeast } from "../support/workers/pool_size.ts";
import { testReplaced } from "../support/workers/replaced.ts";
import { Prng, testSeed } from "../support/prng.ts";

const random = new Prng(testSeed());

for (const count of [1, random.between(4, 16), random.between(17, 31), 32]) testLeast(count);

for (const how of Object.keys(FAULTS) as (keyof typeof FAULTS)[]) testReplaced(how);
