/**
 * injection_points_long_test.ts: the three places where a hook can step in: in which thread and
 * state it is called, that it can block, throw, and be taken away. The peer has one of the places
 * (and one in its workers), for the whole server; here a hook belongs to one thread.
 */

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError, AioCallbackError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { InjectionHook } from "../../../core/io/injection.ts";
import { INJECTION_POINTS, type InjectionPoint, PHASE_NAMES } from "../../../core/io/result.ts";
import { PAGE_BYTES } from "../../support/checking_callbacks.ts";
import { type Fixture, wrong } from "../../support/core.ts";
import { HELD, testEachCoreMethod } from "../../support/core_methods.ts";
import {
  contentOf,
  expectedPages,
  makeFrames,
  openPages,
  outcomeOf,
  readPages,
  startPages,
  waitBy,
  WAYS,
} from "./peer.ts";
import { Gate, Session } from "./session.ts";

const BEFORE_SHARED = "aio-process-completion-before-shared";

/** Counts how often each hook of this thread is called. */
function attachCounters({ aio }: Fixture): Record<InjectionPoint, number> {
  const calls = Object.fromEntries(INJECTION_POINTS.map((point) => [point, 0]));
  for (const point of INJECTION_POINTS) {
    aio.attachInjectionPoint(point, () => {
      calls[point]!++;
    });
  }
  return calls as Record<InjectionPoint, number>;
}

/** The only handle can be acquired, and a read works. */
async function assertNothingLost(fixture: Fixture): Promise<void> {
  const backend = backendOf(fixture.aio);
  assertEquals([backend.idleCount, backend.inFlightCount, backend.hasHandedOut], [1, 0, false]);
  const frames = makeFrames(fixture, 1);
  assertEquals((await readPages(fixture, { first: 6, frames })).status, "ok");
  assertEquals(contentOf(frames), expectedPages(6, 1));
}

testEachCoreMethod("a hook is called once at each place, in its state", async (test) => {
  await using fixture = await openPages(test);
  const { aio } = fixture;
  const seen: unknown[] = [];
  for (const point of INJECTION_POINTS) {
    aio.attachInjectionPoint(point, (handle, rawResult) => {
      const [row] = aio.ios();
      seen.push([point, handle.state, handle.operation, rawResult, row?.state]);
    });
  }
  await readPages(fixture, { first: 1, frames: makeFrames(fixture, 2) });
  assertEquals(seen, [
    ["aio-after-staging", "staged", "readv", 0, "STAGED"],
    [BEFORE_SHARED, "completedIo", "readv", 2 * PAGE_BYTES, "COMPLETED_IO"],
    ["aio-before-reclaim", "completedShared", "readv", 2 * PAGE_BYTES, "COMPLETED_SHARED"],
  ]);
});

for (const [i, point] of INJECTION_POINTS.entries()) {
  for (const way of WAYS) {
    testEachCoreMethod(
      `a hook at ${point} throws: an error that names it, ${way}()`,
      async (test) => {
        await using fixture = await openPages(test, { maxConcurrency: 1 });
        const { aio } = fixture;
        const original = new Error("as you command");
        aio.attachInjectionPoint(point, () => {
          throw original;
        });
        const frames = makeFrames(fixture, 1);
        const { ref, ret } = startPages(fixture, { first: 1, frames });
        await waitBy(aio, way, ref);
        const error = assertThrows(
          () => aio.reportResult(ret.result, ret.targetData, "error"),
          AioCallbackError,
        );
        assertEquals([error.callback, error.phase], [point, PHASE_NAMES[i]!]);
        assertEquals(
          error.message,
          `Injection point "${point}" threw in ${PHASE_NAMES[i]} of its IO`,
        );
        assertEquals(fixture.warnings.length, 1);
        assertStrictEquals(fixture.warnings[0]!.cause, original);
        // A throw before the submission kept the IO from being executed.
        const isRead = point !== "aio-after-staging";
        const untouched = contentOf(makeFrames(fixture, 1, "local"));
        assertEquals(contentOf(frames), isRead ? expectedPages(1, 1) : untouched);
        aio.detachInjectionPoint(point);
        await assertNothingLost(fixture);
      },
    );
  }
}

const MISUSES: Readonly<Record<string, (fixture: Fixture) => unknown>> = {
  "acquires a handle": ({ aio }) => aio.acquire(),
  "waits": ({ aio }) => aio.waitSync({ index: 0, generation: 1 }),
  "ends a batch": ({ aio }) => aio.exitBatchmode(),
};

for (const [what, misuse] of Object.entries(MISUSES)) {
  testEachCoreMethod(`a hook that ${what} is refused, and its IO an error`, async (test) => {
    await using fixture = await openPages(test, { maxConcurrency: 1 });
    const { aio } = fixture;
    aio.attachInjectionPoint(BEFORE_SHARED, () => {
      misuse(fixture);
    });
    const { status } = await readPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
    assertEquals([status, fixture.warnings.length], ["error", 1]);
    assertThrows(
      () => {
        throw fixture.warnings[0]!.cause;
      },
      AioApiError,
      "was called from within a hook at an injection point",
    );
    aio.detachInjectionPoint(BEFORE_SHARED);
    await assertNothingLost(fixture);
  });
}

for (const result of [1.5, NaN, 2 ** 31, "512", null]) {
  testEachCoreMethod(`a hook that returns ${typeof result} ${result}`, async (test) => {
    await using fixture = await openPages(test, { maxConcurrency: 1 });
    const { aio } = fixture;
    aio.attachInjectionPoint(BEFORE_SHARED, () => wrong<number>(result));
    const { status } = await readPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
    // A hook that returns nothing leaves the result as it is.
    assertEquals([status, fixture.warnings.length], result === null ? ["ok", 0] : ["error", 1]);
    aio.detachInjectionPoint(BEFORE_SHARED);
    await assertNothingLost(fixture);
  });
}

testEachCoreMethod(
  "a second hook takes the place of the first, unknown places are none",
  async (test) => {
    await using fixture = await openPages(test);
    const { aio } = fixture;
    const calls: string[] = [];
    aio.attachInjectionPoint(BEFORE_SHARED, () => void calls.push("first"));
    aio.attachInjectionPoint(BEFORE_SHARED, () => void calls.push("second"));
    await readPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
    assertEquals(calls, ["second"]);
    const unknown = wrong<InjectionPoint>("aio-worker-after-reopen");
    assertThrows(
      () => aio.attachInjectionPoint(unknown, () => {}),
      RangeError,
      "known are aio-after",
    );
    assertThrows(
      () => aio.detachInjectionPoint(unknown),
      RangeError,
      "Cannot detach injection point",
    );
    const none = wrong<InjectionHook>(undefined);
    assertThrows(() => aio.attachInjectionPoint(BEFORE_SHARED, none), TypeError, "no function");
  },
);

// --- threads ---

testEachCoreMethod("hooks are called in the thread that comes to their place", async (test) => {
  await using fixture = await openPages(test);
  const { aio } = fixture;
  await using other = await Session.start(fixture);
  const gates = INJECTION_POINTS.map(() => new Gate());
  for (const [i, point] of INJECTION_POINTS.entries()) await other.hook(point, "count", gates[i]!);
  const own = attachCounters(fixture);
  const { ref, ret } = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
  assertEquals(own["aio-after-staging"], 1);
  await other.wait("waitSync", ref);
  await aio.wait(ref);
  assertEquals(ret.result.status, "ok");
  const [staging, shared, reclaim] = gates.map((gate) => gate.calls);
  // Only the issuer stages and reclaims its IO.
  assertEquals([own["aio-after-staging"], own["aio-before-reclaim"]], [1, 1]);
  assertEquals([staging, reclaim], [0, 0]);
  if (test.method === HELD) assertEquals([own[BEFORE_SHARED], shared], [0, 1]);
  if (test.method === "sync") assertEquals([own[BEFORE_SHARED], shared], [1, 0]);
});

testEachCoreMethod("a hook of a Worker is not called for IO completed elsewhere", async (test) => {
  await using fixture = await openPages(test, { maxConcurrency: 1 });
  await using other = await Session.start(fixture);
  using gate = new Gate();
  for (const point of INJECTION_POINTS) await other.hook(point, "throw", gate);
  for (const way of WAYS) {
    const { ref, ret } = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
    await waitBy(fixture.aio, way, ref);
    assertEquals(ret.result.status, "ok");
  }
  assertEquals([gate.calls, fixture.messages()], [0, []]);
  // For the Worker's own IO the hook is called.
  const { status, message } = await other.read({ first: 1, frames: makeFrames(fixture, 1) });
  assertEquals(status, "error");
  assertEquals(message, 'Injection point "aio-before-reclaim" threw in completeLocal of its IO');
  assertEquals(gate.calls, 2, "after staging, and before reclaim");
  assertEquals([(await other.told()).warnings.length, fixture.messages()], [2, []]);
  await assertNothingLost(fixture);
});

testEachCoreMethod("a hook blocks: others see COMPLETED_IO, and wait", async (test) => {
  await using fixture = await openPages(test);
  const { aio } = fixture;
  await using other = await Session.start(fixture);
  using gate = new Gate();
  await other.hook(BEFORE_SHARED, "block", gate);
  const frames = makeFrames(fixture, 1);
  const outcome = other.read({ first: 1, frames });
  await gate.whenCalled();
  const [row, ...rest] = aio.ios();
  assertEquals(rest, []);
  assertEquals([row!.backendId, row!.state, row!.operation], [1, "COMPLETED_IO", "readv"]);
  assertEquals([row!.rawResult, row!.result], [PAGE_BYTES, "UNKNOWN"]);
  const ref = { index: row!.ioId, generation: row!.ioGeneration };
  assertEquals(aio.checkDone(ref), false);
  let isDone = false;
  const awaited = aio.wait(ref).then(() => isDone = true);
  // This thread's own IO goes on meanwhile.
  const own = await readPages(fixture, { first: 2, frames: makeFrames(fixture, 1) });
  assertEquals([own.status, isDone], ["ok", false]);
  gate.open();
  await awaited;
  assertEquals(await outcome, { status: "ok", bytes: PAGE_BYTES, message: null });
  assertEquals([aio.ios(), contentOf(frames)], [[], expectedPages(1, 1)]);
});

testEachCoreMethod("a hook blocks a foreign completer: the issuer waits", async (test) => {
  await using fixture = await openPages(test);
  const { aio } = fixture;
  await using other = await Session.start(fixture);
  using gate = new Gate();
  await other.hook(BEFORE_SHARED, "block", gate);
  const started = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
  const completed = other.wait("waitSync", started.ref);
  await gate.whenCalled();
  assertEquals(aio.ios().map(({ backendId, state }) => [backendId, state]), [[0, "COMPLETED_IO"]]);
  assertEquals([aio.checkDone(started.ref), started.ret.result.status], [false, "unknown"]);
  const awaited = aio.wait(started.ref);
  gate.open();
  await Promise.all([completed, awaited]);
  assertEquals(outcomeOf(aio, started).status, "ok");
}, { only: [HELD] });

for (const way of ["wait", "waitSync"] as const) {
  testEachCoreMethod(`whoever dies in a hook is completed for, ${way}()`, async (test) => {
    await using fixture = await openPages(test);
    const { aio } = fixture;
    await using other = await Session.start(fixture);
    using gate = new Gate();
    await other.hook(BEFORE_SHARED, "end", gate);
    const frames = makeFrames(fixture, 1);
    const started = startPages(fixture, { first: 1, frames });
    other.waitUntilEnd("waitSync", started.ref);
    await gate.whenCalled();
    await waitBy(aio, way, started.ref);
    assertEquals(outcomeOf(aio, started).status, "ok");
    assertEquals(contentOf(frames), expectedPages(1, 1));
  }, { only: [HELD] });
}

for (const point of INJECTION_POINTS) {
  testEachCoreMethod(`whoever dies at ${point} of its own IO is taken over from`, async (test) => {
    await using fixture = await openPages(test);
    const { aio } = fixture;
    await using other = await Session.start(fixture);
    using gate = new Gate();
    await other.hook(point, "end", gate);
    const frames = makeFrames(fixture, 1);
    other.readUntilEnd({ first: 1, frames });
    await gate.whenCalled();
    const [row] = aio.ios();
    const states = ["STAGED", "COMPLETED_IO", "COMPLETED_SHARED"];
    assertEquals([row!.backendId, row!.state], [1, states[INJECTION_POINTS.indexOf(point)]]);
    await aio.wait({ index: row!.ioId, generation: row!.ioGeneration });
    assertEquals(contentOf(frames), expectedPages(1, 1));
    await using next = await Session.start(fixture);
    const again = makeFrames(fixture, 1);
    assertEquals((await next.read({ first: 2, frames: again })).status, "ok");
    assertEquals(await next.see(again), expectedPages(2, 1));
  });
}
