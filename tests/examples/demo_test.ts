/**
 * demo_test.ts: examples/demo.ts: its verdict, what it leaves behind (nothing), and its refusals.
 * Its table, a file of its usual size or one that it is given, a terminal, and other ends than
 * Ctrl-C: demo_long_test.ts.
 *
 * @module
 */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { formatNumber, formatTable, type MeasuredGroup, wrap } from "../../examples/demo/table.ts";
import { FileProblem, SampleFile } from "../../examples/demo/sample_file.ts";
import { parseCommand, UsageError } from "../../examples/demo/options.ts";
import { formatVerdict } from "../../examples/demo/verdict.ts";
import { tempDir } from "../support/temp.ts";
import {
  actWhen,
  assertEmpty,
  checkTemporary,
  EXIT_INTERRUPTED,
  littleRoom,
  runDemo,
  SHORT,
  WIDTH_MAX,
} from "./demo_run.ts";

Deno.test("demo.ts makes a file, begins with its verdict, and removes the file", async () => {
  await using dir = await littleRoom();
  await checkTemporary(dir);
});

/** Refused files, by what makes them and the sentence that refuses them. */
const REFUSED: readonly (readonly [string, (path: string) => void, RegExp])[] = [
  ["a missing file", () => {}, /^There is no file ".*data"$/],
  ["a directory", (path) => Deno.mkdirSync(path), /^".*data" is a directory: give a file$/],
  ["an empty file", (path) => Deno.writeTextFileSync(path, ""), /^".*data" is empty$/],
  [
    "a file that is too small",
    (path) => Deno.writeTextFileSync(path, "x"),
    /^".*data" is too small: it has 1 bytes, and the demo needs at least 1,048,576$/,
  ],
  ["a device", (path) => Deno.symlinkSync("/dev/zero", path), /^".*data" is not a regular file$/],
];

for (const [what, make, sentence] of REFUSED) {
  Deno.test(`demo's SampleFile.given() refuses ${what} in one sentence`, async () => {
    await using dir = await tempDir();
    make(dir.join("data"));
    const problem = await assertRejects(() => SampleFile.given(dir.join("data")), FileProblem);
    assertMatch(problem.message, sentence);
  });
}

Deno.test("demo.ts says nothing but that sentence of a file that it refuses", async () => {
  await using dir = await tempDir();
  await using other = await tempDir();
  const { code, stdout, stderr } = await runDemo(dir, [other.join("data")]);
  assertMatch(stderr, /^There is no file ".*data"\n$/);
  assertEquals(stdout, "");
  assertEquals(code, 1);
  assertEmpty(dir);
});

Deno.test("demo's parseCommand() takes a file, --all and seconds, and refuses all else", () => {
  const defaults = { path: undefined, all: false, seconds: 5, help: false };
  assertEquals(parseCommand([]), defaults);
  assertEquals(parseCommand(["--all"]), { ...defaults, all: true, seconds: 12 });
  const given = { ...defaults, path: "data", seconds: 3.5 };
  assertEquals(parseCommand(["-s", "3.5", "data"]), given);
  assertEquals(parseCommand(["-a", "data", "-s3.5"]), { ...given, all: true });
  assertEquals(parseCommand(["--", "-h"]), { ...defaults, path: "-h" });
  const wrong = [["a", "b"], [""], ["-x"], ["-s"], ["-s", "x"], ["-s", "0.9"], ["-s", "1e9"]];
  for (const args of [...wrong, ["--help=1"], ["--seconds="], ["-s", "NaN"]]) {
    assertThrows(() => parseCommand(args), UsageError, undefined, args.join(" "));
  }
});

Deno.test("demo's formatTable() aligns numbers to the right and compares with the first line", () => {
  const contenders = ["first", "second"].map((name) => ({ name, run: () => 0 }));
  const measured: MeasuredGroup = {
    group: { title: "1,000 bytes", readBytes: 1000, isDirect: false, contenders },
    figures: [
      { reads: 2000, seconds: 1, cpuSeconds: 2 },
      { reads: 12_345_000, seconds: 1, cpuSeconds: 0.5 },
    ],
  };
  const [header, rule, title, ...rows] = formatTable([measured], (text) => `*${text}*`).split("\n");
  assertMatch(header!, /^ +IOPS +MB\/s +µs\/read +CPU µs\/read +vs 1st$/);
  assertEquals(title, "*1,000 bytes*");
  const cells = rows.map((row) => row.trim().split(/ +/));
  assertEquals(cells[0], ["first", "2,000", "2", "500.00", "1,000.00", "1.00x"]);
  assertEquals(cells[1], ["second", "12,345,000", "12,345", "0.08", "0.04", "6,172.50x"]);
  for (const line of [header!, rule!, ...rows]) assertEquals(line.length, WIDTH_MAX);
  assertEquals(formatNumber(1234.567, 1), "1,234.6");
});

/** A group of the verdict, and what its contenders reached in a second. */
function measuredGroup(
  readBytes: number,
  isDirect: boolean,
  reached: Readonly<Record<string, number>>,
): MeasuredGroup {
  const contenders = Object.keys(reached).map((name) => ({ name, inVerdict: name, run: () => 0 }));
  contenders.push({ name: "another way", inVerdict: "", run: () => 0 });
  const rest = contenders.map(({ inVerdict, ...contender }) =>
    inVerdict === "" ? contender : { ...contender, inVerdict }
  );
  const group = { title: "title", inVerdict: "reads", readBytes, isDirect, contenders: rest };
  const figures = [...Object.values(reached), 1].map((reads) => ({
    reads,
    seconds: 1,
    cpuSeconds: 1,
  }));
  return { group, figures };
}

Deno.test("demo's formatVerdict() compares the last with the first, and nothing with direct reads", () => {
  const measured = [
    measuredGroup(4096, false, { theirs: 30_400, others: 9_440, ours: 244_300 }),
    measuredGroup(4096, false, { theirs: 800, ours: 1_000 }),
    measuredGroup(131_072, false, { theirs: 10_000, ours: 5_000 }),
    measuredGroup(4096, true, { one: 100_000, another: 50_000 }),
  ];
  assertEquals(formatVerdict(measured, false).split("\n"), [
    "reads: theirs 30 k/s, others 9.4 k/s, ours 244 k/s (8 times)",
    "reads: theirs 800 /s, ours 1.0 k/s (1.3 times)",
    "reads: theirs 1.3 GB/s, ours 0.7 GB/s (0.5 times)",
  ]);
  assertEquals(formatVerdict(measured, true), "reads: one 100 k/s, another 50 k/s");
  assertEquals(formatVerdict([], true), "");
});

Deno.test("demo's wrap() breaks a long text between words, at the width of the table", () => {
  assertEquals(wrap("short text"), "short text");
  const lines = wrap("word ".repeat(50).trimEnd()).split("\n");
  assertEquals(lines.map((line) => line.trim()).join(" "), "word ".repeat(50).trimEnd());
  assertEquals(lines.map((line) => line.length), [99, 96, 56]);
});

Deno.test("demo.ts removes its file after Ctrl-C", async () => {
  await using dir = await tempDir();
  const { status } = await actWhen(dir, [SHORT], /^Making/, (child) => child.kill("SIGINT"));
  assertEquals(status.signal, null);
  assertEquals(status.code, EXIT_INTERRUPTED);
  assertEmpty(dir);
});
