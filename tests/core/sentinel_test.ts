/**
 * sentinel_test.ts: no IO touches memory that was given up under it, whatever its issuer forgot and
 * however its thread ended. The program is `sentinel_program.ts`, in a process of its own.
 */

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { withPrng } from "../support/prng.ts";
import { FILE_BYTES, FILE_SEED, type SentinelReport } from "../support/sentinel/sentinel.ts";
import { runChild, tempDir, writeRandomFile } from "../support/temp.ts";

const PROGRAM = new URL("../support/sentinel/sentinel_program.ts", import.meta.url).href;
const TIME_LIMIT_MS = 120_000;

async function runSentinel(mode: "threads" | "canary", seed: number): Promise<SentinelReport> {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("data"), FILE_BYTES, FILE_SEED);
  const flags = ["--no-prompt", "--no-lock", "--no-config", "-A", "--v8-flags=--expose-gc"];
  const args = ["run", ...flags, PROGRAM, mode, dir.join("data"), String(seed)];
  const { code, stdout, stderr, timedOut } = await runChild(args, { timeLimitMs: TIME_LIMIT_MS });
  assertEquals([code, stderr, timedOut], [0, "", false]);
  return JSON.parse(stdout);
}

Deno.test("held: no IO writes to memory that was freed under it, whoever ended", async () => {
  await withPrng(async (random) => {
    const report = await runSentinel("threads", random.uint32());
    assertEquals(report.changed, 0);
    // It was about something: at least the main thread's own, which nobody else may perform.
    assertGreaterOrEqual(report.performed, 18);
    assertGreaterOrEqual(report.verified, 12);
    assertGreaterOrEqual(report.sentinelBytes, 64 * 1_048_576);
  });
});

Deno.test("held canary: an IO that is pointed at plain memory by force is found", async () => {
  const { performed, changed } = await runSentinel("canary", 1);
  assertEquals([performed, changed], [1, 1]);
});
