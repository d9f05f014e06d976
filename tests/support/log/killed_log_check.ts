/**
 * killed_log_check.ts: the tests that log_killed_test.ts makes with one kill and
 * log_killed_long_test.ts with several.
 *
 * @module
 */

import type { OpenLogOptions } from "../../../mod.ts";
import { testEachMethod } from "../methods.ts";
import { testSeed } from "../prng.ts";
import { tempDir } from "../temp.ts";
import type { MethodChoice } from "../turns.ts";
import { killLog } from "./killed_log.ts";

/** Options of the log. */
export const KILLED_OPTIONS = { segmentBytes: 262_144, bufferBytes: 262_144 };

/**
 * Registers a test of a log whose program is killed so many times.
 *
 * @param options of the log, in addition
 */
export function testLogKilled(
  kills: number,
  options: OpenLogOptions,
  turns: MethodChoice | null = null,
): void {
  const how = JSON.stringify(options);
  const times = kills === 1 ? "a kill" : `each of ${kills} kills`;
  testEachMethod(
    `a log opened with ${how} loses nothing that it acknowledged before ${times}`,
    async (method) => {
      await using dir = await tempDir();
      const plan = { method, kills, seed: testSeed(), dir: dir.path };
      await killLog({ ...plan, options: { ...KILLED_OPTIONS, ...options } });
    },
    true,
    turns,
  );
}
