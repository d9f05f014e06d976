/**
 * clone.ts: programs of the documentation, run as they stand in a folder that looks like a clone.
 *
 * @module
 */

import { type ChildResult, runChild, type TempDir, tempDir } from "./temp.ts";

const ROOT = new URL("../../", import.meta.url);
const FOLDERS = ["core", "ffi", "methods", "storage"];

/** How the documentation imports a release. */
const RELEASE = "https://example.com/deno-aio/";

/** A page of the documentation, by its path from the root. */
export function readPage(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, ROOT));
}

/** The blocks of a page in one language, in order. */
export function blocksOf(page: string, language: string): string[] {
  const blocks = page.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, "g"));
  return Array.from(blocks, ([, source]) => source!);
}

async function tempClone(): Promise<TempDir> {
  const dir = await tempDir();
  for (const name of ["mod.ts", ...FOLDERS]) {
    await Deno.symlink(new URL(name, ROOT), dir.join(name));
  }
  return dir;
}

/** Runs a program that is saved in a clone as `example.ts`; a release it imports is the clone. */
export async function runInClone(source: string): Promise<ChildResult> {
  await using dir = await tempClone();
  await Deno.writeTextFile(dir.join("example.ts"), source);
  const imports = { [RELEASE]: "./" };
  await Deno.writeTextFile(dir.join("imports.json"), JSON.stringify({ imports }));
  const args = ["run", "-A", "--no-lock", "--import-map=imports.json", "example.ts"];
  return await runChild(args, { cwd: dir.path, env: { NO_COLOR: "1" } });
}
