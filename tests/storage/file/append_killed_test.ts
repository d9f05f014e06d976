/** append_killed_test.ts: an append that a program has acknowledged is there after a kill. */

import { assertRejects } from "@std/assert";
import { killAppends } from "../../support/appends/killed_appends.ts";
import { testEachMethod } from "../../support/methods.ts";
import { testSeed } from "../../support/prng.ts";
import { tempDir } from "../../support/temp.ts";

testEachMethod("append() loses nothing that it acknowledged before a kill", async (method) => {
  await using dir = await tempDir();
  await killAppends({ method, kills: 3, seed: testSeed(), dir: dir.path });
});

Deno.test("append() canary: a record that is acknowledged before it is written is lost", async () => {
  await using dir = await tempDir();
  const plan = { method: "sync", kills: 3, seed: testSeed(), dir: dir.path, lies: true };
  await assertRejects(() => killAppends(plan), Error, "Lost");
});
