/**
 * run_of.ts: runs run.ts on made-up test files.
 *
 * @module
 */

import { type ChildResult, runChild, tempDir } from "../temp.ts";

/** Runs it on a folder with these files, by their names. */
export async function runFiles(files: Readonly<Record<string, string>>): Promise<ChildResult> {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("deno.json"), "{}");
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(dir.join(name), text);
  const program = new URL("./run.ts", import.meta.url).pathname;
  const config = new URL("../../../deno.json", import.meta.url).pathname;
  return await runChild(["run", "-A", "--config", config, program, dir.path]);
}
