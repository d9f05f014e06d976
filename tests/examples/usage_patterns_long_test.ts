/**
 * usage_patterns_long_test.ts: what usage_patterns_test.ts shows with one small example, or with
 * one file, for the others.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { tempDir } from "../support/temp.ts";
import { runOnFile } from "./example_run.ts";
import { PAGE_BYTES, testBlocks, testFailures } from "./small_examples.ts";

for (const name of ["batch_read.ts", "vectored_read.ts", "layered_callbacks.ts"]) {
  testFailures(name);
}

for (const text of ["", "short\n"]) {
  Deno.test(`basic_read.ts prints all of a file of ${text.length} bytes`, async () => {
    await using dir = await tempDir();
    await Deno.writeTextFile(dir.join("data"), text);
    const { code, stdout, stderr } = await runOnFile("basic_read.ts", dir.join("data"));
    assertEquals(stdout, text);
    assertEquals(stderr, "");
    assertEquals(code, 0);
  });
}

for (const bytes of [4 * PAGE_BYTES, PAGE_BYTES, 1]) testBlocks(bytes);
