/** guarantees_test.ts: each line of docs/guarantees.md names tests that are there, and a record. */

import { assertEquals, assertGreater } from "@std/assert";
import { existsSync } from "node:fs";
import { type Page, tablesOf } from "../support/house/doc_pages.ts";
import { readSource, ROOT } from "../support/house/source_files.ts";

const COLUMNS = ["guaranteed", "shown by", "the record so far"];
const SECTIONS = ["Durability", "Lifetimes", "Threads that die", "Permissions", "The event loop"];

/** The rows that lack a test, or a record, and the tests that are not there. */
function findFaults(page: Page): string[] {
  return tablesOf(page).flatMap(({ heading, columns, rows }) => {
    if (columns.join() !== COLUMNS.join()) return [`${heading}: its columns are ${columns}`];
    return rows.flatMap(([guaranteed, shownBy, record]) => {
      const paths = Array.from(shownBy!.matchAll(/`([^`]+)`/g), ([, path]) => path!);
      const faults = paths.filter((path) =>
        !/^tests\/.*_test\.ts$/.test(path) || !existsSync(new URL(path, ROOT))
      ).map((path) => `${path} is no test that is there`);
      if (paths.length === 0) faults.push(`"${guaranteed}" names no test`);
      if (record === "") faults.push(`"${guaranteed}" has no record`);
      return faults;
    });
  });
}

Deno.test("docs/guarantees.md: each line names tests that are there, and a record", () => {
  const page = readSource("docs/guarantees.md");
  assertEquals(findFaults(page), []);
  const headings = tablesOf(page).map(({ heading }) => heading);
  for (const section of SECTIONS) assertEquals(headings.includes(section), true, section);
  for (const { heading, rows } of tablesOf(page)) assertGreater(rows.length, 2, heading);
});

Deno.test("docs canary: a guarantee without a test, or without a record, is found", () => {
  const faults = (row: string) =>
    findFaults({
      path: "docs/a.md",
      text: `## A\n\n| ${COLUMNS.join(" | ")} |\n| --- | --- | --- |\n| it holds | ${row} |\n`,
    });
  assertEquals(faults("`tests/tidy_test.ts` | 3 tests"), []);
  assertEquals(faults("| 3 tests"), ['"it holds" names no test']);
  assertEquals(faults("`tests/tidy_test.ts` |"), ['"it holds" has no record']);
  for (const path of ["tests/no_such_test.ts", "tests/support/temp.ts", "core/mod.ts"]) {
    assertEquals(faults(`\`${path}\` | 3 tests`), [`${path} is no test that is there`]);
  }
  const other = findFaults({
    path: "docs/a.md",
    text: "## A\n\n| b | c |\n| --- | --- |\n| d | e |\n",
  });
  assertEquals(other, ["A: its columns are b,c"]);
});
