/**
 * worker_long_test.ts: what worker_test.ts shows of a least number of Workers, with more of them.
 */

import { testLeast } from "../support/workers/pool_size.ts";
import { Prng, testSeed } from "../support/prng.ts";

const random = new Prng(testSeed());

for (const count of [random.between(9, 16), random.between(17, 31), 32]) testLeast(count);
