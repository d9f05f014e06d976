/** log_threads_test.ts: threads append to one log, and die at any step. */

import { assertFound } from "../../support/canary.ts";
import { runLogThreads } from "../../support/log/log_threads.ts";
import { testLogThreads } from "../../support/log/log_threads_check.ts";

testLogThreads(200, 0);
testLogThreads(100, 1, { follows: true });
testLogThreads(80, 1, { direct: false });

Deno.test("sync: canary: the model of logs finds one that is told a wrong position", async () => {
  const plan = { method: "sync", threads: 2, records: 300, deaths: 0, direct: false } as const;
  await assertFound((seed) => runLogThreads({ ...plan, seed, lies: true }));
});
