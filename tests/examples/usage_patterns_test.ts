/**
 * usage_patterns_test.ts: the examples of the core layer's usage patterns: basic_read.ts,
 * batch_read.ts and vectored_read.ts; and what holds for all small examples. The failures of each,
 * and files of other lengths: usage_patterns_long_test.ts.
 *
 * @module
 */

import { assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { contentAt, tempDir, writeRandomFile } from "../support/temp.ts";
import { examplePath, runOnFile } from "./example_run.ts";
import { PAGE_BYTES, SEED, testBlocks, testFailures } from "./small_examples.ts";

const SMALL_EXAMPLES = [
  "basic_read.ts",
  "batch_read.ts",
  "vectored_read.ts",
  "layered_callbacks.ts",
];
const LINES_LIMIT = 40;

for (const name of SMALL_EXAMPLES) {
  Deno.test(`${name} is short, and handles every status`, async () => {
    const text = await Deno.readTextFile(examplePath(name));
    assertLess(text.trimEnd().split("\n").length, LINES_LIMIT);
    for (const status of ["ok", "partial", "warning", "error", "unknown"]) {
      assertStringIncludes(text, `case "${status}":`);
    }
  });
}

testFailures("basic_read.ts");

Deno.test("basic_read.ts prints the first 8192 bytes, and nothing else", async () => {
  await using dir = await tempDir();
  const text = "äöü, twelve b".repeat(1000);
  await Deno.writeTextFile(dir.join("data"), text);
  const { code, stdout, stderr } = await runOnFile("basic_read.ts", dir.join("data"));
  const first = new TextEncoder().encode(text).subarray(0, PAGE_BYTES);
  assertEquals(stdout, new TextDecoder().decode(first));
  assertEquals(stderr, "");
  assertEquals(code, 0);
});

Deno.test("batch_read.ts shows eight places, and where the file ends", async () => {
  await using dir = await tempDir();
  const bytes = 8 * 600 - 100;
  await writeRandomFile(dir.join("data"), bytes, SEED);
  const { code, stdout, stderr } = await runOnFile("batch_read.ts", dir.join("data"));
  const step = Math.ceil(bytes / 8);
  const expected = Array.from({ length: 8 }, (_, i) => {
    const length = Math.min(512, bytes - i * step);
    return `${i * step}: ${length} bytes, ${contentAt(SEED, i * step, 24).toHex()}\n`;
  });
  assertEquals(stdout, expected.join(""));
  assertEquals(stderr, "");
  assertEquals(code, 0);
});

testBlocks(2 * PAGE_BYTES + 100);
