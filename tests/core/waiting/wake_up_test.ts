/**
 * wake_up_test.ts: which thread wakes which. Each bell of the waiting protocol has a test, and a
 * canary: the same scenario with that bell switched off must fail, or the test would show nothing.
 * Sleeps last long here (bells.ts), so that no thread wakes up by itself.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { CHECK_ALIVE_MS, LOOK_AGAIN_MS } from "../../../core/base/pauses.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import {
  BellWorker,
  comes,
  replace,
  shareStages,
  type Stage,
  whenTold,
} from "../../support/bells/bells.ts";
import { startRead } from "../../support/core.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { afterLook, stateAt } from "../../support/bells/words.ts";

const openStage = shareStages(2);

/** core/waiting/doorbell.ts: the word of a backend that sleeps, and of one that was rung. */
const PARKED = 1;
const RUNG = 2;

// --- an IO is completed, and somebody who awaits it sleeps ---

/** What the main thread awaits, and how another one completes it. */
interface Awakening {
  readonly bell: string;
  readonly name: string;
  readonly workers: number;
  /** Whether the first Worker dies. */
  readonly isMortal?: boolean;
  start(stage: Stage): Promise<WaitRef>;
  complete(stage: Stage, ref: WaitRef): Promise<unknown>;
}

/** The last Worker completes, and rings. */
const AWAKENINGS: readonly Awakening[] = [
  {
    bell: "the owner's bell",
    name: "an own IO that another thread completes",
    workers: 1,
    start: ({ fixture }) => Promise.resolve(startRead(fixture).ref),
    complete: ({ workers }, ref) => workers[0]!.perform(ref),
  },
  {
    bell: "the waiters' bell",
    name: "another thread's IO that its issuer completes",
    workers: 1,
    start: ({ workers }) => workers[0]!.ask<WaitRef>({ what: "read" }),
    complete: ({ workers }, ref) => workers[0]!.perform(ref),
  },
  {
    bell: "the waiters' bell",
    name: "another thread's IO that a third one completes",
    workers: 2,
    start: ({ workers }) => workers[0]!.ask<WaitRef>({ what: "read" }),
    complete: ({ workers }, ref) => workers[1]!.perform(ref),
  },
  {
    bell: "the owner's bell",
    name: "an own IO that a thread completes in place of a dead one",
    workers: 2,
    isMortal: true,
    start: async ({ fixture, workers }) => {
      const { ref } = startRead(fixture);
      assertEquals(await workers[0]!.ask<boolean>({ what: "claim", ref }), true);
      return ref;
    },
    complete: reapFirst,
  },
  {
    bell: "the waiters' bell",
    name: "the IO of a dead thread that another one reaps",
    workers: 2,
    isMortal: true,
    start: ({ workers }) => workers[0]!.ask<WaitRef>({ what: "read" }),
    complete: reapFirst,
  },
];

async function reapFirst({ workers }: Stage): Promise<void> {
  await workers[0]!.kill();
  await workers[1]!.ask({ what: "reap", id: workers[0]!.id });
}

async function runAwakening(row: Awakening, isOn: boolean): Promise<boolean> {
  await using stage = await openStage({
    workers: row.workers,
    mortals: row.isMortal === true ? 1 : 0,
  });
  const { aio, watch, workers } = stage;
  const ref = await row.start(stage);
  const awaited = aio.wait(ref);
  await watch.untilParked();
  if (!isOn) await workers.at(-1)!.ask({ what: "mute", id: aio.backendId });
  await row.complete(stage, ref);
  return await comes(awaited, isOn);
}

for (const row of AWAKENINGS) {
  Deno.test(`held: ${row.bell} wakes whoever awaits ${row.name}`, async () => {
    assertEquals(await runAwakening(row, true), true);
  });

  Deno.test(`held: canary: without ${row.bell} whoever awaits ${row.name} sleeps on`, async () => {
    assertEquals(await runAwakening(row, false), false);
  });
}

// --- the bell a thread rings for itself ---

async function runOwnCompletion(isOn: boolean): Promise<boolean> {
  await using stage = await openStage();
  const { aio, fixture, held, watch } = stage;
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  const poll = await watch.untilParked();
  assertEquals(poll.timeoutMs, CHECK_ALIVE_MS);
  using _off = isOn ? null : replace(backendOf(aio).doorbells, "ringSelf", () => {});
  held.perform(aio, ref);
  await awaited;
  return await comes(poll.ended, isOn);
}

Deno.test("held: completing the last own IO oneself ends the sleep, and the loop can end", async () => {
  assertEquals(await runOwnCompletion(true), true);
});

Deno.test("held: canary: without the bell for oneself that sleep goes on", async () => {
  assertEquals(await runOwnCompletion(false), false);
});

/** Finds an IO done at its `look`-th look, like a method whose completions nobody announces. */
class FoundByLooking extends HeldMethod {
  /** The one that can be found. */
  index = -1;

  constructor(look: number) {
    let looks = 0;
    super({
      onCheckOne: (backend, handle) => {
        if (handle.index === this.index && ++looks === look) backend.performSynchronously(handle);
      },
    });
  }
}

async function runForeignAwait(isOn: boolean): Promise<boolean> {
  const held = new FoundByLooking(10); // wait() looks twice, and so does a turn of the pump.
  const isLong = (timeoutMs: number) => timeoutMs !== LOOK_AGAIN_MS;
  await using stage = await openStage({ workers: 1, held, isLong });
  const { aio, fixture, watch, workers } = stage;
  const ownDone = aio.wait(startRead(fixture).ref);
  await watch.untilParked();
  using _off = isOn ? null : replace(backendOf(aio).doorbells, "ringSelf", () => {});
  const ref = await workers[0]!.ask<WaitRef>({ what: "read" });
  held.index = ref.index;
  const isFound = await comes(aio.wait(ref), isOn);
  held.performAll(aio);
  await ownDone;
  return isFound;
}

Deno.test("held: beginning to await another backend's IO ends a sleep that does not look after it", async () => {
  assertEquals(await runForeignAwait(true), true);
});

Deno.test("held: canary: without the bell for oneself it is not looked after", async () => {
  assertEquals(await runForeignAwait(false), false);
});

// --- a completion just before the sleep ---

/**
 * Calls `before` when the pump has looked and is about to say that it sleeps, the first time only.
 */
function beforeParking(
  { aio }: Stage,
  before: () => void,
  after: () => void = () => {},
): Disposable {
  const { doorbells } = backendOf(aio);
  const park = doorbells.park.bind(doorbells);
  let isFirst = true;
  return replace(doorbells, "park", () => {
    if (isFirst) before();
    park();
    if (isFirst) after();
    isFirst = false;
  });
}

async function runSecondLookAtOwn(isOn: boolean): Promise<boolean> {
  await using stage = await openStage({ workers: 1 });
  const { aio, fixture, watch, workers } = stage;
  const { ref } = startRead(fixture);
  const { signal, answer: rung } = whenTold<number>(workers[0]!, { what: "perform", ref });
  using _race = beforeParking(stage, () => signal.tellAndWait());
  using _off = isOn ? null : replace(backendOf(aio), "hasUncollected", () => false);
  const isWoken = await comes(aio.wait(ref), isOn);
  assertEquals([await rung, watch.polls.length], [0, isOn ? 0 : 1]);
  return isWoken;
}

Deno.test("held: an own IO that is completed between the look and the sleep is found", async () => {
  assertEquals(await runSecondLookAtOwn(true), true);
});

Deno.test("held: canary: without the second look at own IO it is slept through", async () => {
  assertEquals(await runSecondLookAtOwn(false), false);
});

Deno.test("held: an own IO that is completed while the pump looks is found", async () => {
  await using stage = await openStage({ workers: 1 });
  const { aio, fixture, watch, workers } = stage;
  const { ref } = startRead(fixture);
  const { signal, answer } = whenTold<number>(workers[0]!, { what: "perform", ref });
  const awaited = aio.wait(ref);
  const { control } = backendOf(aio);
  const counterAt = control.backendAt(aio.backendId) + BACKEND.foreignCompletions;
  using _race = afterLook(stage, counterAt, () => signal.tellAndWait());
  assertEquals(await comes(awaited, true), true);
  assertEquals([await answer, watch.polls.length], [0, 0]);
});

Deno.test("held: an own IO that is completed while the pump takes back another is found", async () => {
  await using stage = await openStage({ workers: 1 });
  const { aio, fixture, watch, workers } = stage;
  const [first, second] = [startRead(fixture), startRead(fixture)];
  await workers[0]!.perform(first.ref);
  const { signal, answer } = whenTold<number>(workers[0]!, { what: "perform", ref: second.ref });
  const awaited = aio.wait(second.ref);
  using _race = afterLook(stage, stateAt(stage, second.ref), () => signal.tellAndWait());
  assertEquals(await comes(awaited, true), true);
  assertEquals([await answer, watch.polls.length], [0, 0]);
});

async function runSecondLookAtForeign(isOn: boolean): Promise<boolean> {
  await using stage = await openStage({ workers: 1 });
  const { aio, watch, workers } = stage;
  const ref = await workers[0]!.ask<WaitRef>({ what: "read" });
  const { signal, answer: rung } = whenTold<number>(workers[0]!, { what: "perform", ref });
  using off = new DisposableStack();
  const blind = () => {
    if (!isOn) off.use(replace(backendOf(aio).waiting, "isDone", () => false));
  };
  using _race = beforeParking(stage, () => signal.tellAndWait(), blind);
  watch.onPoll = () => off.dispose();
  const isWoken = await comes(aio.wait(ref), isOn);
  assertEquals([await rung, watch.polls.length], [0, isOn ? 0 : 1]);
  return isWoken;
}

Deno.test("held: another backend's IO that is done between the look and the sleep is found", async () => {
  assertEquals(await runSecondLookAtForeign(true), true);
});

Deno.test("held: canary: without the second look at others' IO it is slept through", async () => {
  assertEquals(await runSecondLookAtForeign(false), false);
});

async function runBellBeforePoll(isOn: boolean): Promise<boolean> {
  await using stage = await openStage({ workers: 1 });
  const { aio, fixture, watch, workers } = stage;
  const { ref } = startRead(fixture);
  if (!isOn) await workers[0]!.ask({ what: "mute", id: aio.backendId });
  const { signal, answer: rung } = whenTold<number>(workers[0]!, { what: "perform", ref });
  watch.onPoll = () => signal.tellAndWait();
  const isWoken = await comes(aio.wait(ref), isOn);
  assertEquals(await rung, isOn ? 1 : 0);
  return isWoken;
}

Deno.test("held: a bell between the second look and the poll is kept", async () => {
  assertEquals(await runBellBeforePoll(true), true);
});

Deno.test("held: canary: without that bell the completion is slept through", async () => {
  assertEquals(await runBellBeforePoll(false), false);
});

// --- no bell at all ---

/** The main thread sleeps alone; another one attaches, takes its IO over, and dies. */
async function runAttach(isLong: boolean): Promise<boolean> {
  await using stage = await openStage({ isLong: () => isLong });
  const { aio, fixture, watch } = stage;
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  await watch.untilParked();
  await using worker = await BellWorker.start(aio, fixture.file);
  assertEquals(await worker.ask<boolean>({ what: "claim", ref }), true);
  await worker.kill();
  return await comes(awaited, !isLong);
}

Deno.test("held: whoever slept alone looks after IO that a thread took over and died", async () => {
  assertEquals(await runAttach(false), true);
});

Deno.test("held: canary: in a sleep without end that IO is never done", async () => {
  assertEquals(await runAttach(true), false);
});

/** A ringer that has died marked the bell as rung, and never wrote to it. */
async function runSilentBell(isLong: boolean): Promise<boolean> {
  await using stage = await openStage({ workers: 1, isLong: () => isLong });
  const { aio, fixture, watch, workers: [worker] } = stage;
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  await watch.untilParked();
  const { words } = backendOf(aio).control;
  const parkedAt = backendOf(aio).control.backendAt(aio.backendId) + BACKEND.parked;
  assertEquals(Atomics.exchange(words, parkedAt, RUNG), PARKED);
  assertEquals(await worker!.perform(ref), 0);
  const isHeard = await comes(awaited, !isLong);
  // A bell has to end a sleep that goes on, and rings only a thread that was not rung already.
  if (isLong) Atomics.store(words, parkedAt, PARKED);
  return isHeard;
}

Deno.test("held: a bell whose ringer died before it wrote does not keep others from being heard", async () => {
  assertEquals(await runSilentBell(false), true);
});

Deno.test("held: canary: in a sleep without end it does", async () => {
  assertEquals(await runSilentBell(true), false);
});
