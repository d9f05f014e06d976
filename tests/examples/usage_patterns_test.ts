/**
 * usage_patterns_test.ts: the examples of the core layer's usage patterns: basic_read.ts,
 * batch_read.ts and vectored_read.ts; and what holds for all small examples.
 *
 * @module
 */

import { assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { contentAt, tempDir, writeRandomFile } from "../support/temp.ts";
import { examplePath, runFreely, runOnFile, UNREADABLE } from "./example_run.ts";

const SMALL_EXAMPLES = [
  "basic_read.ts",
  "batch_read.ts",
  "vectored_read.ts",
  "layered_callbacks.ts",
];
const LINES_LIMIT = 40;
const PAGE_BYTES = 8192;
const SEED = 7;

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

for (const name of SMALL_EXAMPLES) {
  Deno.test(`${name} is short, and handles every status`, async () => {
    const text = await Deno.readTextFile(examplePath(name));
    assertLess(text.trimEnd().split("\n").length, LINES_LIMIT);
    for (const status of ["ok", "partial", "warning", "error", "unknown"]) {
      assertStringIncludes(text, `case "${status}":`);
    }
  });

  Deno.test(`${name} tells how it is used`, async () => {
    const { code, stderr } = await runFreely(name, []);
    assertStringIncludes(stderr, `Usage: ${name} FILE`);
    assertEquals(code, 1);
  });

  Deno.test(`${name} names a file that is not there`, async () => {
    await using dir = await tempDir();
    const { code, stdout, stderr } = await runOnFile(name, dir.join("absent"));
    assertMatch(stderr, /NotFound: .*absent.*ENOENT/);
    assertEquals(stdout, "");
    assertEquals(code, 1);
  });

  Deno.test({
    name: `${name} ends with the system's error where a read fails`,
    ignore: Deno.build.os !== "linux",
    fn: async () => {
      const { code, stderr } = await runFreely(name, [UNREADABLE]);
      assertMatch(stderr, /could not read bytes 0\.\.\d+ in file "\/proc\/self\/mem": .*EIO/);
      assertEquals(code, 1);
    },
  });
}

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

for (const bytes of [4 * PAGE_BYTES, 2 * PAGE_BYTES + 100, PAGE_BYTES, 1]) {
  Deno.test(`vectored_read.ts prints the SHA-256 of the blocks of ${bytes} bytes`, async () => {
    await using dir = await tempDir();
    await writeRandomFile(dir.join("data"), bytes, SEED);
    const { code, stdout, stderr } = await runOnFile("vectored_read.ts", dir.join("data"));
    const expected: string[] = [];
    for (let offset = 0; offset < bytes; offset += PAGE_BYTES) {
      const block = contentAt(SEED, offset, Math.min(PAGE_BYTES, bytes - offset));
      const hash = await sha256(block);
      expected.push(
        `block ${offset / PAGE_BYTES}: ${block.length} bytes, SHA-256 ${hash}\n`,
      );
    }
    assertEquals(stdout, expected.join(""));
    assertEquals(stderr, "");
    assertEquals(code, 0);
  });
}
