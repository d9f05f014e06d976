/**
 * testing_page_test.ts: blocks of docs/testing.md run as they stand, and print what the page says;
 * testing_page_long_test.ts has those that take longer.
 */

import { assertEquals } from "@std/assert";
import { blocksOf } from "../support/clone.ts";
import { PAGE, runProgram, testProgram } from "../support/testing_page.ts";

testProgram("crash.ts");

Deno.test("docs/testing.md: each broken log is found, with the seed of a state", async () => {
  const withoutSeeds = (lines: string[]) =>
    lines.map((line) => line.replace(/seed \d+:[\da-f]+, after step \d+: .*$/, "seed"));
  const said = blocksOf(PAGE, "text").at(-1)!.trim().split("\n");
  assertEquals(withoutSeeds(await runProgram("broken.ts")), withoutSeeds(said));
  assertEquals(withoutSeeds(said).join(), "Hasty: seed,Forgetful: seed,Careless: seed");
});
