/**
 * wake_ups_test.ts: what the counters of `aio.backends()` and the log record of sleeps, bells and
 * turns. In tests about times the clock moves only as the test says.
 */

import { assert, assertEquals } from "@std/assert";
import type { LogLevel } from "../../../core/base/log_level.ts";
import { backendOf } from "../../../core/inside.ts";
import { CallbackTable } from "../../../core/io/callback.ts";
import type { BackendCounters } from "../../../core/io/counters.ts";
import { COUNTER } from "../../../core/io/counters.ts";
import { IoLog } from "../../../core/io/io_log.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { Doorbells } from "../../../core/waiting/doorbell.ts";
import { Turn } from "../../../core/waiting/turn.ts";
import { Sleep, type SleepEnd, WakeUps } from "../../../core/waiting/wake_ups.ts";
import { comes, PollWatch, shareStages, type Stage } from "../../support/bells/bells.ts";
import { type Fixture, openHeld, startRead } from "../../support/core.ts";
import { testEachCoreMethod } from "../../support/core_methods.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { becomes } from "../../support/patience.ts";
import { WorkClock } from "../../support/work_clock.ts";

const openStage = shareStages(1);

/** What is counted of waiting. */
const NAMES = [
  "sleeps",
  "sleepsTimedOut",
  "bells",
  "bellsForNothing",
  "blockingSleeps",
  "turnsEnded",
  "breaks",
] as const;

type Counts = Partial<Record<typeof NAMES[number], number>>;

function countersOf({ aio }: Pick<Fixture, "aio">): BackendCounters {
  return aio.backends()[0]!.counters;
}

/** Those that are not 0. */
function countsOf(fixture: Pick<Fixture, "aio">): Counts {
  const counters = countersOf(fixture);
  return Object.fromEntries(
    NAMES.filter((name) => counters[name] > 0).map((name) => [name, counters[name]]),
  );
}

// --- what ended a sleep of the event loop ---

/** How a sleep of the main thread ends while it awaits an IO, which is done only after that. */
interface Ending {
  readonly name: string;
  readonly workers?: number;
  end(stage: Stage, ref: WaitRef): unknown;
  readonly counts: Counts;
}

/** A method with a descriptor that its backend may sleep on. */
class WithDescriptor extends HeldMethod {
  fd = -1;

  pollFd(): number {
    return this.fd;
  }
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

const ENDINGS: readonly Ending[] = [
  {
    name: "the bell of a thread that completed the IO",
    workers: 1,
    end: ({ workers }, ref) => workers[0]!.perform(ref),
    counts: { sleeps: 1, bells: 1 },
  },
  {
    name: "a bell for nothing",
    workers: 1,
    end: ({ aio, workers }) => workers[0]!.ask({ what: "ring", id: aio.backendId }),
    counts: { sleeps: 1, bells: 1, bellsForNothing: 1 },
  },
  {
    name: "a bell that was meant for an earlier sleep",
    end({ aio }) {
      const { control, doorbells, libc } = backendOf(aio);
      control.words[control.backendAt(aio.backendId) + BACKEND.bellsOwed]!++;
      libc.write(doorbells.tryOpen(), ONE);
    },
    counts: { sleeps: 1, bells: 1, bellsForNothing: 1 },
  },
  {
    name: "this thread, which completed the IO itself",
    end: ({ aio, held }, ref) => held.perform(aio, ref),
    counts: { sleeps: 1 },
  },
];

/** Awaits an IO until a sleep has ended in the way of a row. */
async function runEnding(row: Ending): Promise<Counts> {
  await using stage = await openStage({
    workers: row.workers ?? 0,
  });
  const { aio, fixture, watch } = stage;
  const { ref } = startRead(fixture);
  void aio.wait(ref);
  await watch.untilParked();
  await row.end(stage, ref);
  assert(await becomes(() => countersOf(stage).sleeps > 0), "The sleep does not end");
  return countsOf(stage);
}

for (const row of ENDINGS) {
  Deno.test(`held: aio.backends() counts a sleep that ended by ${row.name}`, async () => {
    assertEquals(await runEnding(row), row.counts);
  });
}

Deno.test("held: aio.backends() counts a sleep that ended by the method's descriptor", async () => {
  const held = new WithDescriptor();
  await using stage = await openStage({ held });
  const { aio, fixture, watch } = stage;
  const { libc } = backendOf(aio);
  held.fd = libc.eventfd();
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  const poll = await watch.untilParked();
  libc.write(held.fd, ONE);
  await poll.ended;
  held.perform(aio, ref);
  await awaited;
  libc.close(held.fd);
  const { sleeps, ...others } = countsOf(stage);
  assertEquals(others, {});
  assert(sleeps! > 0);
});

Deno.test("held: aio.backends() counts sleeps that nothing ended before their time", async () => {
  let looks = 0;
  const held = new HeldMethod({
    sleepMsMax: () => 1,
    onCheckOne: (backend, handle) => {
      if (++looks === 12) backend.performSynchronously(handle);
    },
  });
  await using stage = await openStage({ held, isLong: () => false });
  const { aio, fixture, watch } = stage;
  await aio.wait(startRead(fixture).ref);
  const { length } = watch.polls;
  assert(length > 1);
  assertEquals(countsOf(stage), { sleeps: length, sleepsTimedOut: length });
});

testEachCoreMethod(
  "aio.backends() counts nothing of waiting for an IO that needs no sleep",
  async ({ open }) => {
    await using fixture = await open();
    const { aio } = fixture;
    for (let i = 0; i < 5; i++) aio.checkDone(startRead(fixture, i).ref);
    const { wakeUpMs, turnWaitMs } = countersOf(fixture);
    assertEquals([countsOf(fixture), wakeUpMs, turnWaitMs], [{}, 0, 0]);
  },
);

// --- blocking ---

Deno.test("held: aio.backends() counts each sleep of a thread that blocks", async () => {
  let looks = 0;
  const held = new HeldMethod({
    onCheckOne: (backend, handle) => {
      if (++looks === 8) backend.performSynchronously(handle);
    },
  });
  Object.defineProperty(held, "waitOne", { value: undefined });
  await using stage = await openStage({ held, maxConcurrency: 1 });
  const { aio, fixture } = stage;
  aio.waitSync(startRead(fixture).ref);
  // waitSync() looks twice before its first sleep, acquire() once.
  const { blockingSleeps } = countersOf(stage);
  assertEquals([looks, blockingSleeps], [8, 6]);
  looks = 0;
  startRead(fixture);
  aio.acquire().release();
  assertEquals(countersOf(stage).blockingSleeps - blockingSleeps, 7);
});

// --- times ---

/** Rings the main thread as another thread would, with the time of this one's clock. */
function bellOf({ aio }: Stage): Doorbells {
  const { control, libc } = backendOf(aio);
  return new Doorbells(control, libc, aio.backendId + 1);
}

Deno.test("held: aio.backends() says how long it was from a bell to the look after it", async () => {
  await using stage = await openStage();
  const { aio, fixture, held, watch } = stage;
  using clock = new WorkClock(1000);
  const refs = [startRead(fixture).ref, startRead(fixture, 512).ref];
  const awaited = Promise.all(refs.map((ref) => aio.wait(ref)));
  const first = await watch.untilParked();
  clock.busy(5);
  bellOf(stage).ring(aio.backendId);
  clock.busy(3);
  await first.ended;
  assert(await becomesSlept(stage, 1));
  assertEquals(countersOf(stage).wakeUpMs, 3);
  await watch.untilParked();
  bellOf(stage).ring(aio.backendId);
  clock.busy(0.5);
  assert(await becomesSlept(stage, 2));
  assertEquals(countersOf(stage).wakeUpMs, 3.5);
  held.performAll(aio);
  await awaited;
});

/** Whether so many sleeps are over, at once or soon. */
async function becomesSlept(stage: Stage, sleeps: number): Promise<boolean> {
  return await becomes(() => countersOf(stage).sleeps >= sleeps);
}

Deno.test("held: a bell of another thread has a time that this thread understands", async () => {
  await using stage = await openStage({ workers: 1 });
  const { aio, fixture, watch, workers } = stage;
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  await watch.untilParked();
  await workers[0]!.perform(ref);
  assert(await comes(awaited, true));
  assert(countersOf(stage).wakeUpMs > 0);
});

Deno.test("Turn says how long completions waited for the next turn, and of breaks", async () => {
  using clock = new WorkClock();
  const turns: unknown[] = [];
  const work = () => {
    clock.busy(0.25);
    return Promise.resolve();
  };
  const turn = new Turn(work, { turned: (...turned) => turns.push(turned) });
  const handOut = async (count: number, busyMs: number) => {
    // Many small units, so that one turn hands out all of them.
    for (let i = 0; i < 1000; i++) turn.spend(0);
    clock.busy(busyMs);
    const told = Array.from({ length: count }, () => Promise.withResolvers<void>());
    for (const { resolve } of told) turn.handOut({ completed: resolve });
    clock.busy(0.5);
    await Promise.all(told.map(({ promise }) => promise));
  };
  await handOut(3, 2);
  await handOut(2, 9);
  assertEquals(turns, [[3, 0.5, false], [2, 0.75, true]]);
});

// --- the log ---

Deno.test("held: the log has a line of each sleep, at level debug4", async () => {
  const lines: [string, LogLevel][] = [];
  const onLog = (line: string, level: LogLevel) => {
    if (line.startsWith("slept")) lines.push([line.replaceAll(/\d+\.\d+/g, "N"), level]);
  };
  await using fixture = await openHeld({ dozeMicroseconds: 0, logLevel: "debug4", onLog });
  const { aio, held } = fixture;
  using watch = new PollWatch(backendOf(aio).libc);
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  await watch.untilParked();
  held.perform(aio, ref);
  await awaited;
  await backendOf(aio).pump.settled();
  const line = "slept N of at most 100 ms, until this thread ended it: 1 done, 0 left";
  assertEquals(lines, [[line, "debug4"]]);
});

// --- the record itself ---

/** A record, its counters, and the lines that it writes at a level of the log. */
function recordOf(
  level: LogLevel = "debug4",
): { wakeUps: WakeUps; counters: Float64Array; lines: string[] } {
  const counters = new Float64Array(COUNTER.size);
  const lines: string[] = [];
  const log = new IoLog(
    (line, at) => lines.push(`${at} ${line}`),
    level,
    new CallbackTable(() => {}),
  );
  return { wakeUps: new WakeUps(counters, log), counters, lines };
}

function sleepOf(end: SleepEnd, rungMsAgo = NaN): Sleep {
  return Object.assign(new Sleep(), {
    longestMs: 100,
    sleptMs: 4.5,
    end,
    rungMsAgo,
    found: 2,
    left: 1,
  });
}

for (
  const [end, text] of [
    ["bell", "a bell 0.25 ms ago"],
    ["self", "this thread ended it"],
    ["lateBell", "a bell for an earlier sleep"],
    ["descriptor", "the method had something"],
    ["time", "its time was over"],
  ] as const
) {
  Deno.test(`WakeUps.slept() makes a line: "until ${text}"`, () => {
    const { wakeUps, lines } = recordOf();
    wakeUps.slept(sleepOf(end, end === "bell" ? 0.25 : NaN));
    assertEquals(lines, [`debug4 slept 4.50 of at most 100 ms, until ${text}: 2 done, 1 left`]);
  });
}

for (const rungMsAgo of [-0.25, 4.75, NaN]) {
  Deno.test(`WakeUps.slept() takes no bell of ${rungMsAgo} ms ago, out of a sleep of 4.5`, () => {
    const { wakeUps, counters, lines } = recordOf();
    wakeUps.slept(sleepOf("bell", rungMsAgo));
    assertEquals([counters[COUNTER.bells], counters[COUNTER.wakeUpMs]], [1, 0]);
    assertEquals(lines, ["debug4 slept 4.50 of at most 100 ms, until a bell: 2 done, 1 left"]);
  });
}

Deno.test("WakeUps.turned() makes a line, and says whether there was a break", () => {
  const { wakeUps, lines } = recordOf();
  wakeUps.turned(31, 0.25, false);
  wakeUps.turned(1, 2, true);
  assertEquals(lines, [
    "debug4 turn over: 31 handed out in the next, 0.25 ms later",
    "debug4 turn over: 1 handed out in the next, 2.00 ms and a look for sockets and signals later",
  ]);
});

Deno.test("WakeUps.dozed() counts dozes by what ended them, and makes no line", () => {
  const { wakeUps, counters, lines } = recordOf();
  for (const end of ["news", "time", "eventLoop", "time"] as const) wakeUps.dozed(end);
  assertEquals(lines, []);
  assertEquals(Array.from(counters.subarray(COUNTER.dozes)), [4, 2, 1]);
});

Deno.test("WakeUps makes no line where the log is not as detailed", () => {
  const { wakeUps, counters, lines } = recordOf("debug3");
  wakeUps.slept(sleepOf("time"));
  wakeUps.turned(1, 0.25, true);
  wakeUps.blocks();
  assertEquals(lines, []);
  assertEquals(Array.from(counters.subarray(COUNTER.sleeps)), [
    1,
    1,
    0,
    0,
    0,
    1,
    1,
    1,
    0.25,
    0,
    0,
    0,
  ]);
});
