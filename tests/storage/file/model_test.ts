/**
 * model_test.ts: random reads, writes and truncations, many at once, against a model in memory.
 * The seed is printed; a canary shows that the comparison would tell. More seeds:
 * model_long_test.ts.
 *
 * @module
 */

import { assert, assertRejects, assertStringIncludes } from "@std/assert";
import { type Model, runModel } from "../../support/file_model.ts";
import { testEachMethod } from "../../support/methods.ts";
import { describeSeed, testSeed } from "../../support/prng.ts";

testEachMethod(
  "readAt(), writeAt() and truncate() do as a model in memory does",
  (method) => runModel(method, testSeed()),
);

testEachMethod("the model notices one wrong bit, and the error shows the seed", async (method) => {
  const flipOne = (model: Model) => {
    assert(model.bytes.length > 0);
    model.bytes.set([model.bytes[0]! ^ 1], 0);
  };
  const error = await assertRejects(() => runModel(method, 4_711, flipOne), Error);
  assertStringIncludes(error.message, describeSeed(4_711));
});
