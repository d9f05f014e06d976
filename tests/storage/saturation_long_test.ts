/**
 * saturation_long_test.ts: programs with far more reads at once than there is room for end as they
 * should, each on two methods a run.
 */

import { assertEquals } from "@std/assert";
import { testEachMethod } from "../support/methods.ts";
import { runProgram } from "../support/program.ts";
import { tempDir, writeRandomFile } from "../support/temp.ts";
import { DrawnMethods } from "../support/turns.ts";

const turns = new DrawnMethods(2);
const FILE_BYTES = 65_536;
const FILE_SEED = 1;

const ENDINGS = [
  ["ends by itself once the last promise is settled", "await Promise.all(reads);", 0],
  ["ends by itself without awaiting them", "", 0],
  ["ends at once by Deno.exit() in the middle", "await reads[0]; Deno.exit(7);", 7],
  ["ends at once by an uncaught error", "await reads[0]; throw new Error('enough');", 1],
] as const;

for (const [what, ending, expected] of ENDINGS) {
  testEachMethod(
    `a program with 1000 reads ${what}`,
    async (method) => {
      await using dir = await tempDir();
      await writeRandomFile(dir.join("file"), FILE_BYTES, FILE_SEED);
      const program = `
      const aio = await Aio.open({ method: ${JSON.stringify(method)}, maxConcurrency: 8 });
      const file = await aio.openFile(Deno.args[0]);
      const reads = Array.from({ length: 1000 }, (_, i) => file.readAt(new Uint8Array(4096), i));
      ${ending}`;
      const result = await runProgram(program, { args: [dir.join("file")] });
      assertEquals([result.timedOut, result.code], [false, expected]);
    },
    true,
    turns,
  );
}
