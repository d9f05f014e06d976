/**
 * run.ts: runs the tests for `deno task test` and its relatives: a few files a process (`plan.ts`),
 * a few processes at a time, and silent about whatever passes.
 *
 *     deno run -A tests/support/house/run.ts [--quick | --long | --mapped] [OPTION]... [PATH]...
 *
 * The suite has two parts. A file named `*_long_test.ts` belongs to the long part: it repeats what
 * a quick file shows, with more of it. `--quick` leaves those out. `--long` takes only those, and
 * quick files that leave variants to the long part (`part.ts`, `turns.ts`); without either, all
 * run, each with all variants. `--mapped` has less of random loads, and draws some of the files in
 * which rings hardly matter. Other options go to `deno test`, such as `--filter=/^io_uring:/`.
 *
 * Prints the names of ignored tests, what passing tests print without need, and everything about
 * tests that fail, with their files. A file without a result counts as a failure, such as those
 * behind a crash. The last line is a summary as `deno test` has it.
 *
 * @module
 */

import { join } from "@std/path";
import { FILE_MARK, GROUP_VARIABLE, PART_VARIABLE } from "./part.ts";
import { groupFiles, planOf, type TestPlan } from "./plan.ts";
import { type Counts, TestOutput, type TestReport } from "./test_output.ts";

const ROOT = join(import.meta.dirname ?? ".", "..", "..", "..");
const GROUP_MODULE = join(import.meta.dirname ?? ".", "group.ts");
/** Tests share the machine's disk, and what the kernel lets one user have. */
const PROCESSES_MAX = 4;
/** A file that takes longer hangs: a test gives up after a minute, and most take none. */
const FILE_MS_MAX = 15 * 60_000;

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

/** Ends a process one of whose files hangs. */
class Watch implements Disposable {
  readonly #child: Deno.ChildProcess;
  #timer: ReturnType<typeof setTimeout>;

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#timer = this.#start();
  }

  #start(): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#child.kill("SIGKILL"), FILE_MS_MAX);
  }

  /** The next file begins. */
  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** The same option; a filter lets the tests pass, too, that say which file of a group comes. */
export function passMarks(option: string): string {
  const [, filter] = /^--filter=(.*)$/.exec(option) ?? [];
  if (filter === undefined) return option;
  const pattern = /^\/(.*)\/$/.exec(filter)?.[1] ?? RegExp.escape(filter);
  return `--filter=/(?:${pattern})|^${FILE_MARK}/`;
}

/** Runs the files of one process. Types are not checked: `deno task tidy` does that. */
async function runFiles(
  files: readonly string[],
  { part, options }: TestPlan,
): Promise<TestReport> {
  const args = ["test", "-A", "--no-check", ...options.map(passMarks), GROUP_MODULE];
  // Both streams in one, as the lines of a Worker that dies come in the middle of its test.
  const child = new Deno.Command("sh", {
    args: ["-c", 'exec "$0" "$@" 2>&1', Deno.execPath(), ...args],
    env: {
      NO_COLOR: "1",
      DENO_NO_UPDATE_CHECK: "1",
      [PART_VARIABLE]: part,
      [GROUP_VARIABLE]: files.join("\n"),
    },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = new TestOutput(files);
  using watch = new Watch(child);
  await readLines(child.stdout, (line) => {
    const { file } = output;
    output.read(line);
    if (output.file !== file) watch.restart();
  });
  return output.report((await child.status).code);
}

/** Prints what must be seen of the files of one process. */
function show({ files, failed, failure }: TestReport): void {
  for (const { file, ignored, printed } of files) {
    console.log(`\n== ${file}`);
    for (const name of ignored) console.log(`${name} ... ignored (0ms)`);
    for (const line of printed) console.log(line);
  }
  if (failure.length > 0) console.log(`\n== ${failed.join(", ")}`);
  for (const line of failure) console.log(line);
}

/** Runs all, so many processes at a time. */
async function run(plan: TestPlan): Promise<Counts> {
  const total: Counts = { passed: 0, failed: 0, ignored: 0 };
  // One more than there are processors, as many tests wait rather than compute.
  const lanes = Math.min(navigator.hardwareConcurrency + 1, PROCESSES_MAX);
  const left = groupFiles(plan.files, lanes).reverse();
  const lane = async () => {
    for (let group = left.pop(); group !== undefined; group = left.pop()) {
      const report = await runFiles(group, plan);
      show(report);
      total.passed += report.counts.passed;
      total.failed += report.counts.failed;
      total.ignored += report.counts.ignored;
    }
  };
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
