/**
 * names_test.ts: each name in backquotes on the pages is in the source, and what the pages list in
 * whole (counters, columns, numbers, members) they list as the source has it.
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { FLAG_BITS } from "../../core/io/handle_flag.ts";
import { OPERATION_NAMES } from "../../core/io/operation_table.ts";
import { STATUS_NAMES } from "../../core/io/result.ts";
import { WAIT_EVENT_NAMES } from "../../core/io/wait_event.ts";
import { STATE_NAMES } from "../../core/memory/handle_state.ts";
import { HANDLE } from "../../core/memory/shared_memory.ts";
import { findUnknownNames, missingIn, type Named } from "../support/house/doc_names.ts";
import {
  type CodeSpan,
  codeSpansOf,
  type Page,
  readPages,
  tableWith,
  wordsOf,
} from "../support/house/doc_pages.ts";
import { listFiles, readSource } from "../support/house/source_files.ts";
import { patchesOf } from "../support/house/doc_patches.ts";
import { OUTSIDE_NAMES, PROGRAMS, SYSTEM_FOLDERS } from "../support/house/outside_names.ts";
import { namesOf } from "../support/house/source_names.ts";

/** Files whose words count as names; the tests themselves may use any word. */
const NAMING =
  /^(mod\.ts|(core|ffi|methods|storage|testing|bench|examples|tests\/support)\/.*\.ts)$/;
/** The folder with lists of others' names. */
const HOUSE = "tests/support/house/";

/** A path, and its folders with and without the slash at their end. */
function withFolders(path: string): string[] {
  const folders = path.split("/").slice(0, -1).map((_, i, names) =>
    names.slice(0, i + 1).join("/")
  );
  return [...folders.flatMap((folder) => [folder, `${folder}/`]), path];
}

const PATHS = [...new Set(listFiles().flatMap(withFolders))];
const SOURCES = PATHS.filter((path) => NAMING.test(path) && !path.startsWith(HOUSE));
const CONFIG = JSON.parse(readSource("deno.json").text);
const NAMED: Named = {
  names: namesOf(SOURCES.map(readSource)),
  paths: PATHS,
  tasks: new Set(Object.keys(CONFIG.tasks)),
};
const PAGES = readPages();

/** What a page has in backquotes, except in the columns of PostgreSQL's names. */
function spansOf(page: Page): CodeSpan[] {
  return codeSpansOf(page).filter(({ column }) => column !== "PostgreSQL");
}

for (const page of PAGES) {
  Deno.test(`${page.path}: each name in backquotes is in the source`, () => {
    const spans = spansOf(page);
    assertGreater(spans.length, 0);
    // A page may show files that it adds.
    const paths = [...PATHS, ...patchesOf(page.text).map(({ path }) => path)];
    assertEquals(findUnknownNames(spans, { ...NAMED, paths }), []);
  });
}

Deno.test("docs canary: each kind of name that is not there is found", () => {
  const wrong = [
    ["core/io/handles.ts", "there is no such file or folder"],
    ["core/attic/", "there is no such file or folder"],
    ["handles.ts", "there is no such file or folder"],
    ["methods/*_rings.ts", "there is no such file or folder"],
    ["deno task bench:nothing", "there is no task bench:nothing"],
    ["noSuchOption", "nothing is named noSuchOption"],
    ['"noSuchFlag"', 'nothing is named "noSuchFlag"'],
    ["no-such-point", "nothing is named no-such-point"],
    ["aio.noSuchCall(ref)", "Aio has no noSuchCall"],
    ["aio.acquire(noSuchArgument)", "nothing is named noSuchArgument"],
    ["Backend.#noSuchMember()", "Backend has no #noSuchMember"],
    ["HANDLE.noSuchWord", "HANDLE has no noSuchWord"],
    ["file.readAt(buffer, { noSuchOption })", "nothing is named noSuchOption"],
    ["workers.noSuchOption", "WorkerPoolOptions has no noSuchOption"],
    ["Deno.errors.NoSuchError", "Deno has no Deno.errors.NoSuchError"],
    ["node:no_such_module", "Deno has no module node:no_such_module"],
    ["--no-such-option", "nothing is named --no-such-option"],
    ["NO_SUCH_FLAG", "nothing is named NO_SUCH_FLAG"],
  ] as const;
  for (const [text, missing] of wrong) assertEquals(missingIn(text, NAMED), missing, text);
});

Deno.test("docs canary: names that are there, sentences and commands pass", () => {
  const right = [
    "core/io/handle.ts",
    "io/handle.ts",
    "methods/*",
    "core/",
    "LICENSE",
    "deno task bench:compare --svg compare.svg",
    "maxConcurrency",
    '"referencesLocal"',
    "aio-before-reclaim",
    "await file.readAt(buffer, offset)",
    "Aio.attach(token)",
    "HANDLE.method",
    "Deno.errors.Busy",
    "Atomics.compareExchange",
    "TextEncoder.encodeInto",
    "node:worker_threads",
    "kill -9",
    "/proc/self/task",
    "no free IOs despite no in-flight IOs",
    "submitting 3 IOs",
    "const { HANDLE } = layout;",
    "started / submissions",
    "try",
    "https://example.com/deno-aio/mod.ts",
  ];
  for (const text of right) assertEquals(missingIn(text, NAMED), null, text);
});

Deno.test("docs: each outside name is on a page, has a reason, and needs its entry", () => {
  const spans = PAGES.flatMap(spansOf).map(({ text }) => text);
  const isNamed = (name: string) => spans.some((text) => text.includes(name));
  for (const [name, reason] of OUTSIDE_NAMES) {
    assert(isNamed(name), name);
    assert(reason.endsWith("."), reason);
    assert(missingIn(name, { ...NAMED, outside: new Map() }) !== null, name);
  }
  for (const folder of SYSTEM_FOLDERS) assert(isNamed(folder), folder);
  for (const program of PROGRAMS) assert(isNamed(program), program);
});

// --- lists that are whole ---

const DEBUGGING = readSource("docs/debugging.md");
const POSTGRESQL = readSource("docs/postgresql.md");

/** Tables of a page that list all that an interface has, by heading and column. */
const WHOLE = [
  [DEBUGGING, "`aio.ios()`", "column", "IoRow"],
  [DEBUGGING, "`aio.backends()`", "column", "BackendRow"],
  [DEBUGGING, "`aio.backends()`", "counter", "BackendCounters"],
  [DEBUGGING, "`aio.workers()`", "column", "WorkerRow"],
  [POSTGRESQL, "Methods", "here (`IoMethod`)", "IoMethod"],
] as const;

for (const [page, heading, column, owner] of WHOLE) {
  Deno.test(`${page.path}: the table of ${owner} has all of its members`, () => {
    const words = wordsOf(tableWith(page, heading, column), column);
    const listed = words.map((word) => word.replace(/\(.*\)$/, ""));
    assertEquals(listed.sort(), NAMED.names.membersOf(owner).sort());
  });
}

Deno.test("docs/debugging.md: the table of wait events has all of them", () => {
  const words = wordsOf(tableWith(DEBUGGING, "`aio.backends()`", "`waitEvent`"), "`waitEvent`");
  // Several operations have one in common.
  assertEquals(words, [...new Set(WAIT_EVENT_NAMES)].filter((name) => name !== null));
});

Deno.test("docs/postgresql.md: the fields of a handle are all in its table", () => {
  const table = tableWith(POSTGRESQL, "`PgAioHandle`, field by field", "here (`HANDLE`)");
  const words = new Set(wordsOf(table, "here (`HANDLE`)"));
  const fields = Object.keys(HANDLE).filter((name) => name !== "size");
  assertEquals(fields.filter((name) => !words.has(name)), []);
});

Deno.test("docs/postgresql.md: states, flags, operations and statuses have their numbers", () => {
  const table = tableWith(POSTGRESQL, "States, flags, operations, statuses", "number");
  const at = table.columns.indexOf("number");
  const listed = table.rows.map((row) => [row[at - 1]!.replaceAll(/[`"]/g, ""), Number(row[at])]);
  const numbered = (names: readonly string[]) => names.map((name, number) => [name, number]);
  assertEquals<unknown>(listed, [
    ...numbered(STATE_NAMES),
    ...Object.entries(FLAG_BITS),
    ...numbered(OPERATION_NAMES),
    ...numbered(STATUS_NAMES),
  ]);
});
