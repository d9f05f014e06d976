/**
 * ci_script.ts: runs `.ci/run` in a folder of its own, with a made-up `npx` that prints what a run
 * of Deno would and exits as it would.
 *
 * @module
 */

import { join } from "@std/path";
import { type ChildResult, runChild, tempDir } from "../temp.ts";

/** The script. */
export const SCRIPT = join(import.meta.dirname ?? ".", "..", "..", "..", ".ci", "run");

/** What the made-up Deno does for a task. */
export interface TaskResult {
  readonly output: string;
  readonly status?: number;
}

const FINE: Readonly<Record<string, TaskResult>> = {
  tidy: { output: "Checked 3 files" },
  doc: { output: "ok | 2 passed | 0 failed (1s)" },
  test: { output: "a ... ok (1ms)\nok | 12 passed (3 steps) | 0 failed (4s)" },
  "test:long": { output: "ok | 3 passed | 0 failed | 0 ignored (4s)" },
  "test:mapped": { output: "ok | 90 passed | 0 failed (4s)" },
  "test:oldest": { output: "ok | 10 passed | 0 failed (4s)" },
};

/** Runs the script in a folder of its own, with tasks that are fine unless given. */
export async function runScript(
  tasks: Readonly<Record<string, TaskResult>>,
  env: Record<string, string> = { CI: "true" },
): Promise<ChildResult> {
  await using dir = await tempDir();
  await Deno.mkdir(dir.join(".ci"));
  await Deno.copyFile(SCRIPT, dir.join(".ci", "run"));
  const branches = Object.entries({ ...FINE, ...tasks }).map(([name, { output, status }]) =>
    `  ${name}) cat <<'END'\n${output}\nEND\n  exit ${status ?? 0} ;;`
  );
  const npx = `#!/bin/sh\n[ "$1 $3" = "-y task" ] || exit 99\ncase "$4" in\n${
    branches.join("\n")
  }\n  *) exit 98 ;;\nesac\n`;
  await Deno.writeTextFile(dir.join("npx"), npx, { mode: 0o755 });
  return await runChild([dir.join(".ci", "run")], {
    command: "bash",
    cwd: dir.path,
    clearEnv: true,
    env: { PATH: `${dir.path}:${Deno.env.get("PATH")}`, ...env },
  });
}

/** The last line of what the script prints, and whether it says that all is well. */
export async function verdict(
  tasks: Readonly<Record<string, TaskResult>>,
  env?: Record<string, string>,
): Promise<[string, boolean]> {
  const { stdout, code } = await runScript(tasks, env);
  return [stdout.trimEnd().split("\n").at(-1) ?? "", code === 0];
}
