/** log_killed_test.ts: what a log has acknowledged is there after its program was killed. */

import { assertRejects } from "@std/assert";
import { killLog } from "../../support/log/killed_log.ts";
import { KILLED_OPTIONS, testLogKilled } from "../../support/log/killed_log_check.ts";
import { testSeed } from "../../support/prng.ts";
import { tempDir } from "../../support/temp.ts";

testLogKilled(1, {});
testLogKilled(1, { direct: false });

Deno.test("log canary: a record that is acknowledged before it is appended is lost", async () => {
  await using dir = await tempDir();
  const plan = { method: "sync", kills: 5, seed: testSeed(), dir: dir.path };
  const killed = () => killLog({ ...plan, options: KILLED_OPTIONS, lies: true });
  await assertRejects(killed, Error, "Lost");
});
