/**
 * source_files.ts: the files of the checkout, for the tests that look at them.
 *
 * @module
 */

import type { SourceFile } from "./imports.ts";

/** The root of the checkout. */
export const ROOT = new URL("../../../", import.meta.url);

/**
 * The files of a folder and of those within it.
 *
 * @param folder from the root, with a slash at its end; empty: all of the checkout
 * @returns their paths from the root
 */
export function listFiles(folder = ""): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) => {
    if (name === ".git" || name === "node_modules") return [];
    return isDirectory ? listFiles(`${folder}${name}/`) : [folder + name];
  });
}

/** The same, of TypeScript alone. */
export function listSources(folder = ""): string[] {
  return listFiles(folder).filter((path) => path.endsWith(".ts"));
}

/** A file, by its path from the root. */
export function readSource(path: string): SourceFile {
  return { path, text: Deno.readTextFileSync(new URL(path, ROOT)) };
}
