/** turn_test.ts: completions do not starve the rest of the event loop, and all are handed out. */

import { assert, assertEquals, assertFalse, assertGreaterOrEqual } from "@std/assert";
import { Turn } from "../../../core/waiting/turn.ts";
import { fileContent, openSync, startRead } from "../../support/core.ts";
import { hangs } from "../../support/patience.ts";
import { WorkClock } from "../../support/work_clock.ts";

const TICKS = 20;

/** Takes the record of turns, and keeps nothing. */
const UNRECORDED = { turned: () => {} };

function nextMacrotask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("Turn lets nobody overtake those who wait for the next one, where IOs are slow", async () => {
  using clock = new WorkClock();
  const turn = new Turn(nextMacrotask, UNRECORDED);
  const told: number[] = [];
  const all = Promise.withResolvers<void>();
  let next = 0;
  const start = () => {
    const number = next++;
    turn.spend(0);
    turn.handOut({
      completed() {
        told.push(number);
        if (told.length === 30) all.resolve();
        if (next < 30) start();
      },
    });
  };
  clock.busy(10);
  // Each unit turns out to be slow, so that each turn has room for one waiter.
  turn.spend(1024 * 1024);
  assert(turn.isOver());
  for (let i = 0; i < 5; i++) start();
  await all.promise;
  assertEquals(told, Array.from({ length: 30 }, (_, i) => i));
});

Deno.test("Turn tells all who wait at once again, as soon as their IOs are fast again", async () => {
  using clock = new WorkClock();
  const turn = new Turn(nextMacrotask, UNRECORDED);
  const all = Promise.withResolvers<void>();
  let left = 30;
  let together = 0;
  let mostTogether = 0;
  const start = () => {
    turn.spend(0);
    turn.handOut({
      completed() {
        if (together++ === 0) queueMicrotask(() => together = 0);
        mostTogether = Math.max(mostTogether, together);
        if (--left === 0) all.resolve();
        if (left >= 5) start();
      },
    });
  };
  clock.busy(10);
  turn.spend(1024 * 1024);
  assert(turn.isOver());
  for (let i = 0; i < 5; i++) start();
  await all.promise;
  // If they came one by one, each new IO would be submitted alone, for as long as any come.
  assertEquals(mostTogether, 5);
});

/** Runs something, and keeps the errors that nobody catches instead of ending the process. */
async function withUncaught(run: () => Promise<void>): Promise<unknown[]> {
  const errors: unknown[] = [];
  const keep = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  globalThis.addEventListener("error", keep);
  try {
    await run();
  } finally {
    globalThis.removeEventListener("error", keep);
  }
  return errors;
}

Deno.test("Turn hands out by a microtask while the turn lasts, never within the call", async () => {
  const turn = new Turn(nextMacrotask, UNRECORDED);
  const told: number[] = [];
  for (let i = 0; i < 3; i++) turn.handOut({ completed: () => told.push(i) });
  assertEquals(told, []);
  await Promise.resolve();
  assertEquals(told, [0, 1, 2]);
});

Deno.test("Turn is not over before work was spent, however long ago it began", () => {
  using clock = new WorkClock();
  const turn = new Turn(nextMacrotask, UNRECORDED);
  clock.busy(3);
  assertFalse(turn.isOver());
});

Deno.test("Turn is over after 1 ms of work, and hands out in the next one then", async () => {
  using clock = new WorkClock();
  const turn = new Turn(nextMacrotask, UNRECORDED);
  clock.busy(3);
  for (let i = 0; i < 100; i++) turn.spend(512);
  assert(turn.isOver());
  let told = 0;
  turn.handOut({ completed: () => told++ });
  turn.handOut({ completed: () => told++ });
  for (let i = 0; i < 100; i++) await Promise.resolve();
  assertEquals(told, 0);
  await nextMacrotask();
  await nextMacrotask();
  assertEquals(told, 2);
});

Deno.test("Turn looks at the clock after one large IO", () => {
  using clock = new WorkClock();
  const turn = new Turn(nextMacrotask, UNRECORDED);
  clock.busy(3);
  turn.spend(1024 * 1024);
  assert(turn.isOver());
});

Deno.test("Turn hands out in the order of completion, also across its end", async () => {
  using clock = new WorkClock();
  const all = Promise.withResolvers<void>();
  const turn = new Turn(nextMacrotask, UNRECORDED);
  const told: number[] = [];
  for (let i = 0; i < 40; i++) {
    if (i === 20) clock.busy(3);
    turn.spend(65_536);
    turn.handOut({ completed: () => told.push(i) });
  }
  turn.handOut({ completed: all.resolve });
  await all.promise;
  assertEquals(told, Array.from({ length: 40 }, (_, i) => i));
});

Deno.test("Turn lets a waiter hand out anew", async () => {
  const turn = new Turn(nextMacrotask, UNRECORDED);
  let left = 5;
  const done = Promise.withResolvers<void>();
  const waiter = {
    completed() {
      left--;
      if (left === 0) done.resolve();
      else turn.handOut(waiter);
    },
  };
  turn.handOut(waiter);
  await done.promise;
  assertEquals(left, 0);
});

for (const isOver of [false, true]) {
  Deno.test(`Turn tells all others when one waiter throws (turn over: ${isOver})`, async () => {
    using clock = new WorkClock();
    const turn = new Turn(nextMacrotask, UNRECORDED);
    if (isOver) {
      clock.busy(3);
      turn.spend(10_000_000);
    }
    const mine = new Error("mine");
    let told = 0;
    const errors = await withUncaught(async () => {
      turn.handOut({ completed: () => told++ });
      turn.handOut({
        completed() {
          throw mine;
        },
      });
      turn.handOut({ completed: () => told++ });
      for (let i = 0; i < 6; i++) await nextMacrotask();
    });
    assertEquals(told, 2);
    assertEquals(errors, [mine]);
  });
}

Deno.test("Turn breaks once it has gone on for 10 ms, and settled() waits for that", async () => {
  using clock = new WorkClock();
  const gate = Promise.withResolvers<void>();
  let breaks = 0;
  const turn = new Turn(() => {
    breaks++;
    return gate.promise;
  }, UNRECORDED);
  clock.busy(12);
  turn.spend(10_000_000);
  let told = 0;
  turn.handOut({ completed: () => told++ });
  assertEquals([breaks, told], [1, 0]);
  let isSettled = false;
  const settled = turn.settled().then(() => isSettled = true);
  for (let i = 0; i < 3; i++) await nextMacrotask();
  assertEquals([isSettled, told], [false, 0]);
  gate.resolve();
  await settled;
  assertEquals(told, 1);
});

Deno.test("Turn.settled() resolves at once when there is no break", async () => {
  await new Turn(() => Promise.reject(new Error("no break")), UNRECORDED).settled();
});

Deno.test("sync: an interval keeps its ticks while tasks await cached reads", async () => {
  await using fixture = await openSync();
  const { aio } = fixture;
  const isHanging = hangs();
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const views = Array.from({ length: 32 }, () => aio.alloc(4096));
  const task = async (view: Uint8Array) => {
    while (ticks < TICKS && !isHanging()) await fixture.file.readAt(view, 4096);
  };
  await Promise.all(views.map(task));
  clearInterval(timer);
  assertGreaterOrEqual(ticks, TICKS);
  assertEquals(views[31], fileContent(4096, 4096));
});

Deno.test("sync: awaiting IO of the core lets timers run too", async () => {
  await using fixture = await openSync();
  const { aio } = fixture;
  const isHanging = hangs();
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  while (ticks < TICKS && !isHanging()) {
    const { ref, view } = startRead(fixture);
    await aio.wait(ref);
    aio.free(view);
  }
  clearInterval(timer);
  assertGreaterOrEqual(ticks, TICKS);
});
