/**
 * injection_test.ts: hooks at injection points: how they are attached and taken away, what they are
 * shown, what they may not do, and what may not come out of them.
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AioApiError, AioCallbackError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { InjectionHook } from "../../../core/io/injection.ts";
import { INJECTION_POINTS, type InjectionPoint, PHASE_NAMES } from "../../../core/io/result.ts";
import { type Fixture, type StartedRead, startRead, stateOf, wrong } from "../../support/core.ts";
import { testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { Turns } from "../../support/turns.ts";

const AFTER_STAGING = "aio-after-staging";
const BEFORE_SHARED = "aio-process-completion-before-shared";
const BEFORE_RECLAIM = "aio-before-reclaim";
const KNOWN = `known are ${INJECTION_POINTS.join(", ")}`;
const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);

/** Registers a test for each method; the hooks that it attaches are taken away after it. */
function testHooks(name: string, fn: (fixture: Fixture) => void | Promise<void>): void {
  testSharedCores(name, async (fixture) => {
    try {
      await fn(fixture);
    } finally {
      for (const point of INJECTION_POINTS) fixture.aio.detachInjectionPoint(point);
    }
  });
}

/** Starts an IO and ends it. */
function runRead(fixture: Fixture): StartedRead {
  const read = startRead(fixture);
  fixture.aio.waitSync(read.ref);
  return read;
}

// --- attaching ---

const UNKNOWN: readonly (readonly [unknown, string])[] = [
  ["aio-nowhere", '"aio-nowhere"'],
  ["AIO-AFTER-STAGING", '"AIO-AFTER-STAGING"'],
  ["", '""'],
  ["toString", '"toString"'],
  [0, "0"],
  [null, "null"],
  [undefined, "undefined"],
];

for (const [point, text] of UNKNOWN) {
  testHooks(`attaching to and detaching from injection point ${text} is refused`, (fixture) => {
    const { aio } = fixture;
    const name = wrong<InjectionPoint>(point);
    const attached = assertThrows(() => aio.attachInjectionPoint(name, () => {}), RangeError);
    assertEquals(attached.message, `Cannot attach injection point ${text}: ${KNOWN}`);
    const detached = assertThrows(() => aio.detachInjectionPoint(name), RangeError);
    assertEquals(detached.message, `Cannot detach injection point ${text}: ${KNOWN}`);
    assertEquals(backendOf(aio).injections.count, 0);
  });
}

for (
  const [hook, text] of [
    [undefined, "undefined"],
    [null, "null"],
    [{}, "a Object"],
    [-5, "-5"],
    ["hook", '"hook"'],
  ] as const
) {
  testHooks(`attaching ${text} to an injection point is refused`, (fixture) => {
    const { aio } = fixture;
    aio.attachInjectionPoint(AFTER_STAGING, () => {});
    const error = assertThrows(
      () => aio.attachInjectionPoint(AFTER_STAGING, wrong<InjectionHook>(hook)),
      TypeError,
    );
    const what = `Cannot attach ${text} to injection point "${AFTER_STAGING}": no function`;
    assertEquals([error.message, backendOf(aio).injections.count], [what, 1]);
  });
}

testHooks(`a hook takes the place of the one that was attached`, (fixture) => {
  const { aio } = fixture;
  for (const point of INJECTION_POINTS) {
    const called: string[] = [];
    aio.attachInjectionPoint(point, () => void called.push("first"));
    aio.attachInjectionPoint(point, () => void called.push("second"));
    assertEquals(backendOf(aio).injections.count, 1);
    runRead(fixture);
    assertEquals(called, ["second"]);
    aio.detachInjectionPoint(point);
    assertEquals(backendOf(aio).injections.count, 0);
    runRead(fixture);
    assertEquals(called, ["second"]);
  }
});

testHooks(
  "detaching says whether there was a hook, and the last one ends the counting",
  (fixture) => {
    const { aio } = fixture;
    const { injections } = backendOf(aio);
    for (const [i, point] of INJECTION_POINTS.entries()) {
      assertEquals(aio.detachInjectionPoint(point), false);
      aio.attachInjectionPoint(point, () => {});
      assertEquals(injections.count, i + 1);
    }
    for (const [i, point] of INJECTION_POINTS.entries()) {
      assertEquals(aio.detachInjectionPoint(point), true);
      assertEquals(aio.detachInjectionPoint(point), false);
      assertEquals(injections.count, INJECTION_POINTS.length - 1 - i);
    }
  },
);

testHooks("a hook that takes itself away is called once", (fixture) => {
  const { aio } = fixture;
  let count = 0;
  for (const point of INJECTION_POINTS) {
    aio.attachInjectionPoint(point, () => {
      count++;
      aio.detachInjectionPoint(point);
    });
  }
  runRead(fixture);
  assertEquals([count, backendOf(aio).injections.count], [3, 0]);
  runRead(fixture);
  assertEquals(count, 3);
});

const turns = new Turns(2);

testEachCoreMethod("hooks are those of one Aio", async (test) => {
  await using fixture = await test.open();
  await using other = await test.open();
  fixture.aio.attachInjectionPoint(BEFORE_SHARED, () => -5);
  assertEquals(runRead(other).ret.result.status, "ok");
  assertEquals(runRead(fixture).ret.result.status, "error");
}, { turns });

// --- what a hook is shown ---

testHooks(
  `hooks are called in order, with the handle in its state and the raw result`,
  (fixture) => {
    const { aio } = fixture;
    const called: unknown[] = [];
    for (const point of INJECTION_POINTS) {
      aio.attachInjectionPoint(point, (handle, rawResult) => {
        const { id, backendId, state, operation, length } = handle;
        assertEquals(stateOf(fixture, id), state);
        called.push([point, id, backendId, state, operation, length, rawResult]);
      });
    }
    const { index } = runRead(fixture).ref;
    assertEquals(called, [
      [AFTER_STAGING, index, 0, "staged", "readv", 512, 0],
      [BEFORE_SHARED, index, 0, "completedIo", "readv", 512, 512],
      [BEFORE_RECLAIM, index, 0, "completedShared", "readv", 512, 512],
    ]);
  },
);

testHooks(`a hook may look at IOs, and attach and detach others`, (fixture) => {
  const { aio } = fixture;
  const states: string[] = [];
  const look = () => void states.push(...aio.ios().map(({ state }) => state));
  aio.attachInjectionPoint(AFTER_STAGING, () => {
    look();
    aio.attachInjectionPoint(BEFORE_SHARED, () => {
      look();
      aio.attachInjectionPoint(BEFORE_RECLAIM, look);
    });
  });
  assertEquals(runRead(fixture).ret.result.status, "ok");
  assertEquals(states, ["STAGED", "COMPLETED_IO", "COMPLETED_SHARED"]);
});

// --- what it may not do ---

const FORBIDDEN: readonly (readonly [string, (fixture: Fixture) => unknown])[] = [
  ["acquire", ({ aio }) => aio.acquire()],
  ["acquire", ({ aio }) => aio.tryAcquire()],
  ["acquireAsync", ({ aio }) => aio.acquireAsync((handle) => handle.release())],
  ["waitSync", ({ aio }) => aio.waitSync({ index: 0, generation: 1 })],
  ["wait", ({ aio }) => aio.whenDone({ index: 0, generation: 1 }, { completed() {} })],
  ["checkDone", ({ aio }) => aio.checkDone({ index: 0, generation: 1 })],
  ["submitStaged", ({ aio }) => aio.submitStaged()],
  ["enterBatchmode", ({ aio }) => aio.enterBatchmode()],
  ["errorCleanup", ({ aio }) => aio.errorCleanup()],
  ["closingFd", ({ aio, file }) => aio.closingFd(file.fd)],
  ["reapBackend", ({ aio }) => aio.reapBackend(1)],
  ["adoptMemory", ({ aio }) => aio.adoptMemory(new SharedArrayBuffer(8))],
];

for (const point of INJECTION_POINTS) {
  testHooks(`a hook at ${point} may neither start IO nor wait`, (fixture) => {
    const { aio } = fixture;
    const refused: string[] = [];
    aio.attachInjectionPoint(point, () => {
      for (const [, call] of FORBIDDEN) {
        refused.push(assertThrows(() => call(fixture), AioApiError).message);
      }
    });
    const { ret } = runRead(fixture);
    assertEquals(
      refused,
      FORBIDDEN.map(([name]) =>
        `API violation: ${name}() was called from within a hook at an injection point; ` +
        "a callback may not wait, start IO or change handles"
      ),
    );
    // The hook has caught the error, so the IO ended well.
    assertEquals([ret.result.status, ret.result.result, fixture.messages()], ["ok", 512, []]);
    assertEquals([backendOf(aio).callbacks.runningId, backendOf(aio).inFlightCount], [0, 0]);
  });
}

testEachCoreMethod("a hook that closes is refused, and a later close() works", async (test) => {
  await using fixture = await test.open();
  const { aio } = fixture;
  let refused: Promise<unknown> | undefined;
  aio.attachInjectionPoint(AFTER_STAGING, () => {
    refused = assertRejects(() => aio.close(), AioApiError, "a hook at an injection point");
  });
  runRead(fixture);
  await refused;
  assertEquals(aio.isClosed, false);
}, { turns });

for (const [i, point] of INJECTION_POINTS.entries()) {
  testHooks(`a hook at ${point} that lets a refusal through fails its IO only`, (fixture) => {
    const { aio } = fixture;
    aio.attachInjectionPoint(point, () => void aio.acquire());
    const { ret } = runRead(fixture);
    const error = assertThrows(
      () => aio.reportResult(ret.result, ret.targetData, "error"),
      AioCallbackError,
    );
    assertEquals(error.message, `Injection point "${point}" threw in ${PHASE_NAMES[i]} of its IO`);
    assertEquals([fixture.warnings.length, backendOf(aio).callbacks.runningId], [1, 0]);
    aio.detachInjectionPoint(point);
    assertEquals(runRead(fixture).ret.result.status, "ok");
  });
}

// --- what comes out of it ---

const NO_INT32: readonly (readonly [unknown, string])[] = [
  [INT32_MAX + 1, "2147483648"],
  [INT32_MIN - 1, "-2147483649"],
  [1.5, "1.5"],
  [NaN, "NaN"],
  [-Infinity, "-Infinity"],
  ["5", '"5"'],
  [true, "true"],
  [{}, "a Object"],
  [Promise.resolve(5), "a Promise"],
];

for (const [i, point] of INJECTION_POINTS.entries()) {
  testHooks(`what a hook at ${point} returns must be a 32-bit integer`, (fixture) => {
    const { aio } = fixture;
    for (const [value, text] of NO_INT32) {
      aio.attachInjectionPoint(point, wrong<InjectionHook>(() => value));
      const { ret } = runRead(fixture);
      assertEquals([ret.result.status, ret.result.result, ret.result.callbackId], ["error", 0, 0]);
      const { message, cause } = fixture.warnings.at(-1)!;
      const why = `an injected result must be a 32-bit integer: got ${text}`;
      assertEquals(cause instanceof RangeError && cause.message, why);
      assertEquals(
        message.replace(/ of handle .*\): /, " of it: "),
        `Injection point "${point}" threw in ${PHASE_NAMES[i]} of it: RangeError: ${why}`,
      );
    }
    assertEquals(fixture.warnings.length, NO_INT32.length);
  });
}

for (const [returned, seen] of [[undefined, 512], [null, 512], [100, 100], [0, 0]] as const) {
  testHooks(`a hook that returns ${returned} makes it a read of ${seen} bytes`, (fixture) => {
    const { aio } = fixture;
    aio.attachInjectionPoint(BEFORE_SHARED, wrong<InjectionHook>(() => returned));
    const { ret } = runRead(fixture);
    assertEquals(
      [ret.result.status, ret.result.result],
      [seen === 512 ? "ok" : "partial", seen],
    );
  });
}

for (const result of [INT32_MAX, INT32_MIN + 1, -1]) {
  testHooks(`a hook can make the raw result ${result}, for whoever looks later`, (fixture) => {
    const { aio } = fixture;
    aio.attachInjectionPoint(BEFORE_SHARED, () => result);
    const seen: (number | null)[] = [];
    aio.attachInjectionPoint(
      BEFORE_RECLAIM,
      () => void seen.push(...aio.ios().map(({ rawResult }) => rawResult)),
    );
    runRead(fixture);
    assertEquals(seen, [result]);
  });
}

for (const point of [AFTER_STAGING, BEFORE_RECLAIM] as const) {
  testHooks(`what a hook at ${point} returns replaces nothing`, (fixture) => {
    fixture.aio.attachInjectionPoint(point, () => -5);
    const { ret } = runRead(fixture);
    assertEquals([ret.result.status, ret.result.result], ["ok", 512]);
  });
}

testHooks("an IO whose hook threw after staging was not executed", (fixture) => {
  const { aio } = fixture;
  aio.attachInjectionPoint(AFTER_STAGING, (handle) => {
    handle.buffers()[0]!.fill(7);
    throw new Error("mine");
  });
  const { ret, view, ref } = startRead(fixture);
  assertEquals(aio.checkDone(ref), true);
  assertEquals([fixture.submissions, ret.result.status], [[], "error"]);
  assertEquals(view, new Uint8Array(512).fill(7));
});
