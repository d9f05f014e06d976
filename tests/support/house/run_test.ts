/**
 * run_test.ts: `deno task test` says what fails, and nothing of what passes. A run in which
 * everything passes: run_long_test.ts.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { planOf, summarize } from "./run.ts";
import { TestOutput, type TestReport } from "./test_output.ts";
import { runFiles } from "./run_of.ts";

function read(output: string, code = 0): TestReport {
  const all = new TestOutput();
  for (const line of output.split("\n")) all.read(line);
  return all.report(code);
}

const FINE = `running 3 tests from ./a_test.ts
a ... ok (1ms)
b ... ignored (0ms)
c ...error: Uncaught (in worker "c") Error: its end, as planned
'c' has been running for over (1m0s)
 ok (2s)
`;

Deno.test("TestOutput counts, lists ignored tests, and drops what is planned", () => {
  assertEquals(read(`${FINE}\nok | 2 passed (1 step) | 0 failed | 1 ignored (2s)\n`), {
    counts: { passed: 2, failed: 0, ignored: 1 },
    ignored: ["b"],
    noise: [],
    failure: [],
  });
});

Deno.test("TestOutput keeps what a passing test prints, with its name", () => {
  const printed = "d ...\n------- output -------\nhello\n----- output end -----\nd ... ok (3µs)";
  const { noise, failure } = read(`${FINE}${printed}\nok | 3 passed | 0 failed (2s)`);
  assertEquals([noise, failure], [["d printed:", "  hello"], []]);
  const uncaught = 'e ...error: Uncaught (in worker "") Error: not planned\n    at x\n ok (1ms)';
  const lines = ['  error: Uncaught (in worker "") Error: not planned', "      at x"];
  assertEquals(read(`${uncaught}\nok | 1 passed | 0 failed (2s)`).noise, ["e printed:", ...lines]);
});

Deno.test("TestOutput takes the lines of steps for no tests", () => {
  const steps = "s ...\n  one ... ok (1ms)\n  two ... ignored (0ms)\ns ... ok (2ms)";
  const { counts, ignored, noise } = read(`${steps}\nok | 1 passed (1 step) | 0 failed (2s)`);
  assertEquals([counts.passed, ignored, noise], [1, ["two"], []]);
});

Deno.test("TestOutput tells what failed tests printed, and Deno's report", () => {
  const failed =
    "d ...\nhello\nd ... FAILED (1ms)\n\n ERRORS \n\nd => ./a_test.ts:1:1\nerror: no\n";
  const { counts, failure } = read(`${FINE}${failed}\nFAILED | 2 passed | 1 failed (2s)\n`, 1);
  assertEquals(counts, { passed: 2, failed: 1, ignored: 0 });
  const report = [" ERRORS ", "", "d => ./a_test.ts:1:1", "error: no", ""];
  assertEquals(failure, ["d printed:", "  hello", ...report]);
});

Deno.test("TestOutput counts a run that broke off, or failed outside of its tests, as failed", () => {
  const broken = read(`${FINE}d ...\npanicked`, 134);
  assertEquals(broken.counts, { passed: 0, failed: 1, ignored: 1 });
  assertEquals(
    broken.failure[0],
    'deno test ended with 134 in the middle of "d". The last lines of its output:',
  );
  assertEquals(broken.failure.at(-1), "panicked");
  const outside = read("a ... ok (1ms)\nok | 1 passed | 0 failed (2s)\nerror: later", 1);
  assertEquals(outside.counts, { passed: 1, failed: 1, ignored: 0 });
  assertEquals(outside.failure.at(-1), "error: later");
});

Deno.test("planOf() divides the suite into a quick and a long part", () => {
  const all = planOf([]).files;
  const quick = planOf(["--quick"]).files;
  const long = planOf(["--long"]).files;
  assertEquals(long.filter((file) => !file.endsWith("_long_test.ts")), []);
  assertEquals(quick.filter((file) => file.endsWith("_long_test.ts")), []);
  assertEquals([...quick, ...long].sort(), [...all].sort());
  assertEquals(planOf(["--filter=/x/", "--quick", "tests/tidy_test.ts"]), {
    part: "quick",
    options: ["--filter=/x/"],
    files: ["tests/tidy_test.ts"],
  });
});

Deno.test("summarize() gives the counts as deno test does", () => {
  const counts = { passed: 12, failed: 0, ignored: 3 };
  assertEquals(summarize(counts, 61_400), "ok | 12 passed | 0 failed | 3 ignored (61s)");
  assertEquals(
    summarize({ ...counts, failed: 1 }, 0),
    "FAILED | 12 passed | 1 failed | 3 ignored (0s)",
  );
});

Deno.test("run.ts prints what fails, and fails", async () => {
  const { code, stdout } = await runFiles({
    "a_test.ts": 'Deno.test("good", () => {}); Deno.test("bad", () => { throw new Error("why") });',
    "b_test.ts": 'Deno.test("leaves", () => Deno.exit(3));',
  });
  assertEquals(code, 1);
  assertEquals(/^(?!.*bad).*good/m.test(stdout), false);
  for (const part of ["bad => ", "error: Error: why", "leaves", "FAILED | 1 passed | 2 failed"]) {
    assertStringIncludes(stdout, part);
  }
});
