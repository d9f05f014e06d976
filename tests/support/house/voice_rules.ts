/**
 * voice_rules.ts: words that pages and comments do without, as their sentences do not show who
 * acts: "who" where "whoever" is meant, "nobody but", what "is asked" or "is told", "in vain". Each
 * fault is one line of text.
 *
 * @module
 */

import { type Page, proseOf } from "./doc_pages.ts";
import { commentsOf, lineAt, type SourceFile } from "./imports.ts";

interface Measure {
  readonly pattern: RegExp;
  readonly remedy: string;
}

/**
 * "Who" is fine after those whom it is about (those who attach), and in a question, which follows a
 * verb (it says who sleeps) or is a heading.
 */
const PEOPLE =
  "those|they|anybody|anyone|somebody|someone|everybody|everyone|nobody|people|readers|users";
const ASKING =
  "(?:say|ask|know|see|show|find out|look|decide)(?:s|ed|ing)?|knew|saw|shown|said|known";
const PRONOUN = new RegExp(`(?<!\\b(?:${PEOPLE}|${ASKING}),?\\s+)\\bwho\\b`, "gi");

const MEASURES: readonly Measure[] = [
  { pattern: PRONOUN, remedy: "say whoever, or name it: a thread, a waiter, the closer" },
  { pattern: /\b(?:nobody|no one) but\b/gi, remedy: "say only" },
  {
    pattern: /\b(?:is|are|was|were|be|been|being)\s+(?:not\s+)?(?:asked(?!\s+for)|told)\b/gi,
    remedy: "say who asks, or what it hears",
  },
  { pattern: /\bin vain\b/gi, remedy: "say for nothing, or without effect" },
];

/** The faults of a text, by the lines of it. */
function findIn(path: string, text: string, firstLine: number): string[] {
  return MEASURES.flatMap(({ pattern, remedy }) =>
    Array.from(text.matchAll(pattern), (found) => {
      const line = firstLine + lineAt(text, found.index) - 1;
      return `${path}:${line}: "${found[0].replaceAll(/\s+/g, " ")}": ${remedy}`;
    })
  );
}

/** The faults of pages. Headings may be questions. */
export function findVoiceFaults(pages: readonly Page[]): string[] {
  return pages.flatMap((page) => {
    const prose = proseOf(page).replaceAll(/^#.*$/gm, "");
    return findIn(page.path, prose, 1);
  });
}

/**
 * The faults of the comments of sources. What a comment shows as code or in quotes is not its
 * voice.
 */
export function findCommentFaults(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) =>
    commentsOf(file).flatMap(({ value, range: [start] }) => {
      const text = value.replaceAll(/^[ *]+/gm, " ").replaceAll(/`[^`]*`|"[^"\n]*"/g, "");
      return findIn(file.path, text, lineAt(file.text, start));
    })
  );
}
