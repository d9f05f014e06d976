/**
 * method_program.ts: one small program that does the same with each method, one after the other,
 * and a test for each about what it printed: a process takes longer to start than all that it does.
 *
 * @module
 */

import { assertEquals } from "./assert/assert.ts";
import { METHODS_UNDER_TEST, testEachMethod } from "./methods.ts";
import { type ProgramOptions, runProgram } from "./program.ts";
import { type ChildResult, type TempDir, tempDir } from "./temp.ts";

/** What a program does, and how it runs. */
export interface MethodProgram {
  /** The body of an asynchronous function, which finds `method`, and prints by `print()`. */
  readonly body: string;
  /** How it runs. */
  readonly options?: ProgramOptions;
  /** Runs its text in another way than {@linkcode runProgram}. */
  readonly run?: (source: string, options?: ProgramOptions) => Promise<ChildResult>;
}

/** A program that keeps apart what is printed for each method. */
function sourceOf(body: string): string {
  const methods = METHODS_UNDER_TEST.filter(({ ignore }) => !ignore).map(({ name }) => name);
  return `
    const lines = {};
    for (const method of ${JSON.stringify(methods)}) {
      const print = (...words) => lines[method].push(words.join(" "));
      lines[method] = [];
      try {
        await (async () => { ${body} })();
      } catch (error) {
        print("threw " + error);
      }
    }
    console.log(JSON.stringify(lines));`;
}

/**
 * Registers a test for each method about one program, which the first of them runs.
 *
 * @param name what is shown, in words
 * @param prepare is called once, with a folder that is there while the program runs
 * @param check gets the lines that the program printed for the method, the folder's path, and the
 *   method
 * @param isPossible whether the machine has what the program needs beside the method
 */
export function testMethodProgram(
  name: string,
  prepare: (dir: TempDir) => MethodProgram | Promise<MethodProgram>,
  check: (lines: readonly string[], path: string, method: string) => void,
  isPossible = true,
): void {
  let outcome: Promise<{ lines: Record<string, readonly string[]>; path: string }> | null = null;
  const run = async () => {
    await using dir = await tempDir();
    const { body, options, run = runProgram } = await prepare(dir);
    const { code, stdout, stderr, timedOut } = await run(sourceOf(body), options);
    assertEquals([timedOut, code, stderr], [false, 0, ""], stdout);
    return { lines: JSON.parse(stdout), path: dir.path };
  };
  testEachMethod(name, async (method) => {
    const { lines, path } = await (outcome ??= run());
    check(lines[method]!, path, method);
  }, isPossible);
}
