/** log_killed_test.ts: what a log has acknowledged is there after its program was killed. */

import { assertRejects } from "@std/assert";
import { killLog } from "../../support/log/killed_log.ts";
import { testEachMethod } from "../../support/methods.ts";
import { testSeed } from "../../support/prng.ts";
import { tempDir } from "../../support/temp.ts";

const OPTIONS = { segmentBytes: 262_144, bufferBytes: 262_144 };

for (const direct of [false, true]) {
  const name = `a log loses nothing that it acknowledged before a kill${direct ? ", direct" : ""}`;
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    const plan = { method, kills: 3, seed: testSeed(), dir: dir.path };
    await killLog({ ...plan, options: { ...OPTIONS, direct } });
  });
}

Deno.test("log canary: a record that is acknowledged before it is appended is lost", async () => {
  await using dir = await tempDir();
  const plan = { method: "sync", kills: 5, seed: testSeed(), dir: dir.path, options: OPTIONS };
  await assertRejects(() => killLog({ ...plan, lies: true }), Error, "Lost");
});
