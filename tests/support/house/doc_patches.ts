/**
 * doc_patches.ts: changes to files that a page shows as blocks of `diff`, and how they are made.
 *
 * The file is the last one that is named before the block. A block has one hunk or several, with
 * `@@` between them. A hunk has no line numbers: the lines that it shows of the file, those that
 * begin with a space or `-`, must be there once. A block of nothing but `+` is a new file.
 *
 * @module
 */

import { readSource } from "./source_files.ts";

/** The change of one file. */
export interface Patch {
  /** The file, from the root of the checkout. */
  readonly path: string;
  /** What is replaced, and by what. */
  readonly hunks: readonly (readonly [before: string, after: string])[];
}

/** The page with the checklists. */
const EXTENDING = "docs/extending.md";
const BLOCK = /^```diff\n([^]*?)^```$/gm;
const FILE = /`([\w/]+\.ts)`/g;

/** The changes that a page shows, in order. */
export function patchesOf(page: string): Patch[] {
  return Array.from(page.matchAll(BLOCK), ({ 1: block, index }) => {
    const path = Array.from(page.slice(0, index).matchAll(FILE), ([, file]) => file!).at(-1);
    if (path === undefined) throw new Error(`No file is named before the block "${block}"`);
    return { path, hunks: block!.split("@@\n").map(hunkOf) };
  });
}

function hunkOf(text: string): readonly [before: string, after: string] {
  const lines = text.trimEnd().split("\n");
  const without = (sign: string) =>
    lines.filter((line) => !line.startsWith(sign)).map((line) => line.slice(1)).join("\n");
  return [without("+"), without("-")];
}

/**
 * What a file is after a change.
 *
 * @param text what it was; null: there was no such file
 * @throws if what a hunk shows is not there, or more than once
 */
export function patched(text: string | null, { path, hunks }: Patch): string {
  if (text === null) {
    const [hunk] = hunks;
    if (hunks.length !== 1 || hunk![0] !== "") {
      throw new Error(`${path} is not there to be changed`);
    }
    return `${hunk![1]}\n`;
  }
  return hunks.reduce((left, [before, after]) => {
    const parts = left.split(`\n${before}\n`);
    if (parts.length !== 2) {
      throw new Error(
        `${path} has ${parts.length - 1} times what the page shows of it:\n${before}`,
      );
    }
    return parts.join(`\n${after}\n`);
  }, text);
}

/** The changes that a checklist of docs/extending.md shows. */
export function checklist(heading: string): Patch[] {
  const { text } = readSource(EXTENDING);
  const from = text.indexOf(`\n## ${heading}\n`);
  if (from < 0) throw new Error(`${EXTENDING} has no checklist "${heading}"`);
  const to = text.indexOf("\n## ", from + 1);
  return patchesOf(text.slice(from, to < 0 ? undefined : to));
}
