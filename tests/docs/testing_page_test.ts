/**
 * testing_page_test.ts: each block of docs/testing.md runs as it stands, and prints what the page
 * says.
 */

import { assertEquals } from "@std/assert";
import { blocksOf, readPage, runInClone } from "../support/clone.ts";

const PAGE = await readPage("docs/testing.md");

/** The blocks by the file that their first line names. */
const FILES = new Map(
  blocksOf(PAGE, "ts").map((source) => [/^\/\/ (\S+)\n/.exec(source)![1]!, source]),
);

/** Runs one program of the page. @returns the lines that it printed */
async function run(name: string): Promise<string[]> {
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

for (const name of ["crash.ts", "twice.ts", "faults.ts"]) {
  Deno.test(`docs/testing.md: ${name} prints what it says`, async () => {
    assertEquals(await run(name), saidOf(name));
  });
}

Deno.test("docs/testing.md: each broken log is found, with the seed of a state", async () => {
  const withoutSeeds = (lines: string[]) =>
    lines.map((line) => line.replace(/seed \d+:[\da-f]+, after step \d+: .*$/, "seed"));
  const said = blocksOf(PAGE, "text").at(-1)!.trim().split("\n");
  assertEquals(withoutSeeds(await run("broken.ts")), withoutSeeds(said));
  assertEquals(withoutSeeds(said).join(), "Hasty: seed,Forgetful: seed,Careless: seed");
});
