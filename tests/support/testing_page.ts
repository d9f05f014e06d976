/**
 * testing_page.ts: runs the programs of docs/testing.md as they stand, for the tests of that page.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { blocksOf, readPage, runInClone } from "./clone.ts";

/** The page. */
export const PAGE = await readPage("docs/testing.md");

/** The blocks by the file that their first line names. */
const FILES = new Map(
  blocksOf(PAGE, "ts").map((source) => [/^\/\/ (\S+)\n/.exec(source)![1]!, source]),
);

/** Runs one program of the page. @returns the lines that it printed */
export async function runProgram(name: string): Promise<string[]> {
  const program = FILES.get(name)!;
  const { code, stderr, outputs } = await runInClone([program], Object.fromEntries(FILES));
  assertEquals([code, stderr], [0, ""]);
  return outputs[0]!.trim().split("\n");
}

/** What the page says that a program prints, in comments. */
function saidOf(command: string): string[] {
  const block = blocksOf(PAGE, "sh").find((source) => source.includes(command))!;
  return block.split("\n").flatMap((line) => /# (.*)/.exec(line)?.[1] ?? []);
}

/** Registers a test that a program prints what the page says. */
export function testProgram(name: string): void {
  Deno.test(`docs/testing.md: ${name} prints what it says`, async () => {
    assertEquals(await runProgram(name), saidOf(name));
  });
}
