/**
 * promise_test.ts: a user's function returns a promise where nothing can wait for one. Where that
 * is a mistake, the error comes at once, and the rejection of the promise never ends the process.
 */

import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { isThenable, refusePromise } from "../../../core/base/promise.ts";
import { backendOf } from "../../../core/inside.ts";
import { AioReturn, reportResult } from "../../../core/io/result.ts";
import { type Fixture, startOn, startRead, wrong } from "../../support/core.ts";
import { testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { hooks, reset } from "../fixtures/layers.ts";
import { Turns } from "../../support/turns.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);

/** Two ways of being a promise that will be rejected: the engine's, and something with a `then`. */
const PROMISES: readonly (readonly [string, <T>() => T])[] = [
  ["a promise", <T>() => wrong<T>(later())],
  ["what acts as a promise", <T>() => {
    const promise = later();
    return wrong<T>({ then: promise.then.bind(promise) });
  }],
];

async function later(): Promise<never> {
  await Promise.resolve();
  throw new Error("rejected later");
}

/** Runs something, and the event loop until every rejection of it was noticed. */
async function unhandledOf(fn: () => void | Promise<void>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const keep = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    reasons.push(event.reason);
  };
  addEventListener("unhandledrejection", keep);
  try {
    await fn();
    for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setTimeout(resolve, 0));
  } finally {
    removeEventListener("unhandledrejection", keep);
  }
  return reasons;
}

/** Runs something, and keeps the errors that nobody catches. */
async function uncaughtOf(fn: () => void | Promise<void>): Promise<string[]> {
  const errors: string[] = [];
  const keep = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error.message);
  };
  addEventListener("error", keep);
  try {
    assertEquals(await unhandledOf(fn), []);
  } finally {
    removeEventListener("error", keep);
  }
  return errors;
}

for (const [what, promise] of PROMISES) {
  testSharedCores(
    `aio.batch() of ${what} is refused, its rejection swallowed`,
    async (fixture) => {
      const { aio } = fixture;
      const unhandled = await unhandledOf(() => {
        const error = assertThrows(() => aio.batch(() => promise()), TypeError);
        assertEquals(
          error.message,
          "Cannot batch an asynchronous function: await after aio.batch(), not in it",
        );
      });
      assertEquals([unhandled, backendOf(aio).staging.isInBatch], [[], false]);
    },
  );

  testSharedCores(
    `aio.acquireAsync() whose use returns ${what} and starts nothing is refused`,
    async (fixture) => {
      const { aio } = fixture;
      const unhandled = await unhandledOf(async () => {
        await assertRejects(
          () => aio.acquireAsync(() => promise()),
          AioApiError,
          "neither started",
        );
      });
      assertEquals([unhandled, backendOf(aio).hasHandedOut], [[], false]);
    },
  );

  testSharedCores(
    `a hook at an injection point that returns ${what} fails its IO`,
    async (fixture) => {
      const { aio } = fixture;
      const unhandled = await unhandledOf(async () => {
        aio.attachInjectionPoint("aio-process-completion-before-shared", () => promise<number>());
        const { ref, ret } = startRead(fixture);
        await aio.wait(ref);
        aio.detachInjectionPoint("aio-process-completion-before-shared");
        assertEquals(ret.result.status, "error");
      });
      assertEquals([unhandled, fixture.warnings.length], [[], 1]);
    },
  );

  for (const phase of ["stage", "completeLocal"] as const) {
    testSharedCores(
      `a callback that returns ${what} from ${phase} fails its IO`,
      async (fixture) => {
        const { aio } = fixture;
        reset();
        hooks[phase] = () => promise();
        const unhandled = await unhandledOf(async () => {
          const ret = new AioReturn();
          const handle = aio.acquire(null, ret);
          const ref = handle.waitRef();
          handle.registerCallbacks(aio.callbackId("free"));
          startOn(fixture, handle);
          await aio.wait(ref);
          assertEquals(ret.result.status, "error");
        });
        reset();
        assertEquals([unhandled, fixture.warnings.length], [[], 1]);
      },
      { options: { callbackModules: [LAYERS] } },
    );
  }

  testSharedCores(
    `a report() that returns ${what} is refused, its rejection swallowed`,
    async (fixture) => {
      const unhandled = await unhandledOf(() => {
        const ret = warned(fixture);
        hooks.report = () => promise();
        assertThrows(
          () => reportResult(ret.result, ret.targetData, "error"),
          TypeError,
          "a promise",
        );
      });
      reset();
      assertEquals(unhandled, []);
    },
    { options: { callbackModules: [LAYERS] } },
  );

  const turns = new Turns(2);

  testEachCoreMethod(
    `an onWarning that returns ${what} has its rejection reported`,
    async ({ open }) => {
      await using fixture = await open({ onWarning: () => promise<void>() });
      const { aio } = fixture;
      const errors = await uncaughtOf(() => {
        aio.enterBatchmode();
        aio.endOfScope(true);
      });
      assertEquals(errors, ["rejected later"]);
      await fixture.file.close(); // Left open, it would be warned of.
    },
    { turns },
  );

  testEachCoreMethod(
    `an onLog that returns ${what} has its rejection reported`,
    async ({ open }) => {
      let isQuiet = true;
      const onLog = () => isQuiet ? undefined : promise<void>();
      await using fixture = await open({ onLog, logLevel: "debug3" });
      const { aio } = fixture;
      const errors = await uncaughtOf(async () => {
        isQuiet = false;
        const { ref, ret } = startRead(fixture);
        await aio.wait(ref);
        isQuiet = true;
        assertEquals(ret.result.status, "ok");
      });
      assertEquals([...new Set(errors)], ["rejected later"]);
    },
    { turns },
  );
}

/**
 * The outcome of an IO whose local callback makes it a warning. Local callbacks run in this thread
 * under every method.
 */
function warned(fixture: Fixture): AioReturn {
  const { aio } = fixture;
  reset();
  hooks.completeLocal = (_handle, prior) => {
    prior.status = "warning";
    return prior;
  };
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.registerCallbacks(aio.callbackId("free"));
  startOn(fixture, handle);
  aio.waitSync(ref);
  return ret;
}

testSharedCores("aio.withOwner() hands the rejection of its function on", async (fixture) => {
  const mine = new Error("mine");
  const unhandled = await unhandledOf(async () => {
    const done = fixture.aio.withOwner(() => Promise.reject(mine));
    assertStrictEquals(await assertRejects(() => done), mine);
  });
  assertEquals(unhandled, []);
});

testEachCoreMethod(
  "a target described by a promise is described all the same",
  async ({ open }) => {
    await using fixture = await open();
    const { aio } = fixture;
    backendOf(aio).targets.add("later", { describeIdentity: () => wrong<string>(later()) });
    const unhandled = await unhandledOf(() => {
      const handle = aio.acquire();
      handle.setTarget(aio.targetId("later"));
      assertEquals(
        handle.describeTarget(),
        "later (its description failed: TypeError: a description may not be a promise)",
      );
      handle.release();
    });
    assertEquals(unhandled, []);
  },
);

Deno.test("isThenable() takes what has a function named then, and nothing else", () => {
  const like = [Promise.resolve(), { then() {} }, Object.assign(() => {}, { then() {} })];
  assertEquals(like.map(isThenable), [true, true, true]);
  const unlike = [undefined, null, 0, "then", {}, { then: 1 }, () => {}, Symbol("then")];
  assertEquals(unlike.map(isThenable), unlike.map(() => false));
  for (const value of unlike) refusePromise(value, "not this one");
});
