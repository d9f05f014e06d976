/**
 * scan_test.ts: {@linkcode compareNames} has the names of files in the order of their numbers, and
 * those with one number in the order of a dictionary.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { compareNames } from "../../../examples/pg_checksums/scan.ts";

const FORKS = ["", "_fsm", "_init", "_vm"];
const SEGMENTS = ["", ".1", ".2", ".10"];
const NUMBERS = ["2", "10", "t3_16384", "note", "Note"];
const NAMES = NUMBERS.flatMap((number) =>
  FORKS.flatMap((fork) => SEGMENTS.map((segment) => `${number}${fork}${segment}`))
);

Deno.test("compareNames() orders all names of relations as a dictionary does", () => {
  const dictionary = new Intl.Collator("en", { numeric: true });
  for (const one of NAMES) {
    for (const other of NAMES) {
      const found = Math.sign(compareNames(one, other));
      assertEquals(found, dictionary.compare(one, other), `${one} and ${other}`);
    }
  }
});
