/**
 * batch_test.ts: batch mode, when staged IOs are submitted, and end-of-turn submission. `sync`
 * never stages anything, so the tests of staged IO run with all other methods.
 */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { startOn, startRead, stateOf } from "../../support/core.ts";
import { HELD, STAGING, testSharedCores } from "../../support/core_methods.ts";

// --- PostgreSQL's test_batchmode ---

for (const committed of [true, false]) {
  testSharedCores(
    `a batch left open at the end of a scope (committed ${committed}) is warned of`,
    (fixture) => {
      const { aio } = fixture;
      aio.enterBatchmode();
      aio.endOfScope(committed);
      assertEquals(fixture.messages(), ["open AIO batch at end of (sub-)transaction"]);
      assertEquals(backendOf(aio).staging.isInBatch, false);
      aio.endOfScope(committed);
      assertEquals(fixture.warnings.length, 1);
    },
  );
}

testSharedCores("a batch begun and ended in one scope is silent", (fixture) => {
  fixture.aio.withOwner(() => {
    fixture.aio.enterBatchmode();
    fixture.aio.exitBatchmode();
  });
  assertEquals(fixture.messages(), []);
});

testSharedCores("what a batch left open has staged is submitted at the scope's end", (fixture) => {
  fixture.aio.enterBatchmode();
  startRead(fixture);
  fixture.aio.endOfScope(true);
  assertEquals(fixture.submissions, [1]);
}, { only: STAGING });

// --- enter and exit ---

testSharedCores("a batch within a batch is refused in PostgreSQL's words", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  for (const begin of [() => aio.enterBatchmode(), () => aio.batch(() => {})]) {
    const error = assertThrows(begin, AioApiError);
    assertEquals(error.message, "starting batch while batch already in progress");
  }
  assertEquals(backendOf(aio).staging.isInBatch, true);
  aio.exitBatchmode();
});

testSharedCores("ending a batch that was not begun is refused", (fixture) => {
  const error = assertThrows(() => fixture.aio.exitBatchmode(), AioApiError);
  assertEquals(error.message, "ending batch while no batch is in progress");
});

testSharedCores(
  "IOs of a batch are staged until it ends, then submitted at once, in order",
  (fixture, method) => {
    const { aio, held } = fixture;
    assertEquals(aio.haveStaged, false);
    aio.enterBatchmode();
    const refs = [0, 512, 1024].map((offset) => startRead(fixture, offset).ref);
    assertEquals(refs.map((ref) => stateOf(fixture, ref)), ["staged", "staged", "staged"]);
    assertEquals([aio.haveStaged, fixture.submissions], [true, []]);
    aio.exitBatchmode();
    assertEquals([aio.haveStaged, fixture.submissions], [false, [3]]);
    if (method === HELD) assertEquals(held.held(aio), refs.map((ref) => ref.index));
  },
  { only: STAGING },
);

testSharedCores("without a batch each start is submitted at once", (fixture) => {
  startRead(fixture);
  startRead(fixture, 512);
  assertEquals(fixture.submissions, [1, 1]);
}, { only: STAGING });

testSharedCores("aio.submitStaged() submits, and the batch stays open", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  startRead(fixture);
  aio.submitStaged();
  startRead(fixture);
  assertEquals([fixture.submissions, backendOf(aio).staging.count], [[1], 1]);
  aio.exitBatchmode();
  assertEquals(fixture.submissions, [1, 1]);
  aio.submitStaged();
  assertEquals(fixture.submissions, [1, 1]);
}, { only: STAGING });

testSharedCores("a batch of more than 32 is submitted 32 at a time", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  for (let i = 0; i < 32; i++) startRead(fixture);
  assertEquals([fixture.submissions, backendOf(aio).staging.count], [[], 32]);
  startRead(fixture);
  assertEquals([fixture.submissions, backendOf(aio).staging.count], [[32], 1]);
  for (let i = 33; i < 100; i++) startRead(fixture);
  aio.exitBatchmode();
  assertEquals(fixture.submissions, [32, 32, 32, 4]);
}, { only: STAGING, options: { maxConcurrency: 128 } });

testSharedCores("aio.errorCleanup() ends the batch and submits", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  startRead(fixture);
  aio.errorCleanup();
  assertEquals([backendOf(aio).staging.isInBatch, fixture.submissions, fixture.messages()], [
    false,
    [1],
    [],
  ]);
  aio.errorCleanup();
}, { only: STAGING });

testSharedCores("an IO with referencesLocal overtakes what a batch has staged", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  startRead(fixture);
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setFlag("referencesLocal");
  handle.setIovec(new Uint8Array(512));
  fixture.file.startReadv(handle, 0);
  assert(aio.checkDone(ref));
  assertEquals(fixture.submissions, []);
  aio.exitBatchmode();
}, { only: STAGING });

// --- batch(fn) ---

testSharedCores("aio.batch() returns what its function returned, and submits", (fixture) => {
  const { aio } = fixture;
  const refs = aio.batch(() => [startRead(fixture).ref, startRead(fixture).ref]);
  assertEquals([refs.length, fixture.submissions, backendOf(aio).staging.isInBatch], [
    2,
    [2],
    false,
  ]);
}, { only: STAGING });

testSharedCores(
  "aio.batch() whose function throws submits, ends, and throws the same",
  (fixture) => {
    const { aio } = fixture;
    const mine = new Error("mine");
    const error = assertThrows(() =>
      aio.batch(() => {
        startRead(fixture);
        throw mine;
      })
    );
    assertStrictEquals(error, mine);
    assertEquals([fixture.submissions, backendOf(aio).staging.isInBatch], [[1], false]);
  },
  { only: STAGING },
);

testSharedCores(
  "aio.batch() of an asynchronous function is refused, and the batch ended",
  (fixture) => {
    const { aio } = fixture;
    const error = assertThrows(
      () =>
        aio.batch(async () => {
          startRead(fixture);
          await Promise.resolve();
        }),
      TypeError,
    );
    assertEquals(
      error.message,
      "Cannot batch an asynchronous function: await after aio.batch(), not in it",
    );
    assertEquals([fixture.submissions, backendOf(aio).staging.isInBatch], [[1], false]);
  },
  { only: STAGING },
);

testSharedCores("aio.batch() whose function ends the batch itself is fine", (fixture) => {
  assertEquals(fixture.aio.batch(() => fixture.aio.exitBatchmode()), undefined);
  assertEquals(backendOf(fixture.aio).staging.isInBatch, false);
});

// --- the end of the turn ---

for (
  const [count, submissions] of [
    [1, [1]],
    [32, [32]],
    [33, [32, 1]],
    [100, [32, 32, 32, 4]],
  ] as const
) {
  testSharedCores(
    `${count} starts of one turn are ${submissions.length} submissions`,
    async (fixture) => {
      for (let i = 0; i < count; i++) startRead(fixture, 0, { submit: "endOfTurn" });
      assertEquals(fixture.submissions, submissions.slice(0, -1));
      await Promise.resolve();
      assertEquals(fixture.submissions, [...submissions]);
      await new Promise((resolve) => setTimeout(resolve, 0));
      assertEquals(fixture.submissions, [...submissions]);
    },
    { only: STAGING, options: { maxConcurrency: 128 } },
  );
}

testSharedCores("each turn has its own submission", async (fixture) => {
  for (let turn = 0; turn < 3; turn++) {
    startRead(fixture, 0, { submit: "endOfTurn" });
    startRead(fixture, 0, { submit: "endOfTurn" });
    await Promise.resolve();
  }
  assertEquals(fixture.submissions, [2, 2, 2]);
}, { only: STAGING });

testSharedCores("a start for now submits what waits for the turn's end too", async (fixture) => {
  startRead(fixture, 0, { submit: "endOfTurn" });
  startRead(fixture, 0, { submit: "now" });
  assertEquals(fixture.submissions, [2]);
  await Promise.resolve();
  assertEquals(fixture.submissions, [2]);
}, { only: STAGING });

testSharedCores(
  "end-of-turn starts and a batch of the same turn do not collide",
  async (fixture) => {
    const { aio } = fixture;
    startRead(fixture, 0, { submit: "endOfTurn" });
    aio.batch(() => startRead(fixture, 0, { submit: "endOfTurn" }));
    assertEquals(fixture.submissions, [2]);
    startRead(fixture, 0, { submit: "endOfTurn" });
    await Promise.resolve();
    assertEquals(fixture.submissions, [2, 1]);
  },
  { only: STAGING },
);

testSharedCores("aio.waitSync() submits what is staged before it blocks", (fixture, method) => {
  const { aio, held } = fixture;
  aio.enterBatchmode();
  const first = startRead(fixture);
  const second = startRead(fixture, 512);
  aio.waitSync(first.ref);
  assertEquals([fixture.submissions, first.ret.result.status], [[2], "ok"]);
  if (method === HELD) {
    assertEquals([held.waits, second.ret.result.status], [[first.ref.index], "unknown"]);
  }
  aio.exitBatchmode();
}, { only: STAGING });

testSharedCores("aio.wait() on a staged IO has it submitted by the turn's end", async (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  const { ref, ret } = startRead(fixture);
  const done = aio.wait(ref);
  assertEquals(fixture.submissions, []);
  await Promise.resolve();
  assertEquals(fixture.submissions, [1]);
  aio.waitSync(ref);
  await done;
  assertEquals(ret.result.status, "ok");
  aio.exitBatchmode();
}, { only: STAGING });

testSharedCores("a handle handed out does not hinder the submission of others", async (fixture) => {
  const { aio } = fixture;
  startRead(fixture, 0, { submit: "endOfTurn" });
  const handle = aio.acquire();
  await Promise.resolve();
  assertEquals(fixture.submissions, [1]);
  startOn(fixture, handle);
}, { only: STAGING });
