/**
 * library_test.ts: the error where a library cannot be opened: one sentence that names one path and
 * the remedy, with all that was tried in its cause. Each case runs in a process of its own, with
 * permissions and limits of its own.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { LIBC } from "../support/libc.ts";
import { type ProgramOptions, runProgram } from "../support/program.ts";
import { tempDir } from "../support/temp.ts";

const MODULE = import.meta.resolve("../../ffi/library.ts");
const MISSING = ["/nowhere/one.so", "/nowhere/two.so"] as const;
const REMEDY = "install it";

/** The error of an opening. */
interface Refusal {
  readonly name: string;
  readonly message: string;
  readonly cause: string;
}

/**
 * Opens a library in a program of its own. @returns the error
 *
 * @param named by the option; null: not named
 * @param candidates where it is looked for
 * @param options how the program runs
 * @param first what it does before
 */
async function refusal(
  named: string | null,
  candidates: readonly string[],
  options: ProgramOptions,
  first = "",
): Promise<Refusal> {
  const source = `
    const { SharedLibraries } = await import(${JSON.stringify(MODULE)});
    const load = (path) => Deno.dlopen(path, { aio_no_symbol: { parameters: [], result: "void" } });
    const kind = { name: "libx", option: "libraries.libx", remedy: ${
    JSON.stringify(REMEDY)
  }, load };
    ${first}
    try {
      new SharedLibraries(kind).open(${JSON.stringify(named)} ?? undefined, ${
    JSON.stringify(candidates)
  });
    } catch ({ name, message, cause }) {
      console.log(JSON.stringify({ name, message, cause }));
    }`;
  const { code, stdout, stderr } = await runProgram(source, options);
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

Deno.test("SharedLibraries.open() without permission names the candidate that exists", async () => {
  const candidates = [...MISSING, LIBC];
  const { name, message, cause } = await refusal(null, candidates, { flags: ["--allow-read"] });
  assertEquals(name, "NotCapable");
  assertEquals(message, `Cannot open libx without permission: run again with --allow-ffi=${LIBC}`);
  assertEquals(cause, `Not granted: ${candidates.join(", ")}`);
});

Deno.test("SharedLibraries.open() without permission to look either names the first candidate", async () => {
  const { message } = await refusal(null, [...MISSING, LIBC], { flags: [] });
  const path = MISSING[0];
  assertEquals(message, `Cannot open libx without permission: run again with --allow-ffi=${path}`);
});

Deno.test("SharedLibraries.open() names a path that it may not look for before one that is missing", async () => {
  const flags = [`--allow-read=${MISSING[0]}`];
  const { message } = await refusal(null, MISSING, { flags });
  const path = MISSING[1];
  assertEquals(message, `Cannot open libx without permission: run again with --allow-ffi=${path}`);
});

Deno.test("SharedLibraries.open() that finds no library names the option, and what it tried in its cause", async () => {
  const { name, message, cause } = await refusal(null, MISSING, { flags: ["--allow-ffi"] });
  assertEquals(name, "NotFound");
  const remedy = 'name its path with the option "libraries.libx"';
  assertEquals(message, `Cannot find libx in the usual places: ${remedy}`);
  for (const path of MISSING) assertStringIncludes(cause, path);
});

Deno.test("SharedLibraries.open() of a library that lacks a symbol names the symbol", async () => {
  const reason = "undefined symbol: aio_no_symbol";
  const looked = await refusal(null, [...MISSING, LIBC], { flags: ["--allow-ffi"] });
  const another = 'name another with the option "libraries.libx"';
  assertEquals(looked.message, `Cannot load libx (${reason}): ${another}`);
  const named = await refusal(LIBC, [], { flags: ["--allow-ffi"] });
  assertEquals(named.message, `Cannot load libx from ${LIBC} (${reason}): ${REMEDY}`);
});

Deno.test("SharedLibraries.open() of a path that the option names, and that is missing, has the remedy", async () => {
  const { name, message } = await refusal(MISSING[0], [LIBC], { flags: ["--allow-ffi"] });
  assertEquals([name, message], ["NotFound", `Cannot find libx at ${MISSING[0]}: ${REMEDY}`]);
});

Deno.test("SharedLibraries.open() without a descriptor left says so", async () => {
  await using dir = await tempDir();
  const path = dir.join("libx.so");
  // A library that the process has not loaded yet.
  await Deno.copyFile(LIBC, path);
  const fill = `const open = []; try { for (;;) open.push(Deno.openSync("/dev/null")); } catch {}`;
  const { message } = await refusal(path, [], { shell: "ulimit -n 64" }, fill);
  const remedy = "raise `ulimit -n`";
  assertEquals(
    message,
    `Cannot load libx as this process has no descriptors left (EMFILE): ${remedy}`,
  );
});
