/**
 * log_threads_check.ts: the tests that log_threads_test.ts makes with few records and
 * log_threads_long_test.ts with many.
 *
 * @module
 */

import { assertGreater } from "@std/assert";
import { testEachMethod } from "../methods.ts";
import { withSeed } from "../prng.ts";
import type { MethodChoice } from "../turns.ts";
import { runLogThreads } from "./log_threads.ts";

const THREADS = 4;

/** How a log is used. */
export interface LogWay {
  /** Default: as a log decides for itself. */
  readonly direct?: boolean;
  readonly follows?: boolean;
}

/** Registers a test of four threads, each with so many records, of which so many die. */
export function testLogThreads(
  records: number,
  deaths: number,
  { direct, follows = false }: LogWay = {},
  turns: MethodChoice | null = null,
): void {
  const ways = deaths === 0 ? "live" : "die at any atomic step";
  const name = `a log of ${THREADS * records} records by threads that ${ways} loses none`;
  const how = direct === undefined ? "" : direct ? ", direct" : ", buffered";
  testEachMethod(
    `${name}${how}${follows ? ", followed" : ""}`,
    async (method) => {
      await withSeed(async (seed) => {
        const died = await runLogThreads({
          method,
          seed,
          threads: THREADS,
          records,
          deaths,
          direct,
          follows,
        });
        if (deaths > 0) assertGreater(died, 0);
      });
    },
    true,
    turns,
  );
}
