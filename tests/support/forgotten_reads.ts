/**
 * forgotten_reads.ts: the checks that lifetime_test.ts of io_uring makes with few forgotten reads,
 * and lifetime_long_test.ts with many: see uring_program.ts.
 *
 * @module
 */

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import type { RingForm } from "../../methods/io_uring/setup.ts";
import { testSeed } from "./prng.ts";
import { FILE_BYTES, FILE_SEED } from "./sentinel/sentinel.ts";
import { runChild, tempDir, writeRandomFile } from "./temp.ts";
import { testEachForm } from "./rings/uring.ts";
import { HANDLES, READ_BYTES, type UringReport, type UringTask } from "./rings/uring_program.ts";

const PROGRAM = new URL("./rings/uring_program.ts", import.meta.url).href;
const TIME_LIMIT_MS = 120_000;

/** Runs the program in a process of its own, which has to end by itself. */
export async function runForgotten(
  task: UringTask,
  form: RingForm,
  reads: number,
): Promise<UringReport> {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("data"), FILE_BYTES, FILE_SEED);
  const flags = ["--no-prompt", "--no-lock", "-A", "--v8-flags=--expose-gc"];
  const args = [
    "run",
    ...flags,
    PROGRAM,
    task,
    form,
    dir.join("data"),
    String(testSeed()),
    String(reads),
  ];
  const { code, stdout, stderr, timedOut } = await runChild(args, { timeLimitMs: TIME_LIMIT_MS });
  assertEquals([code, stderr, timedOut], [0, "", false]);
  return JSON.parse(stdout);
}

/** Registers the checks for each form of the ring, with so many reads. */
export function testForgottenReads(reads: number): void {
  testEachForm(`${reads} forgotten reads of a file touch nothing that was freed`, async (form) => {
    const report = await runForgotten("files", form, reads);
    assertEquals([report.changed, report.idle], [0, HANDLES]);
    assertGreaterOrEqual(report.bytesRead, reads * 4096);
  });

  testEachForm(
    `${reads} forgotten reads that end late touch nothing that was freed`,
    async (form) => {
      const report = await runForgotten("pipes", form, reads);
      assertEquals([report.changed, report.idle], [0, HANDLES]);
      assertEquals([report.late, report.bytesRead], [reads, reads * READ_BYTES]);
    },
  );

  testEachForm(
    `${reads} forgotten reads that never end do not keep a program running`,
    async (form) => {
      const report = await runForgotten("left", form, reads);
      assertEquals([report.late, report.bytesRead, report.changed], [reads, 0, 0]);
    },
  );
}
