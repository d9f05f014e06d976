/**
 * program_ends.ts: a program that has read a file ends by itself, whatever it leaves open.
 *
 * @module
 */

import { assertEquals } from "./assert/assert.ts";
import { testEachMethod } from "./methods.ts";
import { runProgram } from "./program.ts";
import { tempDir, writeRandomFile } from "./temp.ts";
import type { Turns } from "./turns.ts";

/**
 * Registers a test for each method.
 *
 * @param what how it ends, in words
 * @param ending its last lines, which find `aio` and `file`
 * @param turns those of its subject
 */
export function testProgramEnds(
  what: string,
  ending: string,
  turns: Turns | null = null,
): void {
  testEachMethod(
    `a process ends by itself ${what}`,
    async (method) => {
      await using dir = await tempDir();
      await writeRandomFile(dir.join("file"), 65_536, 1);
      const program = `
      const aio = await Aio.open({ method: ${JSON.stringify(method)} });
      const file = await aio.openFile(Deno.args[0]);
      await file.readAt(new Uint8Array(10), 0);
      ${ending}
      console.log("end");`;
      const result = await runProgram(program, { args: [dir.join("file")] });
      assertEquals([result.timedOut, result.code], [false, 0]);
      assertEquals([result.stdout, result.stderr], ["end\n", ""]);
    },
    true,
    turns,
  );
}
