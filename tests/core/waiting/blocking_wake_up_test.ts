/**
 * blocking_wake_up_test.ts: each way to wake a thread that sleeps, blocking, with a canary for each
 * link.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND, HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import {
  type BellAsk,
  replace,
  shareStages,
  type SleepOutcome,
  SleepWatch,
  type Stage,
  whenTold,
} from "../../support/bells/bells.ts";
import { startRead } from "../../support/core.ts";
import { afterLook, handleWord, stateAt } from "../../support/bells/words.ts";

const openStage = shareStages(1);

/** What the main thread sleeps for, blocking, and how a Worker ends that. */
interface Sleep {
  readonly name: string;
  start(stage: Stage): Promise<WaitRef>;
  sleep(stage: Stage, ref: WaitRef): void;
  /** The word that it sleeps on. */
  wordAt(stage: Stage, ref: WaitRef): number;
  end(ref: WaitRef): BellAsk;
}

const waitSync = ({ aio }: Stage, ref: WaitRef): void => aio.waitSync(ref);
const perform = (ref: WaitRef): BellAsk => ({ what: "perform", ref });

/** A read that only the Worker completes, as it has the claim. */
async function startClaimed({ fixture, workers }: Stage): Promise<WaitRef> {
  const { ref } = startRead(fixture);
  assertEquals(await workers[0]!.ask<boolean>({ what: "claim", ref }), true);
  return ref;
}

const STATE_SLEEPS: readonly Sleep[] = [
  {
    name: "waitSync() of another thread's IO",
    start: ({ workers }) => workers[0]!.ask<WaitRef>({ what: "read" }),
    sleep: waitSync,
    wordAt: stateAt,
    end: perform,
  },
  {
    name: "waitSync() of another thread's IO that is only staged",
    start: ({ workers }) => workers[0]!.ask<WaitRef>({ what: "stage" }),
    sleep: waitSync,
    wordAt: stateAt,
    end: () => ({ what: "submit" }),
  },
  {
    name: "waitSync() of an own IO that another thread completes",
    start: startClaimed,
    sleep: waitSync,
    wordAt: stateAt,
    end: perform,
  },
];

const SLEEPS: readonly Sleep[] = [...STATE_SLEEPS, {
  name: "acquire() while another thread completes the only IO",
  start: startClaimed,
  sleep: ({ aio }) => aio.acquire().release(),
  wordAt({ aio }) {
    const { control, id } = backendOf(aio);
    return control.backendAt(id) + BACKEND.foreignCompletions;
  },
  end: perform,
}];

/** Which link is cut: nobody notifies, or the sleeper's bit is not in the waiter mask. */
type Cut = "none" | "notify" | "waiter bit";

/**
 * After so long the main thread should be asleep; if it is not, the next attempt gives it more
 * time.
 */
const UNTIL_ASLEEP_MS = 20;
const ATTEMPTS_MAX = 20;

/** @returns how the sleep ended; `"not-equal"`: it was over before the sleep could begin */
async function trySleep(row: Sleep, cut: Cut, delayMs: number): Promise<SleepOutcome> {
  await using stage = await openStage({ workers: 1, maxConcurrency: 1 });
  const { aio, workers } = stage;
  const { words } = backendOf(aio).control;
  const ref = await row.start(stage);
  const at = row.wordAt(stage, ref);
  if (cut === "notify") await workers[0]!.ask({ what: "muteNotify", at });
  const { signal, answer } = whenTold(workers[0]!, row.end(ref), delayMs);
  const beforeSleep = () => {
    if (cut === "waiter bit") words[handleWord(stage, ref, HANDLE.waiterMask)] = 0;
    signal.tell();
  };
  using watch = new SleepWatch(words, at, beforeSleep, () => signal.isDone, cut === "none");
  row.sleep(stage, ref);
  await answer;
  return watch.outcomes[0]!;
}

async function runSleep(row: Sleep, cut: Cut): Promise<SleepOutcome> {
  for (let attempt = 1;; attempt++) {
    const outcome = await trySleep(row, cut, attempt * UNTIL_ASLEEP_MS);
    if (outcome !== "not-equal" || attempt === ATTEMPTS_MAX) return outcome;
  }
}

for (const row of SLEEPS) {
  Deno.test(`held: ${row.name} is woken`, async () => {
    assertEquals(await runSleep(row, "none"), "ok");
  });

  Deno.test(`held: canary: without a notify ${row.name} sleeps on`, async () => {
    assertEquals(await runSleep(row, "notify"), "timed-out");
  });

  Deno.test(`held: ${row.name} does not begin to sleep when it is over`, async () => {
    await using stage = await openStage({ workers: 1, maxConcurrency: 1 });
    const { words } = backendOf(stage.aio).control;
    const ref = await row.start(stage);
    const { signal, answer } = whenTold(stage.workers[0]!, row.end(ref));
    const beforeSleep = () => signal.tellAndWait();
    using watch = new SleepWatch(words, row.wordAt(stage, ref), beforeSleep, () => true, false);
    row.sleep(stage, ref);
    await answer;
    assertEquals(watch.outcomes, ["not-equal"]);
  });
}

for (const row of STATE_SLEEPS) {
  Deno.test(`held: canary: without its waiter bit ${row.name} sleeps on`, async () => {
    assertEquals(await runSleep(row, "waiter bit"), "timed-out");
  });
}

Deno.test("held: waitSync() does not sleep for what is done just before its waiter bit is set", async () => {
  await using stage = await openStage({ workers: 1 });
  const { aio, workers } = stage;
  const { words } = backendOf(aio).control;
  const ref = await workers[0]!.ask<WaitRef>({ what: "read" });
  const { signal, answer } = whenTold(workers[0]!, perform(ref));
  const maskAt = handleWord(stage, ref, HANDLE.waiterMask);
  const or = Atomics.or;
  using _race = replace(Atomics, "or", (array, index, value) => {
    if (array.buffer === words.buffer && index === maskAt) signal.tellAndWait();
    return Reflect.apply(or, Atomics, [array, index, value]);
  });
  using watch = new SleepWatch(words, stateAt(stage, ref), () => {}, () => true, false);
  aio.waitSync(ref);
  await answer;
  assertEquals([watch.outcomes.includes("timed-out"), signal.isDone], [false, true]);
});

Deno.test("held: acquire() does not sleep for what is completed while it looks", async () => {
  await using stage = await openStage({ workers: 1, maxConcurrency: 1 });
  const backend = backendOf(stage.aio);
  const ref = await startClaimed(stage);
  const { signal, answer } = whenTold(stage.workers[0]!, perform(ref));
  using _race = afterLook(stage, stateAt(stage, ref), () => signal.tellAndWait());
  const counterAt = backend.control.backendAt(backend.id) + BACKEND.foreignCompletions;
  using watch = new SleepWatch(backend.control.words, counterAt, () => {}, () => true, false);
  stage.aio.acquire().release();
  await answer;
  assertEquals([watch.outcomes.includes("timed-out"), signal.isDone], [false, true]);
});
