/**
 * doc_pages.ts: the pages of the documentation as the rules about them see them: blocks, tables,
 * code words and prose.
 *
 * @module
 */

import { lineAt } from "./imports.ts";
import { listFiles, readSource } from "./source_files.ts";

/** A page, by its path from the root of the checkout. */
export interface Page {
  readonly path: string;
  readonly text: string;
}

/** Words in backquotes, outside of blocks. */
export interface CodeSpan {
  /** On one line, whatever the page's lines are. */
  readonly text: string;
  readonly line: number;
  /** The head of its column, where it stands in a table. */
  readonly column: string | null;
}

/** A table, by the heading that it stands below. */
export interface Table {
  readonly heading: string;
  readonly columns: readonly string[];
  /** The cells of each row, as written. */
  readonly rows: readonly (readonly string[])[];
}

const FENCED = /^```[^]*?^```$/gm;
const SPAN = /`([^`]+)`/g;

/**
 * The README and the pages of `docs`; what changed and when is in the changelog, which they leave
 * out.
 */
export function readPages(): Page[] {
  const paths = listFiles("docs/").filter((path) => path.endsWith(".md")).sort();
  return ["README.md", ...paths].map(readSource);
}

/** The block that follows a sentence. @returns its text, without the fences */
export function blockAfter({ path, text }: Page, sentence: string): string {
  const at = text.indexOf(sentence);
  const block = at < 0 ? null : /```\w*\n([^]*?)```/.exec(text.slice(at));
  if (block === null) throw new Error(`${path} has no block after "${sentence}"`);
  return block[1]!;
}

/** A page with blocks, or more, blanked out: what is left keeps its place. */
function blank(text: string, ...patterns: readonly RegExp[]): string {
  return patterns.reduce(
    (left, pattern) => left.replaceAll(pattern, (found) => found.replaceAll(/[^\n]/g, " ")),
    text,
  );
}

/** The sentences of a page: no blocks, no code words, no addresses of links. */
export function proseOf({ text }: Page): string {
  return blank(text, FENCED, SPAN, /\]\([^)]*\)/g);
}

/** All words in backquotes. */
export function codeSpansOf({ text }: Page): CodeSpan[] {
  const outside = blank(text, FENCED);
  const lines = outside.split("\n");
  return Array.from(outside.matchAll(SPAN), (found) => {
    const line = lineAt(outside, found.index);
    const start = outside.lastIndexOf("\n", found.index) + 1;
    const column = columnAt(lines, line - 1, found.index - start);
    return { text: found[1]!.replaceAll(/\s+/g, " "), line, column };
  });
}

const isRow = (line: string | undefined) => line !== undefined && line.startsWith("|");

function cellsOf(line: string): string[] {
  return line.replace(/^\|/, "").replace(/\|\s*$/, "").split(/(?<!\\)\|/).map((cell) =>
    cell.trim()
  );
}

/** The head of the column of a table that a place is in; null if it is in none. */
function columnAt(lines: readonly string[], index: number, place: number): string | null {
  if (!isRow(lines[index])) return null;
  let first = index;
  while (isRow(lines[first - 1])) first--;
  const bars = lines[index]!.slice(0, place).match(/(?<!\\)\|/g)!.length;
  return cellsOf(lines[first]!)[bars - 1] ?? null;
}

/** All tables. */
export function tablesOf({ text }: Page): Table[] {
  const lines = blank(text, FENCED).split("\n");
  const tables: { heading: string; columns: string[]; rows: string[][] }[] = [];
  let heading = "";
  for (const [i, line] of lines.entries()) {
    if (line.startsWith("#")) heading = line.replace(/^#+ /, "");
    if (!isRow(line)) continue;
    if (!isRow(lines[i - 1])) tables.push({ heading, columns: cellsOf(line), rows: [] });
    else if (isRow(lines[i - 2]) || !/^[|\s:-]+$/.test(line)) {
      tables.at(-1)!.rows.push(cellsOf(line));
    }
  }
  return tables;
}

/** The code words of one column of a table. */
export function wordsOf(table: Table, column: string): string[] {
  const at = table.columns.indexOf(column);
  if (at < 0) throw new Error(`The table below "${table.heading}" has no column "${column}"`);
  return table.rows.flatMap((row) => Array.from(row[at]!.matchAll(SPAN), ([, word]) => word!));
}

/** The one table below a heading that has a column. */
export function tableWith(page: Page, heading: string, column: string): Table {
  const found = tablesOf(page).filter((table) =>
    table.heading === heading && table.columns.includes(column)
  );
  if (found.length === 1) return found[0]!;
  throw new Error(`${page.path}: ${found.length} tables below "${heading}" with "${column}"`);
}
