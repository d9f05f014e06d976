/**
 * model_long_test.ts: what model_test.ts shows, with more seeds.
 *
 * @module
 */

import { runModel } from "../../support/file_model.ts";
import { testEachMethod } from "../../support/methods.ts";
import { testSeed } from "../../support/prng.ts";

const TURNS = 8;

for (let turn = 1; turn <= TURNS; turn++) {
  testEachMethod(
    `readAt(), writeAt() and truncate() do as a model in memory does (${turn})`,
    (method) => runModel(method, (testSeed() + turn) >>> 0),
  );
}
