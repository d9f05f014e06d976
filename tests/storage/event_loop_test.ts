/**
 * event_loop_test.ts: timers get their turns while reads come back at once, and a process that is
 * done ends by itself. The benchmarks measure how well.
 *
 * @module
 */

import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { openAio, testEachMethod } from "../support/methods.ts";
import { hangs } from "../support/patience.ts";
import { runProgram } from "../support/program.ts";
import { testProgramEnds } from "../support/program_ends.ts";
import { tempDir, writeRandomFile } from "../support/temp.ts";
import { Turns } from "../support/turns.ts";

const TASKS = 32;
const TICKS = 20;
const INTERVAL_MS = 1;

/** Of the tests of reads that come back at once, and of those of programs that end. */
const [reading, ending] = [new Turns(3), new Turns(3)];

for (const kind of ["arena", "plain"] as const) {
  testEachMethod(
    `an interval keeps ticking while ${TASKS} tasks await cached reads, ${kind}`,
    async (method) => {
      await using dir = await tempDir();
      await writeRandomFile(dir.join("file"), 65_536, 1);
      await using aio = await openAio(method);
      await using file = await aio.openFile(dir.join("file"));
      let ticks = 0;
      const interval = setInterval(() => ticks++, INTERVAL_MS);
      // A starved timer makes the test fail, and not hang.
      const isHanging = hangs();
      await Promise.all(
        Array.from({ length: TASKS }, async (_, i) => {
          const buffer = kind === "arena" ? aio.alloc(4096) : new Uint8Array(4096);
          while (ticks < TICKS && !isHanging()) {
            assertEquals(await file.readAt(buffer, (i % 16) * 4096), 4096);
          }
        }),
      );
      clearInterval(interval);
      assertGreaterOrEqual(ticks, TICKS);
    },
    true,
    reading,
  );
}

testEachMethod(
  "a file operation of Deno gets its turn while tasks await cached reads",
  async (method) => {
    await using dir = await tempDir();
    await writeRandomFile(dir.join("file"), 65_536, 1);
    await using aio = await openAio(method);
    await using file = await aio.openFile(dir.join("file"));
    let isOver = false;
    const isHanging = hangs();
    const other = Deno.readFile(dir.join("file")).then(() => isOver = true);
    while (!isOver && !isHanging()) {
      await Promise.all(Array.from({ length: 8 }, () => file.readAt(new Uint8Array(512), 0)));
    }
    assert(isOver, "Deno.readFile() does not finish");
    await other;
  },
  true,
  reading,
);

testProgramEnds("with all closed", "await file.close(); await aio.close();", ending);
testProgramEnds("with a promise nobody awaits", "file.readAt(new Uint8Array(10), 0);", ending);

testEachMethod(
  "a write that a program does not await is done before it ends",
  async (method) => {
    await using dir = await tempDir();
    const program = `
    const aio = await Aio.open({ method: ${JSON.stringify(method)} });
    const file = await aio.openFile(Deno.args[0], { write: true, create: true });
    for (let i = 0; i < 100; i++) file.writeAt(new Uint8Array(1000).fill(7), i * 1000);`;
    const result = await runProgram(program, { args: [dir.join("file")] });
    assertEquals([result.timedOut, result.code, result.stderr], [false, 0, ""]);
    const content = await Deno.readFile(dir.join("file"));
    assertEquals([content.length, content.every((byte) => byte === 7)], [100_000, true]);
  },
  true,
  ending,
);
