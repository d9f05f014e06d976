/**
 * demo_long_test.ts: examples/demo.ts with all that it measures, with a file of its usual size, and
 * with little room.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mountTmpfs, tempDir, tmpfsAvailable, writeRandomFile } from "../support/temp.ts";
import {
  assertBeginsWithVerdict,
  assertEmpty,
  assertTableComplete,
  checkTemporary,
  MIB,
  runDemo,
  SHORT,
  WIDTH_MAX,
} from "./demo_run.ts";

Deno.test("demo.ts --all prints the table of all ways below the verdict", async () => {
  await using dir = await tempDir();
  await using other = await tempDir();
  await writeRandomFile(other.join("data"), 4 * MIB, 1);
  const { code, stdout, stderr } = await runDemo(dir, ["--all", SHORT, other.join("data")]);
  assertEquals(code, 0, stderr);
  assertBeginsWithVerdict(stdout);
  assertTableComplete(stdout);
  const table = stdout.slice(stdout.indexOf("IOPS"));
  for (const line of table.split("\n")) assert(line.length <= WIDTH_MAX, line);
  assertEmpty(dir);
});

Deno.test("demo.ts makes a file of its usual size where there is room", async () => {
  await using dir = await tempDir();
  await checkTemporary(dir);
});

Deno.test({
  name: "demo.ts makes a shorter file where there is little room, and none where there is less",
  ignore: !tmpfsAvailable(),
  fn: async () => {
    await using little = await mountTmpfs(100 * MIB);
    const { code, stdout, stderr } = await runDemo(little, [SHORT]);
    assertEquals(code, 0, stderr);
    assertMatch(stderr, /^Making a temporary file of 25 MiB\n/);
    assertBeginsWithVerdict(stdout);
    assertStringIncludes(stdout, "\nRead: a temporary file, 25 MiB, ");
    assertStringIncludes(stdout, "The file is in a tmpfs");
    assertEmpty(little);
    await using less = await mountTmpfs(40 * MIB);
    const refused = await runDemo(less, [SHORT]);
    assertMatch(
      refused.stderr,
      /^There is too little room for a temporary file in "[^\n]*TMPDIR\n$/,
    );
    assertEquals(refused.code, 1);
    assertEmpty(less);
  },
});
