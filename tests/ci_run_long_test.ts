/**
 * ci_run_long_test.ts: `.ci/run` judges a run rightly, whichever way one stage fails. Several
 * failures in one run, and what the script sums: ci_run_test.ts.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { runScript, verdict } from "./support/house/ci_script.ts";

Deno.test(".ci/run adds failed tests and fails", async () => {
  const test = { output: "FAILED | 9 passed (1 step) | 3 failed (2 steps) (4s)", status: 1 };
  assertEquals(await verdict({ test }), ["114 passed, 3 failed", false]);
});

Deno.test(".ci/run counts a stage that fails without a count as one failed", async () => {
  const broken = { output: "error: Type checking failed.", status: 1 };
  assertEquals(await verdict({ tidy: broken }), ["117 passed, 1 failed", false]);
  assertEquals(await verdict({ test: broken }), ["105 passed, 1 failed", false]);
  assertEquals(await verdict({ tidy: broken, doc: broken, test: broken }), [
    "103 passed, 3 failed",
    false,
  ]);
});

Deno.test(".ci/run distrusts a run whose status and counts disagree", async () => {
  const test = { output: "ok | 12 passed | 0 failed (4s)", status: 1 };
  assertEquals(await verdict({ test }), ["117 passed, 1 failed", false]);
  assertEquals(await verdict({ test: { output: "nothing" } }), ["105 passed, 1 failed", false]);
});

Deno.test(".ci/run fails where no test ran", async () => {
  const test = { output: "ok | 0 passed | 0 failed (4s)" };
  assertEquals(await verdict({ test }), ["105 passed, 1 failed", false]);
});

Deno.test(".ci/run lists ignored tests, and refuses them with CI=true", async () => {
  const test = {
    output: "uring: it reads ... ignored (0ms)\n  a step ... ignored (1ms)\n" +
      "ok | 12 passed | 0 failed | 1 ignored (1 step) (4s)",
  };
  assertEquals(await verdict({ test }), ["117 passed, 2 failed", false]);
  assertEquals(await verdict({ test }, {}), ["117 passed, 0 failed", true]);
  const { stdout } = await runScript({ test }, {});
  assertStringIncludes(stdout, "ignored: uring: it reads\nignored: a step\n");
  const unnamed = { output: "ok | 12 passed | 0 failed | 2 ignored (4s)" };
  assertEquals(await verdict({ test: unnamed }), ["117 passed, 2 failed", false]);
});

Deno.test(".ci/run takes the last summary of a run, and no test's own output", async () => {
  const test = { output: "ok | 70 passed | 0 failed (1s)\nok | 12 passed | 0 failed (4s)" };
  assertEquals(await verdict({ test }), ["117 passed, 0 failed", true]);
  const indented = { output: "  ok | 70 passed | 0 failed (1s)" };
  assertEquals(await verdict({ test: indented }), ["105 passed, 1 failed", false]);
});
