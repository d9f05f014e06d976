/**
 * queue_race_long_test.ts: threads that meet at the lock of the queue lose no IO, and wait for no
 * other.
 */

import { assert, assertEquals } from "@std/assert";
import { race } from "../../support/threads/queue_race.ts";

const ROUNDS = 1000;

Deno.test("WorkerQueue: what several threads put in at the same time is taken out once each", async () => {
  const { put, taken, isStuck } = await race(ROUNDS);
  assertEquals([isStuck, taken], [false, put]);
});

Deno.test("WorkerQueue canary: a thread that gives the lock back without a look is found", async () => {
  // This ends as soon as two have met.
  const { isStuck, outside } = await race(1_000_000, true);
  assert(isStuck && outside > 0, `${outside}`);
});
