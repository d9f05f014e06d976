/**
 * ci_run_test.ts: `.ci/run` sums and judges right. It is run in a folder of its own with a made-up
 * `npx` that prints what a run of Deno would and exits as it would.
 *
 * @module
 */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { checkDenoVersion } from "../core/life/open_aio.ts";
import { type ChildResult, runChild, tempDir } from "./support/temp.ts";

const SCRIPT = join(import.meta.dirname ?? ".", "..", ".ci", "run");

/** What the made-up Deno does for a task. */
interface TaskResult {
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

async function runScript(
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
async function verdict(
  tasks: Readonly<Record<string, TaskResult>>,
  env?: Record<string, string>,
): Promise<[string, boolean]> {
  const { stdout, code } = await runScript(tasks, env);
  return [stdout.trimEnd().split("\n").at(-1) ?? "", code === 0];
}

Deno.test(".ci/run sums the counts of every test run", async () => {
  assertEquals(await verdict({}), ["117 passed, 0 failed", true]);
});

Deno.test(".ci/run adds failed tests and fails", async () => {
  const test = { output: "FAILED | 9 passed (1 step) | 3 failed (2 steps) (4s)", status: 1 };
  assertEquals(await verdict({ test }), ["114 passed, 3 failed", false]);
});

Deno.test(".ci/run counts a stage that fails without a count as one failed", async () => {
  const broken = { output: "error: Type checking failed.", status: 1 };
  assertEquals(await verdict({ tidy: broken }), ["117 passed, 1 failed", false]);
  assertEquals(await verdict({ test: broken }), ["105 passed, 1 failed", false]);
  assertEquals(await verdict({ tidy: broken, doc: broken, test: broken }), [
    "103 passed, 3 failed",
    false,
  ]);
});

Deno.test(".ci/run distrusts a run whose status and counts part", async () => {
  const test = { output: "ok | 12 passed | 0 failed (4s)", status: 1 };
  assertEquals(await verdict({ test }), ["117 passed, 1 failed", false]);
  assertEquals(await verdict({ test: { output: "nothing" } }), ["105 passed, 1 failed", false]);
});

Deno.test(".ci/run fails where no test ran", async () => {
  const test = { output: "ok | 0 passed | 0 failed (4s)" };
  assertEquals(await verdict({ test }), ["105 passed, 1 failed", false]);
});

Deno.test(".ci/run lists ignored tests, and refuses them with CI=true", async () => {
  const test = {
    output: "uring: it reads ... ignored (0ms)\n  a step ... ignored (1ms)\n" +
      "ok | 12 passed | 0 failed | 1 ignored (1 step) (4s)",
  };
  assertEquals(await verdict({ test }), ["117 passed, 2 failed", false]);
  assertEquals(await verdict({ test }, {}), ["117 passed, 0 failed", true]);
  const { stdout } = await runScript({ test }, {});
  assertStringIncludes(stdout, "ignored: uring: it reads\nignored: a step\n");
  const unnamed = { output: "ok | 12 passed | 0 failed | 2 ignored (4s)" };
  assertEquals(await verdict({ test: unnamed }), ["117 passed, 2 failed", false]);
});

Deno.test(".ci/run takes the last summary of a run, and no test's own output", async () => {
  const test = { output: "ok | 70 passed | 0 failed (1s)\nok | 12 passed | 0 failed (4s)" };
  assertEquals(await verdict({ test }), ["117 passed, 0 failed", true]);
  const indented = { output: "  ok | 70 passed | 0 failed (1s)" };
  assertEquals(await verdict({ test: indented }), ["105 passed, 1 failed", false]);
});

Deno.test(".ci/run has the least version of Deno that opening an Aio takes", async () => {
  const [, version] = /DENO_VERSION_MIN=([\d.]+)/.exec(await Deno.readTextFile(SCRIPT)) ?? [];
  checkDenoVersion(version ?? "");
  const [, before, patch] = /^(.+)\.(\d+)$/.exec(version ?? "") ?? [];
  assertThrows(() => checkDenoVersion(`${before}.${Number(patch) - 1}`), Deno.errors.NotSupported);
});
