/**
 * workers_test.ts: {@linkcode jobsAtFirstSight} sees how many threads a command line asks for, as
 * {@linkcode parseCommand} does, and makes nothing of one that is wrong.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { parseCommand, UsageError } from "../../../examples/pg_checksums/options.ts";
import { jobsAtFirstSight } from "../../../examples/pg_checksums/workers.ts";

const RIGHT = [
  ["DIR"],
  ["--jobs", "2", "DIR"],
  ["DIR", "--jobs=32"],
  ["--jobs=3", "--json", "--jobs", "4", "DIR"],
  ["--jobs", "1", "DIR"],
  ["3"],
];
const WRONG = [
  ["--jobs"],
  ["--jobs="],
  ["--jobs", "0"],
  ["--jobs=33"],
  ["--jobs", "-2"],
  ["--jobs=0x2"],
];

for (const args of RIGHT) {
  Deno.test(`jobsAtFirstSight() sees what is meant by ${args.join(" ")}`, () => {
    const command = parseCommand(args);
    assertEquals(command.kind === "check" && command.options.jobs, jobsAtFirstSight(args));
  });
}

for (const args of WRONG) {
  Deno.test(`jobsAtFirstSight() makes nothing of ${args.join(" ")}`, () => {
    assertThrows(() => parseCommand([...args, "DIR"].slice(0, 2)), UsageError);
    assertEquals(jobsAtFirstSight(args), 1);
  });
}

Deno.test("jobsAtFirstSight() sees no need for threads to show help", () => {
  assertEquals(jobsAtFirstSight(["--jobs", "4", "--help"]), 1);
});
