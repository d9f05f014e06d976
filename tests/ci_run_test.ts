/**
 * ci_run_test.ts: `.ci/run` sums and judges right. Each way to fail alone: ci_run_long_test.ts.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { checkDenoVersion } from "../core/life/open_aio.ts";
import { runScript, SCRIPT, verdict } from "./support/house/ci_script.ts";

Deno.test(".ci/run sums the counts of every test run", async () => {
  assertEquals(await verdict({}), ["117 passed, 0 failed", true]);
});

Deno.test(".ci/run says what each stage lacks, and counts it as failed", async () => {
  const { stdout, code } = await runScript({
    tidy: { output: "error: Type checking failed.", status: 1 },
    doc: { output: "ok | 70 passed | 0 failed (1s)\nok | 2 passed | 0 failed (1s)", status: 1 },
    test: { output: "FAILED | 9 passed (1 step) | 3 failed (2 steps) (4s)", status: 1 },
    "test:long": { output: "  ok | 70 passed | 0 failed (1s)" },
    "test:mapped": { output: "ok | 0 passed | 0 failed (4s)" },
    "test:oldest": {
      output: "uring: it reads ... ignored (0ms)\nok | 10 passed | 0 failed | 2 ignored (4s)",
    },
  });
  const lines = stdout.trimEnd().split("\n");
  assertEquals(lines.filter((line) => line.startsWith("ignored")), [
    "ignored: uring: it reads",
    "ignored: 1 more, whose names could not be read",
  ]);
  assertEquals(lines.slice(lines.findIndex((line) => line.startsWith("problem"))), [
    "problem: format, lint and types: exit status 1",
    "problem: documentation: exit status 1",
    "problem: tests: exit status 1",
    "problem: long tests: no test counts in its output",
    "problem: tests with mapped rings: no test ran",
    "problem: tests with the oldest Deno: 2 ignored tests, whose needs CI should meet",
    "21 passed, 9 failed",
  ]);
  assertEquals(code, 1);
});

Deno.test(".ci/run takes ignored tests where CI is not set", async () => {
  const test = { output: "a ... ignored (0ms)\nok | 12 passed | 0 failed | 1 ignored (4s)" };
  assertEquals(await verdict({ test }, {}), ["117 passed, 0 failed", true]);
});

Deno.test(".ci/run has the least version of Deno that opening an Aio takes", async () => {
  const [, version] = /DENO_VERSION_MIN=([\d.]+)/.exec(await Deno.readTextFile(SCRIPT)) ?? [];
  checkDenoVersion(version ?? "");
  const [, before, patch] = /^(.+)\.(\d+)$/.exec(version ?? "") ?? [];
  assertThrows(() => checkDenoVersion(`${before}.${Number(patch) - 1}`), Deno.errors.NotSupported);
});
