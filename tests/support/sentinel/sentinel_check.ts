/**
 * sentinel_check.ts: the check that sentinel_test.ts makes with one round and sentinel_long_test.ts
 * with more.
 *
 * @module
 */

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { describeSeed, Prng, testSeed } from "../prng.ts";
import { FILE_BYTES, FILE_SEED, type SentinelReports } from "./sentinel.ts";
import { runChild, tempDir, writeRandomFile } from "../temp.ts";

const PROGRAM = new URL("./sentinel_program.ts", import.meta.url).href;
const TIME_LIMIT_MS = 120_000;

async function runSentinel(rounds: number): Promise<SentinelReports> {
  const seed = new Prng(testSeed()).uint32();
  await using dir = await tempDir();
  await writeRandomFile(dir.join("data"), FILE_BYTES, FILE_SEED);
  const flags = ["--no-prompt", "--no-lock", "--no-config", "-A", "--v8-flags=--expose-gc"];
  const args = ["run", ...flags, PROGRAM, dir.join("data"), String(seed), String(rounds)];
  const { code, stdout, stderr, timedOut } = await runChild(args, { timeLimitMs: TIME_LIMIT_MS });
  assertEquals([code, stderr, timedOut], [0, "", false], describeSeed(testSeed()));
  return JSON.parse(stdout);
}

/** Registers the tests about one run of the program, of so many rounds. */
export function testSentinel(rounds: number): void {
  let reports: Promise<SentinelReports> | null = null;
  const reported = () => reports ??= runSentinel(rounds);

  Deno.test("held: no IO writes to memory that was freed under it, whoever ended", async () => {
    const { threads } = await reported();
    assertEquals(threads.changed, 0, describeSeed(testSeed()));
    // It was about something: at least the main thread's own, which nobody else may perform.
    assertGreaterOrEqual(threads.performed, 6 * rounds);
    assertGreaterOrEqual(threads.verified, 4 * rounds);
    assertGreaterOrEqual(threads.sentinelBytes, 64 * 1_048_576);
  });

  Deno.test("held canary: an IO that is pointed at plain memory by force is found", async () => {
    const { canary } = await reported();
    assertEquals([canary.performed, canary.changed], [1, 1]);
  });
}
