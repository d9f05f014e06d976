/**
 * sleep_bound_test.ts: how long a backend sleeps that has to look for completions by itself, in
 * each way to sleep, and what ends such a sleep. Here a look of the backend finds an IO done;
 * nobody announces it, unless a test says so.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import type { MethodBackend } from "../../../core/io/method.ts";
import { CHECK_ALIVE_MS, LOOK_AGAIN_MS } from "../../../core/base/pauses.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { boundedMs } from "../../../core/waiting/sleep_bound.ts";
import {
  type BellAsk,
  comes,
  replace,
  shareStages,
  type Stage,
  type StageOptions,
  whenTold,
} from "../../support/bells/bells.ts";
import { openHeld, startRead } from "../../support/core.ts";
import { testSharedCores } from "../../support/core_methods.ts";
import { HeldMethod, type HeldMethodOptions } from "../../support/held_method.ts";
import { until } from "../../support/patience.ts";

const openStage = shareStages(1);

const EMFILE = 24;
/**
 * So many looks take several sleeps in every way to wait; some looks come before the first sleep.
 */
const LOOKS = 12;

/** Finds its IO done after some looks; it cannot wait, and announces nothing. */
class FoundByLooking extends HeldMethod {
  looks = 0;
  readonly #looks: number;

  constructor(looks: number, options: HeldMethodOptions = {}) {
    super(options);
    this.#looks = looks;
    Object.defineProperty(this, "waitOne", { value: undefined });
  }

  override checkOne(backend: MethodBackend, handle: AioHandle): void {
    if (++this.looks >= this.#looks) backend.performSynchronously(handle);
  }
}

/** The same, for a method that does not say how long its backend may sleep. */
class SaysNothing extends FoundByLooking {
  constructor(looks: number) {
    super(looks);
    Object.defineProperty(this, "sleepMsMax", { value: undefined });
  }
}

function boundedBy(boundMs: number, looks = LOOKS): FoundByLooking {
  return new FoundByLooking(looks, { sleepMsMax: () => boundMs });
}

/** Sleeps last exactly as long as the code under test wants. */
const AS_ASKED: StageOptions = { isLong: () => false };

// --- awaiting ---

/** The different times for which the event loop slept until a look found an own IO done. */
async function sleepsFor(held: FoundByLooking): Promise<number[]> {
  await using stage = await openStage({ ...AS_ASKED, held });
  const { aio, fixture, watch } = stage;
  await aio.wait(startRead(fixture).ref);
  return [...new Set(watch.polls.map(({ timeoutMs }) => timeoutMs))];
}

Deno.test("held: aio.wait() looks every millisecond where the method says nothing", async () => {
  assertEquals(await sleepsFor(new SaysNothing(LOOKS)), [LOOK_AGAIN_MS]);
});

Deno.test("held: canary: where the method says that it tells, and does not, the IO is slept through", async () => {
  await using stage = await openStage({ held: boundedBy(Infinity) });
  const { aio, fixture } = stage;
  assertEquals(await comes(aio.wait(startRead(fixture).ref), false), false);
});

for (const [boundMs, sleptMs] of [[7, 7], [2.5, 3], [0, 0]] as const) {
  Deno.test(`held: aio.wait() sleeps for ${sleptMs} ms at a time if the method allows ${boundMs}`, async () => {
    assertEquals(await sleepsFor(boundedBy(boundMs)), [sleptMs]);
  });
}

Deno.test("held: aio.wait() never sleeps longer than without a bound", async () => {
  assertEquals(await sleepsFor(boundedBy(1000, 4)), [CHECK_ALIVE_MS]);
});

Deno.test("held: aio.wait() asks for the bound before each sleep", async () => {
  const bounds = [5, 4, 3, 2, 1];
  const held = new FoundByLooking(LOOKS, { sleepMsMax: () => bounds.shift() ?? 0 });
  await using stage = await openStage({ ...AS_ASKED, held });
  const { aio, fixture, watch } = stage;
  await aio.wait(startRead(fixture).ref);
  assertEquals(watch.polls.slice(0, 6).map(({ timeoutMs }) => timeoutMs), [5, 4, 3, 2, 1, 0]);
});

for (const [boundMs, sleptMs] of [[7, LOOK_AGAIN_MS], [0, 0]] as const) {
  Deno.test(`held: aio.wait() of another backend's IO sleeps for ${sleptMs} ms if the method allows ${boundMs}`, async () => {
    await using stage = await openStage({ ...AS_ASKED, workers: 1, held: boundedBy(boundMs) });
    const { aio, watch, workers } = stage;
    await aio.wait(await workers[0]!.ask<WaitRef>({ what: "read" }));
    assertEquals([...new Set(watch.polls.map(({ timeoutMs }) => timeoutMs))], [sleptMs]);
  });
}

for (const [boundMs, sleptMs] of [[Infinity, LOOK_AGAIN_MS], [0, 0]] as const) {
  Deno.test(`held: aio.wait() without a doorbell uses a timer of ${sleptMs} ms if the method allows ${boundMs}`, async () => {
    await using stage = await openStage({ held: boundedBy(boundMs) });
    const { aio, fixture } = stage;
    const timers = new Set<unknown>();
    using _none = replace(backendOf(aio).libc, "eventfd", () => -EMFILE);
    const watched = new Proxy(globalThis.setTimeout, {
      apply(setTimeout, self, given) {
        timers.add(given[1]);
        return Reflect.apply(setTimeout, self, given);
      },
    });
    using _watch = replace(globalThis, "setTimeout", watched);
    await aio.wait(startRead(fixture).ref);
    assertEquals([...timers], [sleptMs]);
  });
}

Deno.test("held: IO that nobody waits for any more is looked at more often if the method wants that", async () => {
  const methods = [boundedBy(Infinity, 1e9), boundedBy(1, 1e9)] as const;
  await using rare = await openHeld({ dozeMicroseconds: 0 }, methods[0]);
  await using often = await openHeld({ dozeMicroseconds: 0 }, methods[1]);
  for (const fixture of [rare, often]) {
    startRead(fixture);
    backendOf(fixture.aio).pump.forsake("all", true);
    backendOf(fixture.aio).keepLooking();
  }
  const [slow, quick] = methods;
  await until(
    () => slow.looks > 2 && quick.looks > 2 * slow.looks,
    "the one is looked at more often",
  );
});

// --- blocking ---

/** The different times for which this thread slept, blocking, in a function. */
function blockingSleepsIn(fn: () => void): unknown[] {
  const { wait } = Atomics;
  const timeouts = new Set<unknown>();
  using _watch = replace(Atomics, "wait", (
    array: Int32Array | BigInt64Array,
    index: number,
    value: number | bigint,
    timeout?: number,
  ): "ok" | "not-equal" | "timed-out" => {
    timeouts.add(timeout);
    return Reflect.apply(wait, Atomics, [array, index, value, timeout]);
  });
  fn();
  return [...timeouts];
}

/** The ways to block for an IO. */
const BLOCKING: Record<string, (stage: Stage) => Promise<() => void>> = {
  "waitSync()": ({ aio, fixture }) => {
    const { ref } = startRead(fixture);
    return Promise.resolve(() => aio.waitSync(ref));
  },
  "waitSync() of another backend's IO": async ({ aio, workers }) => {
    const ref = await workers[0]!.ask<WaitRef>({ what: "read" });
    return () => aio.waitSync(ref);
  },
  "acquire()": ({ aio, fixture }) => {
    startRead(fixture);
    return Promise.resolve(() => aio.acquire().release());
  },
};

for (const [name, begin] of Object.entries(BLOCKING)) {
  for (const [boundMs, sleptMs] of [[Infinity, LOOK_AGAIN_MS], [0.25, 0.25], [0, 0]] as const) {
    Deno.test(`held: ${name} looks every ${sleptMs} ms if the method cannot wait and allows ${boundMs}`, async () => {
      const held = boundedBy(boundMs);
      await using stage = await openStage({ workers: 1, maxConcurrency: 1, held });
      const block = await begin(stage);
      assertEquals(blockingSleepsIn(block), [sleptMs]);
      assertEquals(held.looks, LOOKS);
    });
  }
}

Deno.test("held: acquire() without sleep takes the handle of whichever IO is found done", async () => {
  await using stage = await openStage({ maxConcurrency: 2, held: new EndsTheLast() });
  const { aio, fixture } = stage;
  const [first, last] = [startRead(fixture), startRead(fixture, 512)];
  const sleeps = blockingSleepsIn(() => {
    const handle = aio.acquire();
    assertEquals([handle.index, aio.checkDone(last.ref)], [last.ref.index, true]);
    handle.release();
  });
  assertEquals([sleeps, first.ret.result.status], [[], "unknown"]);
});

/** Finds another IO done than the one that the backend looks for. */
class EndsTheLast extends FoundByLooking {
  #submitted: AioHandle[] = [];

  constructor() {
    super(0);
  }

  override submit(backend: MethodBackend, staged: readonly AioHandle[], count: number): number {
    this.#submitted.push(...staged.slice(0, count));
    return super.submit(backend, staged, count);
  }

  override checkOne(backend: MethodBackend): void {
    const last = this.#submitted.pop();
    if (last !== undefined && this.#submitted.length > 0) backend.performSynchronously(last);
  }
}

// --- a method that rings ---

/** Its IO is done once `isThere` is set; a test then rings the backend. */
class Announced extends HeldMethod {
  isThere = false;

  hasCompletions(): boolean {
    return this.isThere;
  }

  override checkOne(backend: MethodBackend, handle: AioHandle): void {
    if (this.isThere) backend.performSynchronously(handle);
  }
}

async function runBell(isOn: boolean): Promise<boolean> {
  const held = new Announced();
  await using stage = await openStage({ workers: 1, held });
  const { aio, fixture, watch, workers } = stage;
  const awaited = aio.wait(startRead(fixture).ref);
  await watch.untilParked();
  if (!isOn) await workers[0]!.ask({ what: "mute", id: aio.backendId });
  held.isThere = true;
  const ring: BellAsk = { what: "ring", id: aio.backendId };
  assertEquals(await workers[0]!.ask<number>(ring), isOn ? 1 : 0);
  return await comes(awaited, isOn);
}

Deno.test("held: a thread of a method's ends the sleep of a backend by its bell, which then looks", async () => {
  assertEquals(await runBell(true), true);
});

Deno.test("held: canary: without that bell it sleeps on", async () => {
  assertEquals(await runBell(false), false);
});

async function runBellTooEarly(isOn: boolean): Promise<boolean> {
  const held = new Announced();
  if (!isOn) Object.defineProperty(held, "hasCompletions", { value: undefined });
  await using stage = await openStage({ workers: 1, held });
  const { aio, fixture, workers } = stage;
  const { doorbells } = backendOf(aio);
  const ring: BellAsk = { what: "ring", id: aio.backendId };
  const { signal, answer } = whenTold<number>(workers[0]!, ring);
  const park = doorbells.park.bind(doorbells);
  using _race = replace(doorbells, "park", () => {
    held.isThere = true;
    signal.tellAndWait();
    park();
  });
  const isFound = await comes(aio.wait(startRead(fixture).ref), isOn);
  assertEquals(await answer, 0);
  return isFound;
}

Deno.test("held: what a method has before its backend says that it sleeps needs no bell", async () => {
  assertEquals(await runBellTooEarly(true), true);
});

Deno.test("held: canary: without hasCompletions() it is slept through", async () => {
  assertEquals(await runBellTooEarly(false), false);
});

// --- the bound itself ---

testSharedCores("boundedMs() leaves a backend asleep that is woken", ({ aio }) => {
  assertEquals(boundedMs(backendOf(aio), CHECK_ALIVE_MS), CHECK_ALIVE_MS);
  assertEquals(boundedMs(backendOf(aio), Infinity), Infinity);
}, { only: ["held", "worker", "io_uring"] });

for (const boundMs of [NaN, -1]) {
  Deno.test(`held: boundedMs() refuses a bound of ${boundMs} ms`, async () => {
    await using fixture = await openHeld({}, boundedBy(boundMs));
    const backend = backendOf(fixture.aio);
    assertThrows(() => boundedMs(backend, 1), RangeError, `must be 0 or more: got ${boundMs}`);
  });
}

Deno.test("held: boundedMs() takes a descriptor of -1 for none", async () => {
  const held: HeldMethod & { pollFd?: () => number } = new SaysNothing(1);
  await using fixture = await openHeld({}, held);
  let fd = -1;
  held.pollFd = () => fd;
  const backend = backendOf(fixture.aio);
  assertEquals(boundedMs(backend, CHECK_ALIVE_MS), LOOK_AGAIN_MS);
  fd = 0;
  assertEquals(boundedMs(backend, CHECK_ALIVE_MS), CHECK_ALIVE_MS);
});
