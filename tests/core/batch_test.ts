/** batch_test.ts: batch mode, when staged IOs are submitted, and end-of-turn submission. */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../core/errors.ts";
import { openHeld, openSync, startOn, startRead, stateOf } from "../support/core.ts";

// --- PostgreSQL's test_batchmode ---

for (const committed of [true, false]) {
  Deno.test(`sync: a batch left open at the end of a scope (committed ${committed}) is warned of`, async () => {
    await using fixture = await openSync();
    const { aio } = fixture;
    aio.enterBatchmode();
    aio.endOfScope(committed);
    assertEquals(fixture.messages(), ["open AIO batch at end of (sub-)transaction"]);
    assertEquals(aio.backend.staging.isInBatch, false);
    aio.endOfScope(committed);
    assertEquals(fixture.warnings.length, 1);
  });
}

Deno.test("sync: a batch begun and ended in one scope is silent", async () => {
  await using fixture = await openSync();
  fixture.aio.withOwner(() => {
    fixture.aio.enterBatchmode();
    fixture.aio.exitBatchmode();
  });
  assertEquals(fixture.messages(), []);
});

Deno.test("held: what a batch left open has staged is submitted at the scope's end", async () => {
  await using fixture = await openHeld();
  fixture.aio.enterBatchmode();
  startRead(fixture);
  fixture.aio.endOfScope(true);
  assertEquals(fixture.held.submissions, [1]);
});

// --- enter and exit ---

Deno.test("sync: a batch within a batch is refused in PostgreSQL's words", async () => {
  await using fixture = await openSync();
  const { aio } = fixture;
  aio.enterBatchmode();
  for (const begin of [() => aio.enterBatchmode(), () => aio.batch(() => {})]) {
    const error = assertThrows(begin, AioApiError);
    assertEquals(error.message, "starting batch while batch already in progress");
  }
  assertEquals(aio.backend.staging.isInBatch, true);
  aio.exitBatchmode();
});

Deno.test("sync: ending a batch that was not begun is refused", async () => {
  await using fixture = await openSync();
  const error = assertThrows(() => fixture.aio.exitBatchmode(), AioApiError);
  assertEquals(error.message, "ending batch while no batch is in progress");
});

Deno.test("held: IOs of a batch are staged until it ends, then submitted at once, in order", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  assertEquals(aio.haveStaged, false);
  aio.enterBatchmode();
  const refs = [0, 512, 1024].map((offset) => startRead(fixture, offset).ref);
  assertEquals(refs.map((ref) => stateOf(fixture, ref)), ["staged", "staged", "staged"]);
  assertEquals([aio.haveStaged, held.submissions], [true, []]);
  aio.exitBatchmode();
  assertEquals([aio.haveStaged, held.submissions], [false, [3]]);
  assertEquals(held.held(aio), refs.map((ref) => ref.index));
});

Deno.test("held: without a batch each start is submitted at once", async () => {
  await using fixture = await openHeld();
  startRead(fixture);
  startRead(fixture, 512);
  assertEquals(fixture.held.submissions, [1, 1]);
});

Deno.test("held: aio.submitStaged() submits, and the batch stays open", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  aio.enterBatchmode();
  startRead(fixture);
  aio.submitStaged();
  startRead(fixture);
  assertEquals([held.submissions, aio.backend.staging.count], [[1], 1]);
  aio.exitBatchmode();
  assertEquals(held.submissions, [1, 1]);
  aio.submitStaged();
  assertEquals(held.submissions, [1, 1]);
});

Deno.test("held: a batch of more than 32 is submitted 32 at a time", async () => {
  await using fixture = await openHeld({ maxConcurrency: 128 });
  const { aio, held } = fixture;
  aio.enterBatchmode();
  for (let i = 0; i < 32; i++) startRead(fixture);
  assertEquals([held.submissions, aio.backend.staging.count], [[], 32]);
  startRead(fixture);
  assertEquals([held.submissions, aio.backend.staging.count], [[32], 1]);
  for (let i = 33; i < 100; i++) startRead(fixture);
  aio.exitBatchmode();
  assertEquals(held.submissions, [32, 32, 32, 4]);
});

Deno.test("held: aio.errorCleanup() ends the batch and submits", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  aio.enterBatchmode();
  startRead(fixture);
  aio.errorCleanup();
  assertEquals([aio.backend.staging.isInBatch, held.submissions, fixture.messages()], [
    false,
    [1],
    [],
  ]);
  aio.errorCleanup();
});

Deno.test("held: an IO with referencesLocal overtakes what a batch has staged", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  aio.enterBatchmode();
  startRead(fixture);
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setFlag("referencesLocal");
  handle.setIovec(new Uint8Array(512));
  fixture.file.startReadv(handle, 0);
  assert(aio.checkDone(ref));
  assertEquals(held.submissions, []);
  aio.exitBatchmode();
});

// --- batch(fn) ---

Deno.test("held: aio.batch() returns what its function returned, and submits", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const refs = aio.batch(() => [startRead(fixture).ref, startRead(fixture).ref]);
  assertEquals([refs.length, held.submissions, aio.backend.staging.isInBatch], [2, [2], false]);
});

Deno.test("held: aio.batch() whose function throws submits, ends, and throws the same", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const mine = new Error("mine");
  const error = assertThrows(() =>
    aio.batch(() => {
      startRead(fixture);
      throw mine;
    })
  );
  assertStrictEquals(error, mine);
  assertEquals([held.submissions, aio.backend.staging.isInBatch], [[1], false]);
});

Deno.test("held: aio.batch() of an asynchronous function is refused, and the batch ended", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
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
  assertEquals([held.submissions, aio.backend.staging.isInBatch], [[1], false]);
});

Deno.test("held: aio.batch() whose function ends the batch itself is fine", async () => {
  await using fixture = await openHeld();
  assertEquals(fixture.aio.batch(() => fixture.aio.exitBatchmode()), undefined);
  assertEquals(fixture.aio.backend.staging.isInBatch, false);
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
  Deno.test(`held: ${count} starts of one turn are ${submissions.length} submissions`, async () => {
    await using fixture = await openHeld({ maxConcurrency: 128 });
    const { held } = fixture;
    for (let i = 0; i < count; i++) startRead(fixture, 0, { submit: "endOfTurn" });
    assertEquals(held.submissions, submissions.slice(0, -1));
    await Promise.resolve();
    assertEquals(held.submissions, [...submissions]);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(held.submissions, [...submissions]);
  });
}

Deno.test("held: each turn has its own submission", async () => {
  await using fixture = await openHeld();
  for (let turn = 0; turn < 3; turn++) {
    startRead(fixture, 0, { submit: "endOfTurn" });
    startRead(fixture, 0, { submit: "endOfTurn" });
    await Promise.resolve();
  }
  assertEquals(fixture.held.submissions, [2, 2, 2]);
});

Deno.test("held: a start for now submits what waits for the turn's end too", async () => {
  await using fixture = await openHeld();
  startRead(fixture, 0, { submit: "endOfTurn" });
  startRead(fixture, 0, { submit: "now" });
  assertEquals(fixture.held.submissions, [2]);
  await Promise.resolve();
  assertEquals(fixture.held.submissions, [2]);
});

Deno.test("held: end-of-turn starts and a batch of the same turn do not collide", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  startRead(fixture, 0, { submit: "endOfTurn" });
  aio.batch(() => startRead(fixture, 0, { submit: "endOfTurn" }));
  assertEquals(held.submissions, [2]);
  startRead(fixture, 0, { submit: "endOfTurn" });
  await Promise.resolve();
  assertEquals(held.submissions, [2, 1]);
});

Deno.test("held: aio.waitSync() submits what is staged before it blocks", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  aio.enterBatchmode();
  const first = startRead(fixture);
  const second = startRead(fixture, 512);
  aio.waitSync(first.ref);
  assertEquals([held.submissions, held.waits], [[2], [first.ref.index]]);
  assertEquals([first.ret.result.status, second.ret.result.status], ["ok", "unknown"]);
  aio.exitBatchmode();
});

Deno.test("held: aio.wait() on a staged IO has it submitted by the turn's end", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  aio.enterBatchmode();
  const { ref, ret } = startRead(fixture);
  const done = aio.wait(ref);
  assertEquals(held.submissions, []);
  await Promise.resolve();
  assertEquals(held.submissions, [1]);
  held.perform(aio, ref);
  await done;
  assertEquals(ret.result.status, "ok");
  aio.exitBatchmode();
});

Deno.test("held: a handle handed out does not hinder the submission of others", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  startRead(fixture, 0, { submit: "endOfTurn" });
  const handle = aio.acquire();
  await Promise.resolve();
  assertEquals(held.submissions, [1]);
  startOn(fixture, handle);
});
