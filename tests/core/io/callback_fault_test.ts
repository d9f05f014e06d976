/**
 * callback_fault_test.ts: callbacks that throw, return what they should not, or call back into the
 * aio. The IO ends in an error that names the callback; nothing hangs, no handle is lost.
 */

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { AioApiError, AioCallbackError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { AioResult, AioReturn, ERROR_DATA_MAX, reportResult } from "../../../core/io/result.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { claimsMeanwhile } from "../../support/claims_meanwhile.ts";
import { type Fixture, startRead, wrong } from "../../support/core.ts";
import { STAGING, testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { hooks, reset, trace } from "../fixtures/layers.ts";
import { Turns } from "../../support/turns.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);
const PHASES = ["stage", "completeShared", "completeLocal"] as const;
type Phase = (typeof PHASES)[number];

const OPTIONS = { callbackModules: [LAYERS], maxConcurrency: 3 };

/** Registers a test for each method, with the layers loaded and nothing traced. */
function testLayers(name: string, fn: (fixture: Fixture) => void | Promise<void>): void {
  testSharedCores(name, async (fixture) => {
    reset();
    await fn(fixture);
  }, { options: OPTIONS });
}

/**
 * Starts a read with callbacks of our own, and waits for it. A hook replaces the system's result.
 * The hook also keeps the IO in this thread, where its callbacks find `trace` and `hooks`.
 */
function run({ aio, file }: Fixture, ...names: string[]): { ref: WaitRef; ret: AioReturn } {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  for (const name of names) handle.registerCallbacks(aio.callbackId(name));
  handle.setTarget(aio.targetId("page"), [7, 3]);
  handle.setIovec(aio.alloc(512));
  aio.attachInjectionPoint("aio-process-completion-before-shared", () => 5);
  handle.startReadv(file.fd, 0);
  aio.waitSync(ref);
  aio.detachInjectionPoint("aio-process-completion-before-shared");
  return { ref, ret };
}

/** Has `free` do something in one phase. */
function hook(phase: Phase, act: () => unknown): void {
  if (phase === "stage") hooks.stage = () => wrong<void>(act());
  else hooks[phase] = () => wrong<AioResult>(act());
}

/** Runs an IO whose `free` does something in one phase. */
function runHooked(fixture: Fixture, phase: Phase, act: () => unknown, ...others: string[]) {
  hook(phase, act);
  return run(fixture, ...others, "free");
}

/** Every handle can be acquired, and an IO works: nothing was lost. */
function assertConsistent(fixture: Fixture): void {
  reset();
  const { aio } = fixture;
  assertEquals([backendOf(aio).idleCount, backendOf(aio).inFlightCount], [3, 0]);
  assertEquals([backendOf(aio).staging.count, backendOf(aio).hasHandedOut], [0, false]);
  assertEquals(backendOf(aio).staging.isInBatch, false);
  assertEquals(run(fixture, "free").ret.result.status, "ok");
}

testLayers("a callback that throws in stage keeps others from executing its IO", (fixture) => {
  using tries = claimsMeanwhile(fixture);
  const { ret } = runHooked(fixture, "stage", () => {
    throw new Error("my fault");
  });
  assertEquals([tries.claimed, ret.result.status], [[false], "error"]);
});

for (const phase of PHASES) {
  testLayers(
    `a callback that throws in ${phase} makes its IO an error that names it`,
    (fixture) => {
      const cause = new Error("my fault");
      const { ret } = runHooked(fixture, phase, () => {
        throw cause;
      });
      assertEquals(ret.result.status, "error");
      assertEquals(ret.result.callbackId, fixture.aio.callbackId("free"));
      const error = assertThrows(
        () => reportResult(ret.result, ret.targetData, "error"),
        AioCallbackError,
      );
      assertEquals(error.callback, "free");
      assert(error.message.includes('"free"') && error.message.includes(phase), error.message);
      assertEquals(fixture.warnings.length, 1);
      assertEquals(fixture.warnings[0]!.cause, cause);
      assertEquals(
        fixture.warnings[0]!.message,
        `Callback "free" threw in ${phase} of handle 0 (readv on page 7 of table 3): ` +
          "Error: my fault",
      );
      assertConsistent(fixture);
    },
  );
}

testLayers("an IO whose stage callback threw is not executed", (fixture) => {
  hooks.stage = () => {
    throw new Error("no");
  };
  const { ref, ret } = run(fixture, "sharedOnly", "free");
  assert(fixture.aio.checkDone(ref));
  assertEquals(fixture.submissions, []);
  assertEquals([ret.result.status, ret.result.result], ["error", 0]);
  assertEquals(trace, ["shared sharedOnly"], "its completions run all the same");
});

testLayers("after a throw in stage no other stage callback runs", (fixture) => {
  hooks.stage = () => {
    throw new Error("no");
  };
  run(fixture, "first", "free");
  assertEquals(trace.filter((line) => line.startsWith("stage")), []);
});

testLayers("after a throw in completeShared the next callbacks see the error", (fixture) => {
  const { ret } = runHooked(fixture, "completeShared", () => {
    throw new Error("no");
  }, "sharedOnly");
  assertEquals(trace, ["shared sharedOnly"]);
  assertEquals(ret.result.status, "error");
});

for (const phase of ["completeShared", "completeLocal"] as const) {
  const garbage: readonly (readonly [string, () => unknown, string])[] = [
    ["a plain object", () => ({}), "must return an AioResult: got a Object"],
    ["a number", () => 5, "must return an AioResult: got 5"],
    [
      "a promise",
      () => Promise.resolve(new AioResult()),
      "must return an AioResult: got a Promise",
    ],
    ["a look-alike", () => ({ callbackId: 0, status: "ok", errorData: 0, result: 0 }), "AioResult"],
    ["status unknown", () => new AioResult(), 'status "unknown"'],
    ["a made-up status", () => result({ status: "fine" }), 'status "fine"'],
    ["a fraction", () => result({ result: 0.5 }), "result 0.5"],
    ["NaN", () => result({ result: NaN }), "result NaN"],
    ["more than 32 bits", () => result({ result: 2 ** 31 }), "result 2147483648"],
    ["error data -1", () => result({ errorData: -1 }), "error data -1"],
    ["error data of 24 bits", () => result({ errorData: 2 ** 23 }), "error data 8388608"],
    ["reserved error data", () => reserved(), `error data ${ERROR_DATA_MAX + 1}`],
    ["a callback id of 64", () => result({ callbackId: 64 }), "callback id 64"],
    ["a callback id not in the table", () => result({ callbackId: 40 }), "callback id 40"],
  ];
  for (const [name, make, message] of garbage) {
    testLayers(`${phase} returning ${name} counts as a throw`, (fixture) => {
      const { ret } = runHooked(fixture, phase, make);
      assertEquals(ret.result.status, "error");
      assertEquals(ret.result.callbackId, fixture.aio.callbackId("free"));
      assertEquals(fixture.warnings.length, 1);
      assert(fixture.messages()[0]!.includes(message), fixture.messages()[0]);
      assertThrows(() => reportResult(ret.result, ret.targetData, "error"), AioCallbackError);
      assertConsistent(fixture);
    });
  }
}

/** A result that a callback should not return. */
function result(fields: Partial<Record<keyof AioResult, unknown>>): AioResult {
  return Object.assign(new AioResult(), { status: "ok" }, fields);
}

function reserved(): AioResult {
  return result({ status: "error", errorData: ERROR_DATA_MAX + 1 });
}

testLayers("stage returning a promise counts as a throw", (fixture) => {
  const { ret } = runHooked(fixture, "stage", () => Promise.resolve());
  assertEquals(ret.result.status, "error");
  assertEquals(fixture.warnings.length, 1);
  assertConsistent(fixture);
});

// --- calling back ---

/** What a callback may not call, by name. */
const CALLS: Readonly<Record<string, (fixture: Fixture, ref: WaitRef) => unknown>> = {
  "acquire()": ({ aio }) => aio.acquire(),
  "tryAcquire()": ({ aio }) => aio.tryAcquire(),
  "waitSync()": ({ aio }, ref) => aio.waitSync(ref),
  "wait()": ({ aio }, ref) => aio.wait(ref),
  "whenDone()": ({ aio }, ref) => aio.whenDone(ref, { completed() {} }),
  "checkDone()": ({ aio }, ref) => aio.checkDone(ref),
  "submitStaged()": ({ aio }) => aio.submitStaged(),
  "enterBatchmode()": ({ aio }) => aio.enterBatchmode(),
  "exitBatchmode()": ({ aio }) => aio.exitBatchmode(),
  "batch()": ({ aio }) => aio.batch(() => 1),
  "errorCleanup()": ({ aio }) => aio.errorCleanup(),
  "closingFd()": ({ aio, file }) => aio.closingFd(file.fd),
  "adoptMemory()": ({ aio }) => aio.adoptMemory(new SharedArrayBuffer(4096)),
  "alloc()": ({ aio }) => aio.alloc(512),
};

for (const [name, call] of Object.entries(CALLS)) {
  for (const phase of PHASES) {
    testLayers(`${name} from a callback in ${phase} is refused, and nothing breaks`, (fixture) => {
      const { ref } = startRead(fixture);
      fixture.aio.waitSync(ref);
      let thrown: unknown;
      const { ret } = runHooked(fixture, phase, () => {
        try {
          call(fixture, ref);
        } catch (error) {
          thrown = error;
        }
      });
      assertInstanceOf(thrown, AioApiError);
      assert(
        /^API violation: \w+\(\) was called from within the callback "free"; a callback may not /
          .test(thrown.message),
        thrown.message,
      );
      assertEquals(ret.result.status, "ok");
      assertConsistent(fixture);
      startRead(fixture); // The file is not marked as being closed.
    });
  }
}

for (const phase of PHASES) {
  testSharedCores(`owner.release() from a callback in ${phase} starts nothing`, (fixture) => {
    reset();
    const { aio } = fixture;
    const owner = new ResourceOwner(aio);
    aio.enterBatchmode();
    startRead(fixture, 0, { owner });
    let thrown: unknown;
    let seen: unknown;
    hook(phase, () => {
      thrown = assertThrows(() => owner.release());
      seen = [owner.handleCount, aio.haveStaged, fixture.submissions.length];
    });
    const handle = aio.acquire();
    handle.setFlag("synchronous"); // It is over while the other one is staged.
    handle.registerCallbacks(aio.callbackId("free"));
    handle.setTarget(aio.targetId("page"), [7, 3]);
    handle.setIovec(aio.alloc(512));
    handle.startReadv(fixture.file.fd, 0);
    assertInstanceOf(thrown, AioApiError);
    assertEquals(seen, [1, true, 0]);
    aio.exitBatchmode();
  }, { only: STAGING, options: OPTIONS });
}

const turns = new Turns(5);

testEachCoreMethod("aio.close() from a callback is refused, and works later", async (test) => {
  reset();
  await using fixture = await test.open(OPTIONS);
  const { aio } = fixture;
  let closing: Promise<void> = Promise.resolve();
  runHooked(fixture, "completeShared", () => {
    closing = aio.close();
    closing.catch(() => {});
  });
  await assertRejects(() => closing, AioApiError, "API violation");
  assertEquals(aio.isClosed, false);
  assertConsistent(fixture);
  await aio.close();
  assertEquals(aio.isClosed, true);
}, { turns });

testEachCoreMethod(
  "calls from onWarning while it hears of a callback's throw are refused",
  async (test) => {
    reset();
    const errors: unknown[] = [];
    const act = { call: () => {} };
    await using fixture = await test.open({
      ...OPTIONS,
      onWarning: () => {
        try {
          act.call();
        } catch (error) {
          errors.push(error);
        }
      },
    });
    act.call = () => fixture.aio.acquire();
    runHooked(fixture, "completeShared", () => {
      throw new Error("no");
    });
    assertEquals(errors.length, 1);
    assertInstanceOf(errors[0], AioApiError);
    assertConsistent(fixture);
  },
  { turns },
);

testEachCoreMethod("onWarning may use the aio when it is told of a leak", async (test) => {
  const statuses: string[] = [];
  const act = { call: () => {} };
  await using fixture = await test.open({ onWarning: () => act.call() });
  act.call = () => {
    act.call = () => {}; // It is called for the warning at the test's end, too.
    const { ref, ret } = startRead(fixture);
    fixture.aio.waitSync(ref);
    statuses.push(ret.result.status);
  };
  const owner = new ResourceOwner(fixture.aio);
  fixture.aio.acquire(owner);
  owner.release();
  assertEquals(statuses, ["ok"]);
}, { turns });

testLayers("handle calls of the IO under way are refused in its stage callback", (fixture) => {
  const { aio } = fixture;
  const errors: unknown[] = [];
  hooks.stage = (handle) => {
    const own = backendOf(aio).handleOf(handle.id);
    for (const call of [() => own.setFlag("buffered"), () => own.release()]) {
      try {
        call();
      } catch (error) {
        errors.push(error);
      }
    }
  };
  run(fixture, "free");
  assertEquals(errors.length, 2);
  assert(errors.every((error) => error instanceof AioApiError));
});

for (const phase of PHASES) {
  testLayers(
    `${phase} that rejects later is reported once, as a callback that threw`,
    async (fixture) => {
      const { ret } = runHooked(fixture, phase, () => Promise.reject(new Error("too late")));
      // An unhandled rejection would fail this test from the event loop.
      await new Promise((resolve) => setTimeout(resolve, 5));
      const error = assertThrows(
        () => reportResult(ret.result, ret.targetData, "error"),
        AioCallbackError,
      );
      assertEquals([error.callback, error.phase], ["free", phase]);
      assertConsistent(fixture);
    },
  );
}

testEachCoreMethod("file.close() from a callback is refused, and works later", async (test) => {
  reset();
  await using fixture = await test.open(OPTIONS);
  const { aio, file } = fixture;
  let closing: Promise<void> = Promise.resolve();
  const blocking: unknown[] = [];
  runHooked(fixture, "completeShared", () => {
    closing = file.close();
    closing.catch(() => {});
    try {
      file.closeSync();
    } catch (error) {
      blocking.push(error);
    }
  });
  await assertRejects(() => closing, AioApiError, "API violation");
  assertInstanceOf(blocking[0], AioApiError);
  assertEquals(file.isClosed, false);
  assertConsistent(fixture);
  await file.close();
  assertEquals([file.isClosed, backendOf(aio).files.count], [true, 0]);
}, { turns });

testEachCoreMethod(
  "a callback that reads through another aio does not disturb its own IO",
  async (test) => {
    reset();
    await using fixture = await test.open(OPTIONS);
    await using other = await test.open();
    const read = new Uint8Array(16);
    const { ret } = runHooked(fixture, "completeShared", () => {
      assertEquals(other.file.readAtSync(read, 0), 16);
      return undefined;
    }, "sharedOnly");
    assertEquals([ret.result.status, ret.result.result], ["ok", 5]);
    assertConsistent(fixture);
  },
  { turns },
);
