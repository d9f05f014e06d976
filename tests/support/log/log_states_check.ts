/**
 * log_states_check.ts: the tests that log_states_test.ts makes with few power cuts and
 * log_states_long_test.ts with many.
 *
 * @module
 */

import type { OpenLogOptions } from "../../../mod.ts";
import { testEachMethod } from "../methods.ts";
import { withSeed } from "../prng.ts";
import type { MethodChoice } from "../turns.ts";
import { lookAtStates } from "./log_states.ts";

/** Registers a test of so many power cuts. */
export function testLogStates(
  states: number,
  options: OpenLogOptions,
  turns: MethodChoice | null = null,
): void {
  const how = JSON.stringify(options);
  testEachMethod(
    `a log opened with ${how} loses nothing by any of ${states} power cuts`,
    async (method) => {
      await withSeed(async (seed) => {
        await lookAtStates({ method, seed, states, options });
      });
    },
    true,
    turns,
  );
}
