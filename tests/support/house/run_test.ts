/**
 * run_test.ts: `deno task test` says what fails, and nothing of what passes. A run in which
 * everything passes: run_long_test.ts.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { FILE_MARK } from "./part.ts";
import { drawFiles, groupFiles, LONE_FILES, planOf, SLOW_FILES } from "./plan.ts";
import { passMarks, summarize } from "./run.ts";
import { TestOutput, type TestReport } from "./test_output.ts";
import { Prng } from "../prng.ts";
import { runFiles } from "./run_of.ts";

const FILES = ["a_test.ts", "b_test.ts"];

function read(output: string, code = 0, files = FILES.slice(0, 1)): TestReport {
  const all = new TestOutput(files);
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
const NEXT = `------- post-test output -------
----- post-test output end -----
running 1 test from ./b_test.ts
d ... ok (1ms)
`;

Deno.test("TestOutput counts, lists ignored tests, and drops what is planned", () => {
  assertEquals(read(`${FINE}\nok | 2 passed (1 step) | 0 failed | 1 ignored (2s)\n`), {
    counts: { passed: 2, failed: 0, ignored: 1 },
    files: [{ file: "a_test.ts", ignored: ["b"], printed: [] }],
    failed: [],
    failure: [],
  });
});

Deno.test("TestOutput keeps what a passing test prints, with its name and its file", () => {
  const printed = "e ...\n------- output -------\nhello\n----- output end -----\ne ... ok (3µs)";
  const next = NEXT.replace("1 test", "2 tests");
  const { files, failure } = read(`${FINE}${next}${printed}\nok | 4 passed | 0 failed`, 0, FILES);
  assertEquals([files[1], failure], [
    { file: "b_test.ts", ignored: [], printed: ["e printed:", "  hello"] },
    [],
  ]);
  const uncaught = 'e ...error: Uncaught (in worker "") Error: not planned\n    at x\n ok (1ms)';
  const lines = ['  error: Uncaught (in worker "") Error: not planned', "      at x"];
  const start = "running 1 test from ./a_test.ts\n";
  const [file] = read(`${start}${uncaught}\nok | 1 passed | 0 failed (2s)`).files;
  assertEquals(file!.printed, ["e printed:", ...lines]);
});

Deno.test("TestOutput keeps what is printed between tests", () => {
  const end = "hello\nok | 3 passed | 0 failed (2s)";
  const { files } = read(`one ...\n${FINE}two\n${NEXT}three\n${end}`, 0, FILES);
  const after = "After its tests, or before those of the next:";
  assertEquals(files.map(({ printed }) => printed), [
    ["Before its tests:", "  one ...", after, "  two"],
    [after, "  three", "  hello"],
  ]);
});

Deno.test("TestOutput takes the lines of steps for no tests", () => {
  const start = "running 1 test from ./a_test.ts\n";
  const steps = "s ...\n  one ... ok (1ms)\n  two ... ignored (0ms)\ns ... ok (2ms)";
  const { counts, files } = read(`${start}${steps}\nok | 1 passed (1 step) | 0 failed (2s)`);
  assertEquals([counts.passed, files], [
    1,
    [{ file: "a_test.ts", ignored: ["two"], printed: [] }],
  ]);
});

Deno.test("TestOutput tells what failed tests printed, and Deno's report", () => {
  const failed =
    "e ...\nhello\ne ... FAILED (1ms)\n\n ERRORS \n\ne => ./a_test.ts:1:1\nerror: no\n";
  const start = `${NEXT}${FINE.replace("3", "4")}`;
  const output = `${start}${failed}\nFAILED | 3 passed | 1 failed (2s)\n`;
  const { counts, files, ...rest } = read(output, 1, FILES);
  assertEquals(counts, { passed: 3, failed: 1, ignored: 0 });
  assertEquals(files[0]!.printed, ["e printed:", "  hello"]);
  assertEquals(rest.failed, ["a_test.ts"]);
  assertEquals(rest.failure, [" ERRORS ", "", "e => ./a_test.ts:1:1", "error: no", ""]);
});

Deno.test("TestOutput counts a file that fails outside of its tests as failed", () => {
  const output = `Uncaught error from ./a_test.ts FAILED\n${NEXT}
 ERRORS \n\n./a_test.ts (uncaught error)\nFAILED | 1 passed | 1 failed (2s)`;
  const { counts, files, failed } = read(output, 1, FILES);
  assertEquals([counts, files, failed], [{ passed: 1, failed: 1, ignored: 0 }, [], ["a_test.ts"]]);
  const outside = read(`${FINE}ok | 2 passed | 0 failed (2s)\nerror: later`, 1);
  assertEquals(outside.counts, { passed: 2, failed: 1, ignored: 0 });
  assertEquals([outside.failed, outside.failure.at(-1)], [["a_test.ts"], "error: later"]);
});

Deno.test("TestOutput counts each file without a result as failed where the run broke off", () => {
  const files = ["b_test.ts", "a_test.ts", "c_test.ts"];
  const bad = NEXT.replace("ok", "FAILED");
  const { counts, failed, failure } = read(
    `${bad}${FINE.replace("3", "4")}e ...\nboom`,
    134,
    files,
  );
  assertEquals(counts, { passed: 2, failed: 3, ignored: 1 });
  assertEquals(failed, files);
  assertEquals(failure.slice(0, 4), [
    'Failed in b_test.ts: "d"',
    "a_test.ts has no result",
    "c_test.ts has no result",
    'deno test ended with 134 in the middle of "e" in a_test.ts. The last lines of its output:',
  ]);
  assertEquals(failure.at(-1), "boom");
  const unread = read("error: Module not found", 1, files);
  assertEquals([unread.counts.failed, unread.failed], [3, files]);
  // All tests have ended, but no summary says so.
  assertEquals(read(FINE, 0).counts, { passed: 2, failed: 1, ignored: 1 });
});

Deno.test("TestOutput counts a file that Deno passed over as failed", () => {
  const output = `${FINE}ok | 2 passed | 0 failed | 1 ignored (2s)`;
  const { counts, failed, failure } = read(output, 0, FILES);
  assertEquals([counts.failed, failed, failure], [1, ["b_test.ts"], ["b_test.ts has no result"]]);
});

/** What `deno test` prints of the files of a group. */
const GROUP = `Check group.ts
running 5 tests from ./house/group.ts
${FILE_MARK}a_test.ts ... ok (1ms)
a ... ok (1ms)
hello
${FILE_MARK}b_test.ts ... ok (1ms)
b ... ok (1ms)
c ... FAILED (1ms)
`;

Deno.test("TestOutput tells the files of a group apart", () => {
  const { counts, files, failed } = read(`${GROUP}\nFAILED | 4 passed | 1 failed (2s)`, 1, FILES);
  assertEquals(counts, { passed: 2, failed: 1, ignored: 0 });
  const printed = ["After its tests, or before those of the next:", "  hello"];
  assertEquals(files, [{ file: "a_test.ts", ignored: [], printed }]);
  assertEquals(failed, ["b_test.ts"]);
});

Deno.test("TestOutput counts the files of a group without a result as failed", () => {
  const files = [...FILES, "c_test.ts"];
  const { counts, failed, failure } = read(`${GROUP}d ...\nboom`, 137, files);
  assertEquals(counts, { passed: 2, failed: 3, ignored: 0 });
  assertEquals(failed, ["b_test.ts", "c_test.ts"]);
  assertEquals(failure.slice(0, 4), [
    'Failed in b_test.ts: "c"',
    "b_test.ts has no result",
    "c_test.ts has no result",
    'deno test ended with 137 in the middle of "d" in b_test.ts. The last lines of its output:',
  ]);
});

Deno.test("passMarks() has a filter pass what says which file comes", () => {
  assertEquals(passMarks("--import-map=x"), "--import-map=x");
  assertEquals(passMarks("--filter=/^io_uring:/"), `--filter=/(?:^io_uring:)|^${FILE_MARK}/`);
  const [, pattern] = /^--filter=\/(.*)\/$/.exec(passMarks("--filter=a.b"))!;
  const names = ["a.b", "axb", `${FILE_MARK}x`, `x ${FILE_MARK}`];
  assertEquals(names.filter((name) => new RegExp(pattern!).test(name)), ["a.b", `${FILE_MARK}x`]);
});

Deno.test("planOf() divides the suite into a quick and a long part", () => {
  const all = planOf([]).files;
  const quick = planOf(["--quick"]).files;
  const long = planOf(["--long"]).files;
  assertEquals(quick, all.filter((file) => !file.endsWith("_long_test.ts")));
  assertEquals(all.filter((file) => ![...quick, ...long].includes(file)), []);
  // Quick files that leave something to the long part run there, too.
  const both = long.filter((file) => quick.includes(file));
  assert(both.includes("tests/storage/saturation_test.ts"));
  assert(both.includes("tests/core/life/reapers_test.ts"));
  assertEquals(both.includes("tests/tidy_test.ts"), false);
  assertEquals(planOf(["--filter=/x/", "--quick", "tests/tidy_test.ts"]), {
    part: "quick",
    options: ["--filter=/x/"],
    files: ["tests/tidy_test.ts"],
  });
});

Deno.test("planOf() leaves networked storage to a task of its own", () => {
  for (const part of [[], ["--quick"], ["--long"]]) {
    assertEquals(planOf(part).files.filter((file) => file.startsWith("tests/networked/")), []);
  }
  assert(planOf(["tests/networked"]).files.includes("tests/networked/nbd_test.ts"));
});

Deno.test("drawFiles() draws one in three of the files in which rings hardly matter", () => {
  const all = planOf([]).files;
  const isAbove = (file: string) => file.startsWith("tests/storage/pool/");
  const reached = new Set<string>();
  for (let seed = 0; seed < 50; seed++) {
    const drawn = drawFiles(all, new Prng(seed));
    assertEquals(drawFiles(all, new Prng(seed)), drawn);
    assert(drawn.length < all.length, `${drawn.length} of ${all.length}`);
    for (const file of drawn) reached.add(file);
  }
  assertEquals(all.filter((file) => !reached.has(file)), []);
  const [drawn, above] = [drawFiles(all), all.filter(isAbove)];
  assert(drawn.filter(isAbove).length < above.length, `${above.length}`);
});

Deno.test("groupFiles() begins with long and slow files, and ends with small groups", () => {
  const names = Array.from({ length: 40 }, (_, i) => `${i}_test.ts`);
  const [slowest] = SLOW_FILES;
  const groups = groupFiles([...names, slowest!, "x_long_test.ts"], 2);
  assertEquals(groups[0], ["x_long_test.ts"]);
  assertEquals(groups[1], [slowest!, ...names.slice(0, 10)]);
  assertEquals(groups.slice(1).map(({ length }) => length), [11, 8, 6, 4, 3, 3, 2, 2, 2]);
  assertEquals(groups.flat().length, 42);
});

Deno.test("SLOW_FILES and LONE_FILES are files of the quick part", () => {
  const { files } = planOf(["--quick"]);
  assertEquals([...SLOW_FILES, ...LONE_FILES].filter((file) => !files.includes(file)), []);
});

Deno.test("summarize() gives the counts as deno test does", () => {
  const counts = { passed: 12, failed: 0, ignored: 3 };
  assertEquals(summarize(counts, 61_400), "ok | 12 passed | 0 failed | 3 ignored (61s)");
  assertEquals(
    summarize({ ...counts, failed: 1 }, 0),
    "FAILED | 12 passed | 1 failed | 3 ignored (0s)",
  );
});

Deno.test("run.ts prints what fails, and counts files that a crash leaves without a result", async () => {
  const good = 'Deno.test("good", () => {});';
  const files: Record<string, string> = {};
  // The first two share a process, however many of those run at a time.
  for (let i = 1; i <= 9; i++) files[`${i}_test.ts`] = good;
  files["1_test.ts"] = `${good} Deno.test("dies", () => Deno.kill(Deno.pid, "SIGKILL"));`;
  files["8_test.ts"] = `${good} Deno.test("bad", () => { throw new Error("why"); });`;
  files["9_test.ts"] = 'Deno.test("leaves", () => Deno.exit(3));';
  const { code, stdout } = await runFiles(files);
  assertEquals(code, 1);
  for (const part of ["bad => ", "error: Error: why", "leaves", "FAILED | 7 passed | 4 failed"]) {
    assertStringIncludes(stdout, part);
  }
  assertMatch(stdout, /^\S*1_test.ts has no result\n\S*2_test.ts has no result$/m);
  assertMatch(stdout, /ended with 137 in the middle of "dies" in \S*1_test\.ts/);
  assertEquals(/^== .*[3-7]_test/m.test(stdout), false);
});
