/**
 * test_output.ts: reads what `deno test` prints about some files, line by line: how many tests
 * passed, which were ignored, why others failed, what passing tests printed, and which files have
 * no result as something ended the process before.
 *
 * A passing test should print nothing. What is planned is dropped: errors of Workers that say "as
 * planned" at their end (Deno prints an uncaught one whatever the test does about it), and the
 * seeds of random tests. Anything else is noise, and kept.
 *
 * @module
 */

import { resolve } from "@std/path";
import { FILE_MARK } from "./part.ts";

/** How many tests ended how. */
export interface Counts {
  passed: number;
  failed: number;
  ignored: number;
}

/** What must be seen of one file. */
export interface FileReport {
  readonly file: string;
  /** The names of ignored tests. */
  readonly ignored: readonly string[];
  /** What failed tests printed, and passing ones without need, with their names. */
  readonly printed: readonly string[];
}

/** What came of one run of `deno test`. */
export interface TestReport {
  readonly counts: Readonly<Counts>;
  /** Files that printed something, or have ignored tests. */
  readonly files: readonly FileReport[];
  /** Files with failures, or without a result. */
  readonly failed: readonly string[];
  /** Deno's report of failures, or the end of a run that broke off; empty if nothing failed. */
  readonly failure: readonly string[];
}

/** What is known of one file. */
interface FileState extends FileReport {
  readonly ignored: string[];
  readonly printed: string[];
  /** How many tests Deno began it with, as far as it says so; null: it did not begin. */
  tests: number | null;
  /** How many of them have ended. */
  ended: number;
  /** What failed of it: tests, and Deno's word for the file itself. */
  readonly failed: string[];
}

/** How many of its last lines are shown of a run that broke off. */
const LAST_LINES_MAX = 100;

const GROUP = /^running \d+ tests? from .*\bgroup\.ts$/;
const FILE = /^running (\d+) tests? from (.+)$/;
const FILE_FAILED = /^Uncaught error from (.+) FAILED$/;
const RESULT = /^(?:(.+) \.\.\.)? (ok|FAILED|ignored|cancelled) \([^)]*\)$/;
const BEGIN = /^(\S.*?) \.\.\.(.*)$/;
const STEP = /^ {2,}\S.* \.\.\.( |$)/;
const REPORT = /^ (ERRORS|FAILURES) $/;
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed(?: \(\d+ steps?\))?(?: \| (\d+) ignored)?/;
const PLANNED = [
  /^error: Uncaught \(in worker "[^"]*"\) .*\bas planned$/,
  /\bAIO_TEST_SEED=\d+/,
  /^-+ ((pre|post)-test )?output( end)? -+$/,
  /^Check /,
  /^'.*' has been running for over \(.*\)$/,
  /^\s*$/,
];

function isPlanned(line: string): boolean {
  return PLANNED.some((pattern) => pattern.test(line));
}

/** Reads one run. */
export class TestOutput {
  readonly #files: readonly FileState[];
  /** How many tests only say which file of a group comes. */
  #marks = 0;
  readonly #lines: string[] = [];
  readonly #failure: string[] = [];
  /** How many tests ended how, by their own lines. */
  readonly #seen: Counts = { passed: 0, failed: 0, ignored: 0 };
  #summary: Counts | null = null;
  #isReporting = false;
  /** The file that is under way; before the first one begins, the first of all. */
  #file: FileState;
  /** The test that is under way, and what was printed since the last one ended. */
  #test: string | null = null;
  #printed: string[] = [];

  /** @param files of the run */
  constructor(files: readonly string[]) {
    this.#files = [...new Set(files)].map((file) => (
      { file, ignored: [], printed: [], tests: null, ended: 0, failed: [] }
    ));
    this.#file = this.#files[0]!;
  }

  /** The file that is under way. */
  get file(): string {
    return this.#file.file;
  }

  /** Takes one line, without its end. */
  read(line: string): void {
    this.#lines.push(line);
    if (this.#summary !== null) return;
    this.#summary = readSummary(line);
    if (this.#summary !== null) return;
    this.#isReporting ||= REPORT.test(line);
    if (this.#isReporting) this.#failure.push(line);
    else if (!this.#readFile(line)) this.#readTest(line);
  }

  /** Whether the line is about a file. */
  #readFile(line: string): boolean {
    if (GROUP.test(line)) return true;
    const [, tests, path] = FILE.exec(line) ?? [];
    const begun = path === undefined ? undefined : this.#find(path);
    if (begun !== undefined) {
      this.#begin(begun, Number(tests));
      return true;
    }
    const failed = this.#find(FILE_FAILED.exec(line)?.[1] ?? "");
    if (failed === undefined) return false;
    failed.tests ??= 0;
    failed.ended = failed.tests;
    failed.failed.push("an uncaught error");
    this.#seen.failed++;
    return true;
  }

  #begin(file: FileState, tests: number): void {
    this.#tellRest();
    this.#file = file;
    file.tests = tests;
  }

  #find(path: string): FileState | undefined {
    return this.#files.find(({ file }) => resolve(file) === resolve(path));
  }

  #readTest(line: string): void {
    const [, name, result] = RESULT.exec(line) ?? [];
    if (result !== undefined && (name === undefined || !name.startsWith("  "))) {
      this.#end(name ?? this.#test ?? "a test", result);
    } else if (result === "ignored") {
      this.#file.ignored.push(name!.trim());
    } else if (!STEP.test(line)) {
      const [, begun, rest] = this.#test === null ? BEGIN.exec(line) ?? [] : [];
      this.#test ??= begun ?? null;
      this.#printed.push(rest ?? line);
    }
  }

  #end(name: string, result: string): void {
    if (name.startsWith(FILE_MARK)) return this.#endMark(name);
    this.#file.ended++;
    if (result === "ignored") this.#file.ignored.push(name);
    else if (result !== "ok") this.#file.failed.push(`"${name}"`);
    this.#seen[result === "ok" ? "passed" : result === "ignored" ? "ignored" : "failed"]++;
    const printed = this.#printed.filter((line) => line !== "" && line !== `${name} ...`);
    const told = result === "ok" ? printed.filter((line) => !isPlanned(line)) : printed;
    this.#tell(`${name} printed:`, told);
    this.#test = null;
    this.#printed = [];
  }

  /** A file of a group begins. How many tests it has is not known. */
  #endMark(name: string): void {
    this.#test = null;
    this.#printed = this.#printed.filter((line) => line !== "" && line !== `${name} ...`);
    this.#begin(this.#find(name.slice(FILE_MARK.length))!, 0);
    this.#marks++;
  }

  #tell(heading: string, lines: readonly string[]): void {
    if (lines.length === 0) return;
    this.#file.printed.push(heading, ...lines.map((line) => `  ${line}`));
  }

  /** Tells what was printed since the last test of a file. */
  #tellRest(): void {
    const isFirst = this.#file.tests === null;
    const heading = isFirst ? "Before its tests:" : "After its tests, or before those of the next:";
    const begun = this.#test === null ? [] : [`${this.#test} ...`];
    this.#tell(heading, [...begun, ...this.#printed].filter((line) => !isPlanned(line)));
    this.#test = null;
    this.#printed = [];
  }

  /** What came of it. A failure outside of tests and a file without a result count as one each. */
  report(code: number): TestReport {
    const { counts, failure } = this.#summary === null ? this.#broken(code) : this.#whole(code);
    const failed = this.#files.filter((one) => one.failed.length > 0 || this.#lacksResult(one));
    return {
      counts,
      files: this.#files.filter(({ ignored, printed }) => ignored.length + printed.length > 0)
        .map(({ file, ignored, printed }) => ({ file, ignored, printed })),
      failed: (failed.length > 0 || counts.failed === 0 ? failed : this.#files)
        .map(({ file }) => file),
      failure,
    };
  }

  /** Whether Deno did not come to the end of a file. */
  #lacksResult(file: FileState): boolean {
    const { tests, ended } = file;
    if (tests === null) return true;
    return ended < tests || (this.#marks > 0 && this.#summary === null && this.#file === file);
  }

  /** Of a run with a summary. */
  #whole(code: number): Pick<TestReport, "counts" | "failure"> {
    this.#tellRest();
    const counts = { ...this.#summary!, passed: this.#summary!.passed - this.#marks };
    const lacking = this.#files.filter((one) => this.#lacksResult(one));
    const failure = lacking.map(({ file }) => `${file} has no result`);
    if (counts.failed > 0) failure.push(...this.#failure);
    else if (code !== 0) failure.push(...this.#lastLines(`deno test ended with ${code}.`));
    const more = counts.failed === 0 && code !== 0 ? Math.max(lacking.length, 1) : lacking.length;
    return { counts: { ...counts, failed: counts.failed + more }, failure };
  }

  /** Of a run that broke off. */
  #broken(code: number): Pick<TestReport, "counts" | "failure"> {
    const lacking = this.#files.filter((one) => this.#lacksResult(one));
    const test = this.#test === null ? "" : `"${this.#test}" in `;
    const where = this.#lines.length === 0 ? "" : ` in the middle of ${test}${this.file}`;
    const failure = [
      ...this.#files.flatMap(({ file, failed }) =>
        failed.map((what) => `Failed in ${file}: ${what}`)
      ),
      ...lacking.map(({ file }) => `${file} has no result`),
      ...this.#lastLines(`deno test ended with ${code}${where}.`),
    ];
    const failed = this.#seen.failed + Math.max(lacking.length, 1);
    return { counts: { ...this.#seen, failed }, failure };
  }

  #lastLines(what: string): string[] {
    return [`${what} The last lines of its output:`, ...this.#lines.slice(-LAST_LINES_MAX)];
  }
}

function readSummary(line: string): Counts | null {
  const [, passed, failed, ignored] = SUMMARY.exec(line) ?? [];
  if (passed === undefined) return null;
  return { passed: Number(passed), failed: Number(failed), ignored: Number(ignored ?? 0) };
}
