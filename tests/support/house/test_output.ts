/**
 * test_output.ts: reads what `deno test` prints, line by line: how many tests passed, which were
 * ignored, why others failed, and what passing tests printed.
 *
 * A passing test should print nothing. What is planned is dropped: errors of Workers that say "as
 * planned" at their end (Deno prints an uncaught one whatever the test does about it), and the
 * seeds of random tests. Anything else is noise, and kept.
 *
 * @module
 */

/** How many tests ended how. */
export interface Counts {
  passed: number;
  failed: number;
  ignored: number;
}

/** What came of one run of `deno test`. */
export interface TestReport {
  readonly counts: Readonly<Counts>;
  /** The names of ignored tests. */
  readonly ignored: readonly string[];
  /** What passing tests printed, with their names. */
  readonly noise: readonly string[];
  /** Why it failed: what failed tests printed, and Deno's own report; empty if nothing failed. */
  readonly failure: readonly string[];
}

/** How many of its last lines are shown of a run that broke off. */
const LAST_LINES_MAX = 100;

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
  /^running \d+ tests? from /,
  /^Check /,
  /^'.*' has been running for over \(.*\)$/,
  /^\s*$/,
];

function isPlanned(line: string): boolean {
  return PLANNED.some((pattern) => pattern.test(line));
}

/** Reads one run. */
export class TestOutput {
  readonly #lines: string[] = [];
  readonly #ignored: string[] = [];
  readonly #noise: string[] = [];
  readonly #failure: string[] = [];
  #counts: Counts | null = null;
  #isReporting = false;
  /** The test that is under way, and what was printed since the last one ended. */
  #test: string | null = null;
  #printed: string[] = [];

  /** The test that is under way; null between tests. */
  get test(): string | null {
    return this.#test;
  }

  /** Takes one line, without its end. */
  read(line: string): void {
    this.#lines.push(line);
    if (this.#counts !== null) return;
    this.#counts = readSummary(line);
    if (this.#counts !== null) return;
    this.#isReporting ||= REPORT.test(line);
    if (this.#isReporting) this.#failure.push(line);
    else this.#readTest(line);
  }

  #readTest(line: string): void {
    const [, name, result] = RESULT.exec(line) ?? [];
    if (result !== undefined && (name === undefined || !name.startsWith("  "))) {
      this.#end(name ?? this.#test ?? "a test", result);
    } else if (result === "ignored") {
      this.#ignored.push(name!.trim());
    } else if (!STEP.test(line)) {
      const [, begun, rest] = this.#test === null ? BEGIN.exec(line) ?? [] : [];
      this.#test ??= begun ?? null;
      this.#printed.push(rest ?? line);
    }
  }

  #end(name: string, result: string): void {
    if (result === "ignored") this.#ignored.push(name);
    const printed = this.#printed.filter((line) => line !== "" && line !== `${name} ...`);
    const told = result === "ok" ? printed.filter((line) => !isPlanned(line)) : printed;
    const target = result === "ok" ? this.#noise : this.#failure;
    if (told.length > 0) target.push(`${name} printed:`, ...told.map((line) => `  ${line}`));
    this.#test = null;
    this.#printed = [];
  }

  /**
   * What came of it. A run that broke off, or failed outside of its tests, counts as one failure.
   *
   * @param code the exit code of `deno test`
   */
  report(code: number): TestReport {
    const counts = this.#counts ?? { passed: 0, failed: 0, ignored: this.#ignored.length };
    const isBroken = this.#counts === null || (code !== 0 && counts.failed === 0);
    if (!isBroken) {
      const failure = counts.failed === 0 ? [] : this.#failure;
      return { counts, ignored: this.#ignored, noise: this.#noise, failure };
    }
    const where = this.#test === null ? "" : ` in the middle of "${this.#test}"`;
    const failure = [
      `deno test ended with ${code}${where}. The last lines of its output:`,
      ...this.#lines.slice(-LAST_LINES_MAX),
    ];
    return {
      counts: { ...counts, failed: counts.failed + 1 },
      ignored: this.#ignored,
      noise: [],
      failure,
    };
  }
}

function readSummary(line: string): Counts | null {
  const [, passed, failed, ignored] = SUMMARY.exec(line) ?? [];
  if (passed === undefined) return null;
  return { passed: Number(passed), failed: Number(failed), ignored: Number(ignored ?? 0) };
}
