/**
 * demo_run.ts: runs examples/demo.ts, and checks what it prints and leaves behind.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { availableMethods } from "../../methods/mod.ts";
import {
  type ChildResult,
  mountTmpfs,
  type TempDir,
  tempDir,
  tmpfsAvailable,
} from "../support/temp.ts";
import { examplePath, runFreely } from "./example_run.ts";

export const MIB = 1024 * 1024;
/** Columns of the table. */
export const WIDTH_MAX = 100;
export const SHORT = "--seconds=1";
/** The exit code after Ctrl-C. */
export const EXIT_INTERRUPTED = 130;
/** When a process that does not end is killed. */
export const GIVE_UP_MS = 60_000;
const ACT_DELAY_MS = 10;

export const METHODS = availableMethods().filter(({ ok }) => ok).map(({ name }) => name);
/** Bytes of a folder with little room: the demo takes a quarter of it. */
const LITTLE_BYTES = 80 * MIB;
const ROW = /^ {2}(\S.*?) +[\d,]+ +[\d,]+ +[\d,]+\.\d\d +[\d,]+\.\d\d +[\d,]+\.\d\dx$/;

/** Runs the demo with a folder of its own for temporary files. */
export function runDemo(dir: TempDir, args: readonly string[]): Promise<ChildResult> {
  return runFreely("demo.ts", args, { env: { TMPDIR: dir.path } });
}

/** Asserts that a folder is empty. */
export function assertEmpty(dir: TempDir): void {
  assertEquals(Array.from(Deno.readDirSync(dir.path), ({ name }) => name), []);
}

/**
 * A folder in which the demo makes a smaller file, which takes less time, where this machine can
 * have one.
 */
export async function littleRoom(): Promise<TempDir> {
  return tmpfsAvailable() ? await mountTmpfs(LITTLE_BYTES) : await tempDir();
}

/** The names of a table's rows, by the titles of their blocks. */
export function readTable(output: string): Map<string, string[]> {
  const blocks = new Map<string, string[]>();
  let rows: string[] = [];
  for (const line of output.split("\n")) {
    const name = ROW.exec(line)?.[1];
    if (name !== undefined) rows.push(name);
    else if (/^\d+ KiB (at random|in sequence),/.test(line)) blocks.set(line, rows = []);
  }
  return blocks;
}

/** The rows that a block must have. */
function expectedRows(
  theirs: readonly string[],
  calls: readonly string[],
  suffix: string,
): string[] {
  const ours = METHODS.flatMap((method) => calls.map((call) => `aio ${method}: ${call}${suffix}`));
  return [...theirs, ...ours];
}

function isDirectIn(output: string): boolean {
  const isDirect = output.includes("Past the page cache");
  assertEquals(isDirect, !output.includes("The file system has no direct I/O"));
  return isDirect;
}

/** Checks that the table has all rows. */
export function assertTableComplete(output: string): void {
  const node = ["node:fs/promises FileHandle.read", "node:fs read, callbacks"];
  const expected: [string, string[]][] = [];
  for (const suffix of isDirectIn(output) ? ["", ", direct"] : [""]) {
    for (const what of ["4 KiB at random", "128 KiB in sequence"]) {
      const isRandom = what === "4 KiB at random";
      const rows = (theirs: readonly string[], calls: readonly string[]) =>
        expectedRows(suffix === "" ? theirs : [], calls, suffix);
      const both = ["readAt", "core, batches of 32"];
      const perTask = "Deno.FsFile seek + read, a file per task";
      expected.push([`${what}, 32 at a time${suffix}`, rows([perTask, ...node], both)]);
      const awaited = isRandom ? "Deno.FsFile seek + read" : "Deno.FsFile read";
      expected.push([
        `${what}, one at a time, awaited${suffix}`,
        rows([awaited, ...node], ["readAt"]),
      ]);
      const blocking = isRandom ? "Deno.FsFile seekSync + readSync" : "Deno.FsFile readSync";
      expected.push([
        `${what}, one at a time, blocking${suffix}`,
        rows([blocking, "node:fs readSync"], ["readAtSync"]),
      ]);
    }
  }
  assertEquals([...readTable(output)], expected);
}

const RATE = String.raw`[\d,.]+ (?:k?/s|GB/s)`;

/**
 * Checks that an output begins with the verdict, followed by direct reads in a block of their own.
 */
export function assertBeginsWithVerdict(output: string): void {
  const lines = output.split("\n");
  for (
    const what of [
      "4 KiB reads, awaited, 32 at a time",
      "4 KiB reads, awaited, one at a time",
      "4 KiB reads, blocking, one at a time",
      "128 KiB reads, awaited, 32 at a time",
    ]
  ) {
    const who = `Deno.FsFile ${RATE}, node:fs ${RATE}, this module ${RATE}`;
    assertMatch(lines.shift()!, new RegExp(`^${what}: ${who} \\([\\d,.]+ times\\)$`));
  }
  assertEquals(lines.shift(), "");
  if (!isDirectIn(output)) return;
  assertMatch(lines.shift()!, /^Past the page cache, .*; this module by method:$/);
  const methods = METHODS.map((method) => `${method} ${RATE}`).join(", ");
  for (const size of [4, 128]) {
    const what = `${size} KiB reads, awaited, 32 at a time`;
    assertMatch(lines.shift()!, new RegExp(`^${what}: ${methods}$`));
  }
  assertEquals(lines.shift(), "");
}

/** Checks what the demo prints and leaves behind when it makes its own file in this folder. */
export async function checkTemporary(dir: TempDir): Promise<void> {
  const { code, stdout, stderr } = await runDemo(dir, [SHORT]);
  assertEquals(code, 0, stderr);
  assertBeginsWithVerdict(stdout);
  assertMatch(stdout, /\nRead: a temporary file, \d+ MiB, /);
  assertStringIncludes(stdout, `\nThis module reads by ${METHODS[0]}, `);
  assert(stdout.endsWith("\ndeno task demo --all measures every way there is.\n"), stdout);
  assertEquals([...readTable(stdout)], [], "the table is behind --all");
  assertMatch(stderr, /^Making a temporary file of \d+ MiB\n(\d\/\d .*\n){4,6}$/);
  assertEmpty(dir);
}

/** Runs the demo, and does something once it has said something on standard error. */
export async function actWhen(
  dir: TempDir,
  args: readonly string[],
  said: RegExp,
  act: (child: Deno.ChildProcess) => void | Promise<void>,
): Promise<{ status: Deno.CommandStatus; stderr: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-lock", "-A", examplePath("demo.ts"), ...args],
    env: { TMPDIR: dir.path, NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), GIVE_UP_MS);
  let stderr = "";
  let isDone = false;
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
    stderr += text;
    if (isDone || !said.test(stderr)) continue;
    isDone = true;
    await new Promise((resolve) => setTimeout(resolve, ACT_DELAY_MS));
    await act(child);
  }
  clearTimeout(timer);
  return { status: await child.status, stderr };
}
