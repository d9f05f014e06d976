/**
 * tidy_test.ts: the rules of the house that a machine can check, on every source file. Beside each
 * stands a canary: a made-up sample that breaks the rule, to prove that the check would tell.
 *
 * @module
 */

import { assertEquals, assertGreater, assertNotEquals } from "@std/assert";
import * as imports from "./support/house/imports.ts";
import { listSources, readSource, ROOT } from "./support/house/source_files.ts";
import * as rules from "./support/house/source_rules.ts";
import { runChild, tempDir } from "./support/temp.ts";

/** Functions that may be longer for now, as `path#name` with their lines: may fall, not rise. */
const LONG_FUNCTIONS: Readonly<Record<string, number>> = {};

/** Files that import what only their user knows, with the reason. */
const COMPUTED_IMPORTS: readonly string[] = [
  "core/life/callback_modules.ts", // The modules of the option callbackModules.
  "core/base/named_module.ts", // The modules of layers and methods, in threads of our own.
];

/** Files that no other one of the library uses yet, with the reason. */
const NOT_USED_YET: readonly string[] = [];

/** The one function of the library that may print: it takes warnings where no `onWarning` does. */
const PRINTING_FUNCTION = "core/life/open_aio.ts#warnByDefault";

/** Files of the tests that read the clock, with the reason. Speed is measured in `bench`. */
const CLOCKS: Readonly<Record<string, string>> = {
  "tests/support/disks/stuck_writes.ts":
    "Pauses on a stuck disk are compared with those on a good one.",
  "tests/support/deaths/death_load.ts":
    "Its waits are compared with the patience measured beside them.",
  "tests/support/deaths/deaths.ts": "Waits are compared with the starts of Workers beside them.",
  "tests/support/patience.ts":
    "It has the bound against hanging, and measures the library's patience.",
  "tests/support/house/run.ts": "It tells how long the tests took.",
  "tests/support/temp_test.ts": "A child is killed at its time limit.",
  "tests/tidy_test.ts": "Samples for the check of this rule.",
};

const FOLDERS = [...imports.LIBRARY_FOLDERS, "tests", "examples", "bench"];

function readExports(): string[] {
  const config: unknown = JSON.parse(readSource("deno.json").text);
  const { exports } = config as { exports: Record<string, string> };
  return Object.values(exports).map((path) => path.replace(/^\.\//, ""));
}

const FILES = ["mod.ts", ...FOLDERS.flatMap((folder) => listSources(`${folder}/`))].map(readSource)
  .sort((a, b) => a.path < b.path ? -1 : 1);
const LIBRARY = FILES.filter(({ path }) => imports.isLibrary(path));
const BOUNDED = FILES.filter(({ path }) => !path.startsWith("bench/"));
const EDGES = FILES.flatMap(imports.importsOf);

/** The files beside the folders that are in the repository; null: this is no clone of it. */
function listTrackedAtRoot(): string[] | null {
  try {
    const args = ["ls-files", ":(glob)*"];
    const { success, stdout } = new Deno.Command("git", { args, cwd: ROOT }).outputSync();
    return success ? new TextDecoder().decode(stdout).trim().split("\n").sort() : null;
  } catch {
    return null;
  }
}

const TRACKED_AT_ROOT = listTrackedAtRoot();

/** A made-up file. */
function sample(path: string, text: string): imports.SourceFile {
  return { path, text };
}

/** What the direction check says of one line in one file. */
function directionOf(path: string, line: string, computed: readonly string[] = []): number {
  return imports.findDirectionFaults(imports.importsOf(sample(path, line)), computed).length;
}

Deno.test("tidy: every folder of the library is seen", () => {
  for (const folder of imports.LIBRARY_FOLDERS) {
    assertGreater(LIBRARY.filter(({ path }) => path.startsWith(`${folder}/`)).length, 0, folder);
  }
  assertGreater(EDGES.length, 50);
});

Deno.test({
  name: "tidy: nothing lies beside the folders but what belongs there",
  ignore: TRACKED_AT_ROOT === null,
  fn: () =>
    assertEquals(TRACKED_AT_ROOT, [
      ".gitignore",
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "deno.json",
      "mod.ts",
    ]),
});

Deno.test("tidy: imports go downward, the library takes nothing from outside", () => {
  assertEquals(imports.findDirectionFaults(EDGES, COMPUTED_IMPORTS), []);
});

Deno.test("tidy canary: each wrong direction is found, each right one passes", () => {
  const wrong: readonly (readonly [string, string])[] = [
    ["ffi/a.ts", 'import { b } from "../core/b.ts";'],
    ["ffi/a.ts", 'export { b } from "../methods/b.ts";'],
    ["core/a.ts", 'import { b } from "../ffi/liburing.ts";'],
    ["core/a.ts", 'import type { b } from "../ffi/liburing.ts";'],
    ["core/a.ts", 'type B = import("../ffi/liburing.ts").B;'],
    ["core/a.ts", 'export * from "../methods/sync.ts";'],
    ["core/a.ts", 'const b = await import("../storage/aio.ts");'],
    ["core/a.ts", "const b = await import(`../storage/aio.ts`);"],
    ["core/a.ts", 'const u = new URL("../storage/aio.ts", import.meta.url);'],
    ["core/a.ts", "const b = await import(name);"],
    ["core/a.ts", 'import { b } from "../mod.ts";'],
    ["methods/a.ts", 'import { b } from "../storage/b.ts";'],
    ["core/base/a.ts", 'import { b } from "../memory/b.ts";'],
    ["core/memory/a.ts", 'import { b } from "../io/b.ts";'],
    ["core/io/a.ts", 'import type { b } from "../files/b.ts";'],
    ["core/files/a.ts", 'import { b } from "../waiting/b.ts";'],
    ["core/waiting/a.ts", 'import { b } from "../files/b.ts";'],
    ["core/backend/a.ts", 'import { b } from "../views/b.ts";'],
    ["core/views/a.ts", 'import { b } from "../life/b.ts";'],
    ["core/life/a.ts", 'import { b } from "../mod.ts";'],
    ["core/attic/a.ts", 'import { b } from "../base/b.ts";'],
    ["methods/a.ts", 'import { b } from "../core/waiting/b.ts";'],
    ["methods/a/b.ts", 'import { b } from "../../core/life/open_aio.ts";'],
    ["storage/a.ts", 'import { b } from "../methods/sync.ts";'],
    ["storage/a.ts", 'import { b } from "../testing/mod.ts";'],
    ["mod.ts", 'export * from "./testing/mod.ts";'],
    ["testing/a.ts", 'import { b } from "../storage/aio.ts";'],
    ["testing/a.ts", 'import { b } from "../tests/support/temp.ts";'],
    ["storage/a.ts", 'import { b } from "../ffi/libc.ts";'],
    ["storage/a.ts", 'import { b } from "../core/io/b.ts";'],
    ["storage/file/a.ts", 'import type { b } from "../../core/life/b.ts";'],
    ["core/mod.ts", 'export { b } from "./inside.ts";'],
    ["mod.ts", 'export { b } from "./core/inside.ts";'],
    ["mod.ts", 'export * from "./ffi/libc.ts";'],
    ["mod.ts", 'import { b } from "./tests/support/temp.ts";'],
    ["storage/a.ts", 'import { b } from "../examples/b.ts";'],
    ["core/a.ts", 'import { b } from "../bench/b.ts";'],
    ["core/a.ts", 'import { assert } from "@std/assert";'],
    ["core/a.ts", 'import { assert } from "jsr:@std/assert@1";'],
    ["core/a.ts", 'import "npm:left-pad@1";'],
    ["core/a.ts", 'import b from "../deno.json" with { type: "json" };'],
    ["examples/a.ts", 'import { Aio } from "@deno-aio/aio";'],
  ];
  for (const [path, line] of wrong) assertEquals(directionOf(path, line), 1, `${path}: ${line}`);
  const right: readonly (readonly [string, string])[] = [
    ["mod.ts", 'export * from "./storage/mod.ts"; export * from "./core/mod.ts";'],
    ["storage/a.ts", 'import "../methods/registry.ts"; import "../core/mod.ts"; import "./c.ts";'],
    ["storage/file/a.ts", 'import { b } from "../../core/inside.ts"; import "../c.ts";'],
    ["testing/a.ts", 'import "../storage/mod.ts"; import "../core/io/b.ts"; import "../ffi/b.ts";'],
    ["methods/a.ts", 'import "../core/io/b.ts"; import "../ffi/liburing.ts"; import "./c.ts";'],
    ["methods/a/b.ts", 'import "../../core/life/helper_thread.ts"; import "../c.ts";'],
    ["core/life/a.ts", 'import "../views/b.ts"; import "../base/b.ts"; import "./c.ts";'],
    ["core/io/a.ts", 'import "../../ffi/libc.ts"; import "../../ffi/layout.ts"; import "node:fs";'],
    ["core/a.ts", '// import "../storage/aio.ts";\nconst text = `import "../storage/aio.ts"`;'],
    ["ffi/a.ts", 'import "./b.ts"; import { constants } from "node:fs";'],
    ["tests/a.ts", 'import "../core/b.ts"; import { assert } from "@std/assert";'],
    ["examples/a.ts", 'import { Aio } from "../mod.ts"; import "node:path"; await import(x);'],
  ];
  for (const [path, line] of right) assertEquals(directionOf(path, line), 0, `${path}: ${line}`);
  assertEquals(directionOf("core/a.ts", "await import(name);", ["core/a.ts"]), 0);
});

Deno.test("tidy: no library file imports itself, by whatever way round", () => {
  assertEquals(imports.findCycles(EDGES, ["value", "type"]), []);
});

Deno.test("tidy canary: a cycle of three files is found, once", () => {
  const cyclic = [
    sample("core/a.ts", 'import { b } from "./b.ts"; import { d } from "./d.ts";'),
    sample("core/b.ts", 'export { c } from "./c.ts"; import { d } from "./d.ts";'),
    sample("core/c.ts", 'import { type A } from "./a.ts";'),
    sample("core/d.ts", 'import "node:fs";'),
  ].flatMap(imports.importsOf);
  const cycle = ["core/a.ts -> core/b.ts -> core/c.ts -> core/a.ts"];
  assertEquals(imports.findCycles(cyclic, ["value", "type"]), cycle);
  assertEquals(imports.findCycles(cyclic, ["value"]), []);
});

Deno.test("tidy: every library file is of use", () => {
  assertEquals(imports.findDeadFiles(FILES, EDGES, readExports()), NOT_USED_YET);
});

Deno.test("tidy canary: a library file that only a test uses is dead", () => {
  const files = [
    sample("mod.ts", 'export * from "./core/a.ts";'),
    sample("core/a.ts", 'export const url = new URL("./b.ts", import.meta.url);'),
    sample("core/b.ts", ""),
    sample("core/c.ts", ""),
    sample("tests/c_test.ts", 'import "../core/c.ts";'),
  ];
  const edges = files.flatMap(imports.importsOf);
  assertEquals(imports.findDeadFiles(files, edges, ["mod.ts"]), ["core/c.ts"]);
});

Deno.test("tidy: no file is too long", () => {
  assertEquals(rules.findLongFiles(BOUNDED), []);
});

Deno.test("tidy canary: one line of code too many is found, lines of comment are not counted", () => {
  const comments = "/**\n * a\n */\n\n// b\n".repeat(100);
  const long = (lines: number) => [sample("core/a.ts", comments + "f(); /* c */\n".repeat(lines))];
  assertEquals(rules.findLongFiles(long(rules.CODE_LINES_MAX)), []);
  assertEquals(rules.findLongFiles(long(rules.CODE_LINES_MAX + 1)), [
    `core/a.ts: ${rules.CODE_LINES_MAX + 1} lines of code, at most ${rules.CODE_LINES_MAX}`,
  ]);
});

Deno.test("tidy: no line of comment is too long", () => {
  assertEquals(rules.findWideComments(FILES), []);
});

Deno.test("tidy canary: a wide line is found in each kind of comment, and only there", () => {
  const wide = "x".repeat(rules.COMMENT_COLUMNS_MAX);
  const find = (text: string) => rules.findWideComments([sample("core/a.ts", text)]).length;
  for (const text of [`// ${wide}`, `/** ${wide} */`, `/**\n * ${wide}\n */`, `f(); // ${wide}`]) {
    assertEquals(find(text), 1, text);
  }
  for (const text of [`f("${wide}");`, "// x", `// https://example.com/${wide}`]) {
    assertEquals(find(text), 0, text);
  }
});

Deno.test("tidy: no function is too long", () => {
  assertEquals(rules.findLongFunctions(BOUNDED, LONG_FUNCTIONS), []);
});

Deno.test("tidy canary: long functions of every form are found by name", () => {
  const body = (lines: number) => "{\n" + "  // }\n".repeat(lines - 2) + "}";
  const forms: readonly (readonly [string, (body: string) => string])[] = [
    ["f", (it) => `/* \u{1F600} */ function f(a: { b: 1 }): Promise<{ c: 2 }> ${it}`],
    ["g", (it) => `const g = async () => ${it};`],
    ["h", (it) => `class A { h(): void ${it} }`],
    ["#p", (it) => `class A { #p = () => ${it}; }`],
    ["constructor", (it) => `class A { constructor() ${it} }`],
    ["m", (it) => `const o = { m() ${it} };`],
    ['Deno.test("x")', (it) => `Deno.test("x", () => ${it});`],
  ];
  for (const [name, form] of forms) {
    const files = (lines: number) => [sample("core/a.ts", form(body(lines)))];
    const key = `core/a.ts#${name}`;
    assertEquals(rules.findLongFunctions(files(rules.FUNCTION_LINES_MAX)), [], name);
    const tooLong = rules.FUNCTION_LINES_MAX + 1;
    const found = `${key} (line 1): ${tooLong} lines, at most ${rules.FUNCTION_LINES_MAX}`;
    assertEquals(rules.findLongFunctions(files(tooLong)), [found]);
    assertEquals(rules.findLongFunctions(files(tooLong), { [key]: tooLong }), []);
    assertEquals(rules.findLongFunctions(files(tooLong), { [key]: tooLong + 1 }).length, 1);
  }
});

Deno.test("tidy: nothing banned is in the sources", () => {
  assertEquals(rules.findBanned(FILES), []);
});

Deno.test("tidy canary: each banned thing is found, and not within a text", () => {
  const banned = [
    "const a = b as any;",
    "function f(a: any) {}",
    "type A = Record<string, any>;",
    "const a = b as unknown as string;",
    "Deno.test.only('x', () => {});",
    "Deno.test({ name: 'x', only: true, fn() {} });",
    ...["@ts-ignore", "@ts-nocheck", "deno-lint-ignore-file", "TODO later", "FIXME"].map((it) =>
      `// ${it}\nexport {};`
    ),
    "/**\n * TODO(me): it\n */\nexport {};",
  ];
  for (const text of banned) {
    assertEquals(rules.findBanned([sample("core/a.ts", text)]).length, 1, text);
  }
  const fine = 'const text = "as any TODO"; /* anything */ const a: unknown = b as string;';
  assertEquals(rules.findBanned([sample("core/a.ts", fine)]), []);
});

Deno.test("tidy: the library prints nothing but the default of onWarning", () => {
  assertEquals(rules.findPrinting(LIBRARY, PRINTING_FUNCTION), []);
});

Deno.test("tidy canary: printing is found, and anywhere but in that function", () => {
  const count = (text: string, path = "core/a.ts") =>
    rules.findPrinting([sample(path, text)], "core/a.ts#warn").length;
  const warn = "function warn(text: string): void { if (text) console.warn(text); }";
  assertEquals(count(warn), 0);
  assertEquals(count(warn, "core/b.ts"), 1);
  assertEquals(count(warn.replace("console.warn", "console.log")), 1);
  assertEquals(count(warn.replace("function warn", "function other")), 1);
  assertEquals(count("console.warn(1);"), 1);
  assertEquals(count("const { warn } = console;"), 1);
  assertEquals(count('// console.log\nconst text = "console.log";'), 0);
  assertEquals(count("console.log(1);", "tests/a.ts"), 0);
});

Deno.test("tidy: every file says at its head what it is for", () => {
  assertEquals(rules.findHeadless(FILES), []);
});

Deno.test("tidy canary: a file without a head is found", () => {
  const headless = (text: string) => rules.findHeadless([sample("core/a.ts", text)]).length;
  for (const text of ["", "import a;\n// late", "/** */\nlet a;", "//\nlet a;"]) {
    assertEquals(headless(text), 1, text);
  }
  for (const text of ["/**\n * a.ts: it.\n */", "/** It. */", "// It.", "#!/bin/x\n// It."]) {
    assertEquals(headless(text), 0, text);
  }
});

Deno.test("tidy: a mod.ts only exports", () => {
  assertEquals(rules.findNonExports(LIBRARY), []);
});

Deno.test("tidy canary: a mod.ts that does something is found", () => {
  const count = (text: string) => rules.findNonExports([sample("core/mod.ts", text)]).length;
  assertEquals(count('/** It. */\nexport * from "./a.ts"; export { type b } from "./b.ts";'), 0);
  assertEquals(count("export const a = 1;"), 1);
  assertEquals(count('import { a } from "./a.ts"; export { a };'), 2);
});

Deno.test("tidy: no test goes by the clock", () => {
  assertEquals(rules.findClocks(FILES, CLOCKS), []);
});

Deno.test("tidy canary: a test that reads the clock, or lacks patience, is found", () => {
  const count = (text: string, path = "tests/a_test.ts") =>
    rules.findClocks([sample(path, text)], { "tests/b_test.ts": "why" }).length;
  for (const text of ["performance.now()", "Date.now()", "`x(performance.now())`", "new Date()"]) {
    assertEquals(count(text), 1, text);
  }
  assertEquals(count("f({ timeLimitMs: 10_000 })"), 1);
  assertEquals(count("f({ timeLimitMs: 60_000 }, { timeLimitMs: 120_000 })"), 0);
  assertEquals(count("new Date(0)"), 0);
  assertEquals(count("performance.now()", "tests/b_test.ts"), 0);
  assertEquals(count("performance.now()", "bench/a.ts"), 0);
});

/** Runs a module without any permission. */
async function importCode(path: string): Promise<{ code: number; stderr: string }> {
  return await runChild(["run", "--no-prompt", "--cached-only", "--no-lock", path]);
}

Deno.test("tidy: importing any export needs no permission", async () => {
  const paths = readExports();
  assertEquals(paths.includes("mod.ts"), true);
  for (const path of paths) {
    const { code, stderr } = await importCode(new URL(path, ROOT).href);
    assertEquals(code, 0, `${path}: ${stderr}`);
  }
});

Deno.test("tidy canary: a module that reads the environment at import is found", async () => {
  await using dir = await tempDir();
  for (const text of ['Deno.env.get("HOME");', 'Deno.dlopen("/lib/libc.so.6", {});']) {
    await Deno.writeTextFile(dir.join("a.ts"), text);
    assertNotEquals((await importCode(dir.join("a.ts"))).code, 0, text);
  }
});
