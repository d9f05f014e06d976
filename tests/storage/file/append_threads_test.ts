/** append_threads_test.ts: threads append to one file, and die at any step. */

import { runAppends } from "../../support/appends/append_model.ts";
import {
  testAppendDeaths,
  testAppendModel,
  testAppendsOnFullDisk,
} from "../../support/appends/append_model_check.ts";
import { assertFound } from "../../support/canary.ts";

testAppendModel(200, 0);
testAppendDeaths(25);
testAppendsOnFullDisk(500);

Deno.test("sync: canary: the model of appends finds one that is told a wrong place", async () => {
  const plan = { method: "sync", threads: 2, records: 300, deaths: 0, lies: true } as const;
  await assertFound((seed) => runAppends({ ...plan, seed }));
});
