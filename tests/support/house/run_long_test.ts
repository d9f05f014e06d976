/**
 * run_long_test.ts: what `deno task test` prints where all tests pass.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { runFiles } from "./run_of.ts";

Deno.test("run.ts prints one line where all tests pass", async () => {
  const { code, stdout, stderr } = await runFiles({
    "a_test.ts": 'Deno.test("one", () => {});',
    "b_long_test.ts": 'Deno.test("two", () => {});',
    "c.ts": "throw new Error('no test');",
  });
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.replace(/\d+s/, "0s"), "ok | 2 passed | 0 failed | 0 ignored (0s)\n");
});
