/**
 * clone.ts: programs of the documentation, run as they stand in a folder that is like a clone.
 *
 * @module
 */

import { runChild, tempDir } from "./temp.ts";

const ROOT = new URL("../../", import.meta.url);
const CLONED = ["mod.ts", "core/", "ffi/", "methods/", "storage/", "testing/"];

/** How the documentation imports a release. */
const RELEASE = "https://example.com/deno-aio/";
/** The line between what two programs print. */
const SEPARATOR = "== the next program ==\n";

/** A page of the documentation, by its path from the root. */
export function readPage(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, ROOT));
}

/** The blocks of a page in one language, in order. */
export function blocksOf(page: string, language: string): string[] {
  const blocks = page.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, "g"));
  return Array.from(blocks, ([, source]) => source!);
}

/**
 * Runs programs, each saved as a module in a folder that is like a clone. One process imports them
 * one after the other, and the clone's modules are the checkout's: Deno has those translated.
 *
 * @param files others of that folder, by their names
 * @returns what each printed; of those after a failed one, nothing
 */
export async function runInClone(
  sources: readonly string[],
  files: Readonly<Record<string, string>> = {},
): Promise<{ code: number; stderr: string; outputs: readonly string[] }> {
  await using dir = await tempDir();
  const names = sources.map((_, i) => `./example_${i}.ts`);
  for (const [i, name] of names.entries()) await Deno.writeTextFile(dir.join(name), sources[i]!);
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(dir.join(name), text);
  const main = names.map((name) =>
    `await import("${name}");\nconsole.log(${JSON.stringify(SEPARATOR.trim())});\n`
  );
  await Deno.writeTextFile(dir.join("main.ts"), main.join(""));
  const cloned = CLONED.map((path) => [`./${path}`, new URL(path, ROOT).href]);
  const imports = { ...Object.fromEntries(cloned), [RELEASE]: ROOT.href };
  await Deno.writeTextFile(dir.join("imports.json"), JSON.stringify({ imports }));
  const args = ["run", "-A", "--no-lock", "--import-map=imports.json", "main.ts"];
  const options = { cwd: dir.path, env: { NO_COLOR: "1" } };
  const { code, stdout, stderr } = await runChild(args, options);
  return { code, stderr, outputs: stdout.split(SEPARATOR).slice(0, sources.length) };
}
