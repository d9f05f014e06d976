/**
 * program_test.ts: programs with the worker method: what they need, when they end, and the error
 * that they get where Workers cannot be started.
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { LIBC } from "../../support/libc.ts";
import { runProgram } from "../../support/program.ts";
import { contentAt, tempDir, writeRandomFile } from "../../support/temp.ts";
import { isQuickPart } from "../../support/house/part.ts";

const FILE_BYTES = 65_536;
const SEED = 9;
const ROOT = join(import.meta.dirname ?? ".", "..", "..", "..");

/** Writes until Workers are there, reads, and prints how many Workers there were. */
const PROGRAM = `
  const methods = ["worker", "sync"];
  const aio = await Aio.open({ method: Deno.args[1], methods, workers: { min: 2 } });
  const file = await aio.openFile(Deno.args[0], { read: true, write: true });
  const view = aio.alloc(4096);
  while (aio.method === "worker" && aio.workers().length < 2) {
    await file.writeAt(view.fill(7), 8192);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (await file.readAt(view, 4096) !== 4096) throw new Error("a short read");
  console.log(aio.method, aio.workers().length, view[0]);`;

async function run(flags: readonly string[], rest: string, method = "worker") {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("data"), FILE_BYTES, SEED);
  const data = [`--allow-read=${dir.path}${flags.includes("root") ? `,${ROOT}` : ""}`];
  const own = flags.includes("-A")
    ? ["-A"]
    : [...data, `--allow-write=${dir.path}`, `--allow-ffi=${LIBC}`];
  return await runProgram(PROGRAM + rest, { flags: own, args: [dir.join("data"), method] });
}

const FIRST = contentAt(SEED, 4096, 1)[0];

// With close() the program below ends by itself, too.
const ENDS = [["without", ""], ["with close()", "await file.close(); await aio.close();"]];
for (const [name, rest] of isQuickPart() ? ENDS.slice(0, 1) : ENDS) {
  Deno.test(`worker: a program ends by itself ${name}, and Workers do not keep it`, async () => {
    const result = await run(["-A"], rest!);
    assertEquals([result.code, result.stderr, result.stdout], [0, "", `worker 2 ${FIRST}\n`]);
  });
}

Deno.test("worker: Deno.exit() in the middle of IO ends a program", async () => {
  const result = await run(["-A"], "file.readAt(view, 0); file.writeAt(view, 0); Deno.exit(3);");
  assertEquals([result.code, result.stderr], [3, ""]);
});

Deno.test("worker: libc's path and the module's folder are enough permission", async () => {
  const result = await run(["root"], "await file.close(); await aio.close();");
  assertEquals([result.code, result.stderr, result.stdout], [0, "", `worker 2 ${FIRST}\n`]);
});

Deno.test("worker: where Workers cannot be loaded, the opening is refused with the flag", async () => {
  const result = await run([], "");
  assertEquals([result.code, result.stdout], [1, ""]);
  assertStringIncludes(result.stderr, 'Cannot open aio with the method "worker": ');
  assertStringIncludes(result.stderr, `run again with --allow-read=${ROOT}`);
});

Deno.test("worker: where Workers cannot be loaded, auto takes another method, and says nothing", async () => {
  const result = await run([], "await file.close(); await aio.close();", "auto");
  assertEquals([result.code, result.stderr, result.stdout], [0, "", `sync 0 ${FIRST}\n`]);
});
