/** generation_long_test.ts: what generation_test.ts shows of two threads, with more generations. */

import { testForeignGeneration } from "./generations.ts";
import { shareThread } from "./session.ts";

const startSession = shareThread();

for (const generation of [2 ** 31, 2 ** 32, 2 ** 40 + 2 ** 31 + 7]) {
  testForeignGeneration(generation, startSession);
}
