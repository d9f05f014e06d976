/**
 * append_model_check.ts: the tests that append_threads_test.ts makes with few records and
 * append_threads_long_test.ts with many.
 *
 * @module
 */

import { assertGreater } from "@std/assert";
import { testEachMethod } from "../methods.ts";
import { withSeed } from "../prng.ts";
import type { MethodChoice } from "../turns.ts";
import { tmpfsAvailable } from "../temp.ts";
import { dieAppending, runAppends } from "./append_model.ts";

/**
 * Registers the test.
 *
 * @param records of each of four threads
 * @param deaths of each of them
 * @param turns which methods it runs with
 */
export function testAppendModel(
  records: number,
  deaths: number,
  turns: MethodChoice | null = null,
): void {
  const ways = deaths === 0 ? "live" : "die at any atomic step";
  const name = `append() of ${4 * records} records by threads that ${ways} loses none`;
  testEachMethod(
    name,
    async (method) => {
      await withSeed(async (seed) => {
        const died = await runAppends({ method, seed, threads: 4, records, deaths });
        if (deaths > 0) assertGreater(died, 0);
      });
    },
    true,
    turns,
  );
}

/**
 * Registers the test of one append that a thread dies in: before one in so many of its steps.
 *
 * @param turns which methods it runs with
 */
export function testAppendDeaths(stride: number, turns: MethodChoice | null = null): void {
  const which = stride === 1 ? "any atomic step" : `one in ${stride} atomic steps`;
  testEachMethod(
    `append() of a thread that dies before ${which} of it is told of`,
    async (method) => {
      let step = 0;
      while (await dieAppending(method, step)) step += stride;
      assertGreater(step, 5);
    },
    true,
    turns,
  );
}

/** Registers the test of threads that append to a disk which becomes full, and full again. */
export function testAppendsOnFullDisk(records: number, turns: MethodChoice | null = null): void {
  testEachMethod(
    `append() of ${4 * records} records to a disk that becomes full loses none that is told of`,
    async (method) => {
      const plan = { method, threads: 4, records, deaths: 0, diskBytes: 100 * records };
      await withSeed(async (seed) => {
        await runAppends({ ...plan, seed, diskBytes: Math.ceil(plan.diskBytes / 4096) * 4096 });
      });
    },
    tmpfsAvailable(),
    turns,
  );
}
