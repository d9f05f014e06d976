/**
 * small_examples.ts: the tests that several small examples, or several files, have in common.
 *
 * @module
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { contentAt, tempDir, writeRandomFile } from "../support/temp.ts";
import { runFreely, runOnFile, UNREADABLE } from "./example_run.ts";

export const PAGE_BYTES = 8192;
export const SEED = 7;

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Registers the tests of what an example says where it cannot read. */
export function testFailures(name: string): void {
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

/** Registers a test of vectored_read.ts on a file of so many bytes. */
export function testBlocks(bytes: number): void {
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
