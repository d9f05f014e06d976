/**
 * decisions_test.ts: each paragraph of docs/decisions.md has a reason, a cost and what shows that.
 */

import { assertEquals, assertGreater } from "@std/assert";
import { readSource } from "../support/house/source_files.ts";

const PARTS: readonly (readonly [string, RegExp])[] = [
  ["reason", /\bbecause\b/i],
  ["cost", /\bCost: /],
  ["command or test", /\b(measured by|shown by|measured once|not measured)\b/i],
];

interface Decision {
  readonly title: string;
  readonly text: string;
}

/** The paragraphs below the first subject, on one line each. */
function decisionsOf(page: string): Decision[] {
  return page.slice(page.indexOf("\n## ")).split(/\n{2,}/).filter((text) =>
    !text.trim().startsWith("#")
  ).map((text) => {
    const line = text.replaceAll(/\s+/g, " ").trim();
    return { title: /^\*\*(.+?)\*\*/.exec(line)?.[1] ?? "", text: line };
  });
}

function findFaults(decisions: readonly Decision[]): string[] {
  return decisions.flatMap(({ title, text }) => {
    if (title === "") return [`"${text.slice(0, 60)}" does not begin with what was decided`];
    return PARTS.filter(([, pattern]) => !pattern.test(text)).map(([part]) =>
      `${title}: no ${part}`
    );
  });
}

Deno.test("docs/decisions.md: each paragraph has a reason, a cost and what shows it", () => {
  const decisions = decisionsOf(readSource("docs/decisions.md").text);
  assertGreater(decisions.length, 50);
  assertEquals(findFaults(decisions), []);
});

Deno.test("docs canary: a decision that lacks a part is found", () => {
  const faults = (text: string) =>
    findFaults(decisionsOf(`# A\n\nIntroduction.\n\n## B\n\n${text}\n`));
  const whole = "**It is so.** Because of this.\nCost: none. Shown\nby `tests/tidy_test.ts`.";
  assertEquals(faults(`${whole}\n\n### C\n\n${whole}`), []);
  assertEquals(faults(whole.replace("Because", "As")), ["It is so.: no reason"]);
  assertEquals(faults(whole.replace("Cost: none. ", "")), ["It is so.: no cost"]);
  assertEquals(faults(whole.replace("Shown\nby", "See")), ["It is so.: no command or test"]);
  assertEquals(faults("It is so.\n\nIt was so."), [
    '"It is so." does not begin with what was decided',
    '"It was so." does not begin with what was decided',
  ]);
});
