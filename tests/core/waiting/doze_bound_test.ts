/** doze_bound_test.ts: how long the pump stays awake for an IO, dozing, before it sleeps. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { DozeBound } from "../../../core/waiting/doze_bound.ts";
import { replace } from "../../support/bells/bells.ts";
import { openHeld, startRead } from "../../support/core.ts";

const LESSONS = 40;

/** What one look found. */
interface Found {
  /** IOs that were completed; by default one. */
  readonly count?: number;
  /** IOs in flight beside them; by default none. */
  readonly left?: number;
}

/**
 * Teaches a bound by looks that found completions, each so long after the one before.
 *
 * @returns the time of the last look
 */
function teach(bound: DozeBound, tookMs: number, { count = 1, left = 0 }: Found = {}): number {
  bound.begin(0);
  for (let i = 1; i <= LESSONS; i++) bound.learn(i * tookMs, count, left);
  return LESSONS * tookMs;
}

/** How long it stays awake, in hundredths of a millisecond precisely. */
function patienceOf(bound: DozeBound, since: number): number {
  let hundredths = 0;
  // Look in the middle of each hundredth, where rounding decides nothing.
  while (bound.left(since + (hundredths + 0.5) / 100) > 0) hundredths++;
  return hundredths / 100;
}

Deno.test("DozeBound gives an IO of which nothing is known 0.1 ms", () => {
  const bound = new DozeBound(null);
  bound.begin(5);
  assertEquals(patienceOf(bound, 5), 0.1);
});

Deno.test("DozeBound gives an IO twice as long as the last ones took", () => {
  for (const tookMs of [0.06, 0.1, 0.3]) {
    const bound = new DozeBound(null);
    const patience = patienceOf(bound, teach(bound, tookMs));
    assert(Math.abs(patience - 2 * tookMs) < 0.03, `${patience} after ${tookMs}`);
  }
});

Deno.test("DozeBound gives an IO 0.05 ms at least, however quick the last ones were", () => {
  const bound = new DozeBound(null);
  assertEquals(patienceOf(bound, teach(bound, 0.001)), 0.05);
});

Deno.test("DozeBound gives an IO 1 ms at most, and 0.05 ms where the last ones took longer", () => {
  const bound = new DozeBound(null);
  assertEquals(patienceOf(bound, teach(bound, 0.6)), 1);
  const slow = new DozeBound(null);
  assertEquals(patienceOf(slow, teach(slow, 5)), 0.05);
});

Deno.test("DozeBound goes by how long one IO takes, however many are in flight", () => {
  const slow = new DozeBound(null);
  // One of 32 every 0.1 ms, so each takes 3.2 ms.
  assertEquals(patienceOf(slow, teach(slow, 0.1, { left: 31 })), 0.05);
  const quick = new DozeBound(null);
  // All 32 at once, after 0.4 ms.
  assert(patienceOf(quick, teach(quick, 0.4, { count: 32 })) > 0.7);
});

Deno.test("DozeBound learns that IOs became quick again, even after one that took seconds", () => {
  const bound = new DozeBound(null);
  const at = teach(bound, 5000);
  for (let i = 1; i <= 30; i++) bound.learn(at + i * 0.1, 1, 0);
  assert(patienceOf(bound, at + 3) > 0.2);
});

Deno.test("DozeBound has no doze last longer than 0.2 ms, or than the option dozeMicroseconds", () => {
  const longest = (bound: DozeBound) => bound.left(teach(bound, 0.3));
  assertEquals(longest(new DozeBound(null)), 0.2);
  assertEquals(longest(new DozeBound(20)), 0.02);
  assertEquals(longest(new DozeBound(500)), 0.5);
});

Deno.test("DozeBound ends a doze when it is time to sleep", () => {
  const bound = new DozeBound(null);
  const at = teach(bound, 0.3);
  assertAlmostEquals(bound.left(at + 0.5), 0.1, 0.03);
});

Deno.test("DozeBound has none with the option dozeMicroseconds 0", () => {
  const bound = new DozeBound(0);
  bound.begin(0);
  assertEquals(bound.left(0), 0);
});

Deno.test("held: the pump does not sleep while that is not worth it", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const { ref } = startRead(fixture);
  let looks = 0;
  let polls = 0;
  using _bound = replace(DozeBound.prototype, "left", () => {
    if (++looks === 10) held.perform(aio, ref);
    return 0.01;
  });
  using _poll = replace(backendOf(aio).libc, "pollNonblocking", () => {
    polls++;
    return Promise.resolve(0);
  });
  await aio.wait(ref);
  // With nothing in flight it stops looking.
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals([looks, polls], [10, 0]);
});

Deno.test("held: the pump learns from the last IO in flight, too", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const { ref } = startRead(fixture);
  const lessons: number[][] = [];
  using _bound = replace(
    DozeBound.prototype,
    "learn",
    (_now: number, count: number, left: number) => {
      lessons.push([count, left]);
    },
  );
  setTimeout(() => held.perform(aio, ref), 1);
  await aio.wait(ref);
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(lessons, [[1, 0]]);
});

Deno.test("held: with the option dozeMicroseconds 0 the pump sleeps at once", async () => {
  await using fixture = await openHeld({ dozeMicroseconds: 0 });
  const { aio, held } = fixture;
  const { ref } = startRead(fixture);
  let polls = 0;
  using _poll = replace(backendOf(aio).libc, "pollNonblocking", () => {
    polls++;
    held.perform(aio, ref);
    return Promise.resolve(0);
  });
  await aio.wait(ref);
  assertEquals(polls, 1);
});
