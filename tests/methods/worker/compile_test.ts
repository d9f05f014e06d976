/**
 * compile_test.ts: `deno compile` takes the modules of IO Workers along, by an import that it can
 * follow. The tests look at what it lists as embedded; they do not run the program, as that takes a
 * download.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { LIBRARY_URL } from "../../support/program.ts";
import { runChild, type TempDir, tempDir } from "../../support/temp.ts";

const WORKER_URL = import.meta.resolve("../../../methods/worker/io_worker_main.ts");

/**
 * The modules are appended to this, in the place of the runtime. Any executable serves, and Linux
 * has one that is a thousandth of Deno's size.
 */
const RUNTIME = Deno.build.os === "linux" ? "/bin/sh" : Deno.execPath();

/** The local modules that Deno finds a module to need. */
async function graphOf(url: string): Promise<string[]> {
  const { code, stdout, stderr } = await runChild(["info", "--json", "--no-config", url]);
  assertEquals(code, 0, stderr);
  const { modules }: { modules: { specifier: string }[] } = JSON.parse(stdout);
  return modules.map(({ specifier }) => specifier).filter((one) => one.startsWith("file:"));
}

/** Compiles a program that uses the library. @returns what Deno says it embeds */
async function compile(dir: TempDir, flags: readonly string[] = []): Promise<string> {
  const program = `import { Aio } from ${JSON.stringify(LIBRARY_URL)};\nawait Aio.open();\n`;
  await Deno.writeTextFile(dir.join("program.ts"), program);
  const args = ["--no-config", "--no-check", "--allow-all", "--output", dir.join("program")];
  const env = { DENORT_BIN: RUNTIME, NO_COLOR: "1" };
  const command = ["compile", ...args, ...flags, dir.join("program.ts")];
  const { code, stdout, stderr } = await runChild(command, { env });
  assertEquals(code, 0, stderr);
  return `${stdout}\n${stderr}`;
}

Deno.test("worker: every module of an IO Worker is one that mod.ts is known to need", async () => {
  const known = await graphOf(LIBRARY_URL);
  const needed = await graphOf(WORKER_URL);
  assert(needed.length > 10, String(needed));
  assertEquals(needed.filter((one) => !known.includes(one)), []);
});

Deno.test("worker: deno compile embeds the modules of IO Workers", async () => {
  await using dir = await tempDir();
  const listed = await compile(dir);
  // A folder that is embedded as a whole is not listed by its files.
  assert(/ io_worker_main\.ts | worker\/\* | methods\/\* /.test(listed), listed);
  assert(/ helper_thread\.ts | life\/\* | core\/\* /.test(listed), listed);
});

Deno.test("worker: deno compile --include embeds a callback module, which it cannot know of", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("my_callbacks.ts"), "export const callbacks = {};\n");
  assert(!(await compile(dir)).includes("my_callbacks.ts"));
  assertStringIncludes(
    await compile(dir, ["--include", dir.join("my_callbacks.ts")]),
    "my_callbacks.ts",
  );
});
