/**
 * run.ts: runs the tests for `deno task test` and its relatives: each file in a process of its own,
 * a few at a time, and silent about whatever passes.
 *
 *     deno run -A tests/support/house/run.ts [--quick | --long] [OPTION]... [FILE | FOLDER]...
 *
 * The suite has two parts. A file named `*_long_test.ts` belongs to the long part: it repeats what
 * a quick file shows, with more of it. `--quick` leaves those out, `--long` takes only those;
 * without either, all run. Other options go to `deno test`, such as `--filter=/^io_uring:/`.
 *
 * Prints the names of ignored tests, what passing tests print without need, and everything about
 * tests that fail. The last line is a summary as `deno test` has it.
 *
 * @module
 */

import { join } from "@std/path";
import { PART_VARIABLE } from "./part.ts";
import { type Counts, TestOutput, type TestReport } from "./test_output.ts";

const ROOT = join(import.meta.dirname ?? ".", "..", "..", "..");
const TEST_FILE = /_test\.ts$/;
const LONG_FILE = /_long_test\.ts$/;
/** Tests share the machine's disk, and what the kernel lets one user have. */
const PROCESSES_MAX = 4;
/** A file that takes longer hangs: a test gives up after a minute, and most take none. */
const FILE_MS_MAX = 15 * 60_000;

/** What to run. */
export interface TestPlan {
  /** Which part of the suite; empty: all. */
  readonly part: string;
  /** Options of `deno test`. */
  readonly options: readonly string[];
  /** Test files. */
  readonly files: readonly string[];
}

/** Test files in a folder, or the file itself. */
function listTests(path: string): string[] {
  if (!Deno.statSync(path).isDirectory) return [path];
  return [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1)
    .filter(({ name, isDirectory }) => isDirectory || TEST_FILE.test(name))
    .flatMap(({ name }) => listTests(join(path, name)));
}

/** Understands the arguments. */
export function planOf(args: readonly string[]): TestPlan {
  const parts = ["--quick", "--long"];
  const [part] = args.filter((arg) => parts.includes(arg));
  const paths = args.filter((arg) => !arg.startsWith("-"));
  const isWanted = (path: string) =>
    part === undefined || LONG_FILE.test(path) === (part === "--long");
  return {
    part: part?.slice(2) ?? "",
    options: args.filter((arg) => arg.startsWith("-") && !parts.includes(arg)),
    files: (paths.length > 0 ? paths : ["tests"]).flatMap(listTests).filter(isWanted),
  };
}

async function readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) onLine(line);
  }
  if (rest !== "") onLine(rest);
}

/** Runs one file. Types are not checked: `deno task tidy` does that. */
async function runFile(file: string, { part, options }: TestPlan): Promise<TestReport> {
  const args = ["test", "-A", "--no-check", ...options, file];
  // Both streams in one, as the lines of a Worker that dies come in the middle of its test.
  const child = new Deno.Command("sh", {
    args: ["-c", 'exec "$0" "$@" 2>&1', Deno.execPath(), ...args],
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", [PART_VARIABLE]: part },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = new TestOutput();
  const timer = setTimeout(() => child.kill("SIGKILL"), FILE_MS_MAX);
  try {
    await readLines(child.stdout, (line) => output.read(line));
    return output.report((await child.status).code);
  } finally {
    clearTimeout(timer);
  }
}

/** Prints what must be seen of one file. */
function show(file: string, { ignored, noise, failure }: TestReport): void {
  for (const name of ignored) console.log(`${name} ... ignored (0ms)`);
  if (noise.length + failure.length > 0) console.log(`\n== ${file}`);
  for (const line of [...noise, ...failure]) console.log(line);
}

/** Runs all, so many files at a time. */
async function run(plan: TestPlan): Promise<Counts> {
  const total: Counts = { passed: 0, failed: 0, ignored: 0 };
  const left = [...plan.files].reverse();
  const lane = async () => {
    for (let file = left.pop(); file !== undefined; file = left.pop()) {
      const report = await runFile(file, plan);
      show(file, report);
      total.passed += report.counts.passed;
      total.failed += report.counts.failed;
      total.ignored += report.counts.ignored;
    }
  };
  // One more than there are processors, as many tests wait rather than compute.
  const lanes = Math.min(navigator.hardwareConcurrency + 1, PROCESSES_MAX);
  await Promise.all(Array.from({ length: lanes }, lane));
  return total;
}

/** The last line. */
export function summarize({ passed, failed, ignored }: Counts, ms: number): string {
  const word = failed === 0 ? "ok" : "FAILED";
  const seconds = Math.round(ms / 1000);
  return `${word} | ${passed} passed | ${failed} failed | ${ignored} ignored (${seconds}s)`;
}

if (import.meta.main) {
  const start = performance.now();
  Deno.chdir(ROOT);
  const counts = await run(planOf(Deno.args));
  console.log(summarize(counts, performance.now() - start));
  if (counts.failed > 0 || counts.passed === 0) Deno.exitCode = 1;
}
