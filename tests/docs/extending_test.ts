/**
 * extending_test.ts: the checklists of docs/extending.md are short, and their changes fit the
 * checkout. That those changes are all that it takes: extending_long_test.ts.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { existsSync } from "node:fs";
import { checklist, patched, patchesOf } from "../support/house/doc_patches.ts";
import { isLibrary } from "../support/house/imports.ts";
import { readSource, ROOT } from "../support/house/source_files.ts";

const CASES = "tests/core/io/operation_test.ts";
/** A newcomer should have to touch no more files than this. */
const LIBRARY_FILES_MAX = 4;

Deno.test("docs/extending.md: an operation is four files of the library, and its case", () => {
  const paths = [...new Set(checklist("Add an operation").map(({ path }) => path))];
  const library = paths.filter(isLibrary);
  assertEquals(paths.filter((path) => !isLibrary(path)), [CASES]);
  assert(library.length <= LIBRARY_FILES_MAX, library.join(", "));
});

Deno.test("docs/extending.md: a method is two files of the library", () => {
  const paths = checklist("Add a method").map(({ path }) => path);
  assertEquals(paths, ["methods/inline.ts", "methods/registry.ts"]);
});

Deno.test("docs/extending.md: a layer is two files of the library, and its test", () => {
  const paths = checklist("Add a layer").map(({ path }) => path);
  assertEquals(paths, ["storage/blank.ts", "storage/layers.ts", "tests/storage/blank_test.ts"]);
});

for (const heading of ["Add an operation", "Add a method", "Add a layer"]) {
  Deno.test(`docs/extending.md: "${heading}" shows lines that the checkout has`, () => {
    const files = new Map<string, string>();
    for (const patch of checklist(heading)) {
      const isThere = existsSync(new URL(patch.path, ROOT));
      const text = files.get(patch.path) ?? (isThere ? readSource(patch.path).text : null);
      files.set(patch.path, patched(text, patch));
    }
    assertGreater(files.size, 1);
  });
}

Deno.test("patchesOf() takes the file that is named last, and each hunk", () => {
  const page = "In `a.ts` or `b/c.ts`:\n\n```diff\n+new\n old\n@@\n-gone\n```\n\nThen:\n\n" +
    "```diff\n x\n+y\n```\n";
  assertEquals(patchesOf(page), [
    { path: "b/c.ts", hunks: [["old", "new\nold"], ["gone", ""]] },
    { path: "b/c.ts", hunks: [["x", "x\ny"]] },
  ]);
});

Deno.test("patched() refuses what is not there, or twice", () => {
  const patch = { path: "a.ts", hunks: [["old", "new"]] } as const;
  assertEquals(patched("a\nold\nb\n", patch), "a\nnew\nb\n");
  for (const text of ["a\nolder\nb\n", "a\nold\nold\nold\n"]) {
    assertThrows(() => patched(text, patch), Error, "what the page shows of it");
  }
});

Deno.test("patched() makes a file of nothing but new lines, and refuses to change what is not there", () => {
  assertEquals(patched(null, { path: "a.ts", hunks: [["", "a\n\nb"]] }), "a\n\nb\n");
  const change = { path: "a.ts", hunks: [["old", "new"]] } as const;
  assertThrows(() => patched(null, change), Error, "a.ts is not there");
});
