/**
 * waiting_test.ts: waiting for IO, blocking and awaiting, in any order, and giving up. Tests run
 * with `held` alone if they decide when an IO ends, look which IO the method was to wait for, or
 * let another thread complete it.
 */

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { FLAG_BITS } from "../../../core/io/handle_flag.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { withPrng } from "../../support/prng.ts";
import {
  fileContent,
  openHeld,
  type StartedRead,
  startOn,
  startRead,
  stateOf,
} from "../../support/core.ts";
import { STAGING, testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { HeldMethod } from "../../support/held_method.ts";

/** Whether a promise has settled once everything that is due now has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  await new Promise((resolve) => setTimeout(resolve, 5));
  return settled;
}

function assertRead(read: StartedRead): void {
  assertEquals([read.ret.result.status, read.ret.result.result], ["ok", 512]);
  assertEquals(read.view, fileContent(read.offset, 512));
}

// --- blocking ---

Deno.test("held: aio.waitSync() of an IO in flight asks the method for that one", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const reads = [0, 512, 1024].map((offset) => startRead(fixture, offset));
  aio.waitSync(reads[1]!.ref);
  assertEquals(held.waits, [reads[1]!.ref.index]);
  assertRead(reads[1]!);
  assertEquals(held.held(aio), [reads[0]!.ref.index, reads[2]!.ref.index]);
});

Deno.test("held: nobody helps an IO that is executed in its start call", async () => {
  await using fixture = await openHeld();
  const backend = backendOf(fixture.aio);
  const { waiting } = backend;
  const { ref } = startRead(fixture, 0);
  const handle = backend.handleOf(ref.index);
  const flagsAt = handle.base + HANDLE.flags;
  const flags = handle.words[flagsAt]!;
  assertEquals(waiting.canHelp(handle), true);
  for (const flag of ["synchronous", "referencesLocal"] as const) {
    // As another thread sees it in the moment in which it is submitted.
    handle.words[flagsAt] = flags | FLAG_BITS[flag];
    assertEquals(waiting.canHelp(handle), false, flag);
  }
  handle.words[flagsAt] = flags;
  fixture.aio.waitSync(ref);
});

Deno.test("held: aio.waitSync() goes on until its own IO is done, whatever else was", async () => {
  const order: number[] = [];
  const held: HeldMethod = new HeldMethod({
    onWaitOne(backend) {
      const next = held.held(fixture.aio)[0]!;
      order.push(next);
      backend.performSynchronously(backendOf(fixture.aio).handleOf(next));
    },
  });
  await using fixture = await openHeld({}, held);
  const reads = [0, 512, 1024].map((offset) => startRead(fixture, offset));
  fixture.aio.waitSync(reads[2]!.ref);
  assertEquals(order, reads.map((read) => read.ref.index));
  for (const read of reads) assertRead(read);
});

Deno.test("held: aio.waitSync() of what is done asks nobody", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const { ref } = startRead(fixture);
  held.perform(aio, ref);
  aio.waitSync(ref);
  aio.waitSync(ref);
  assertEquals(held.waits, []);
});

Deno.test("held: aio.checkDone() looks for completions but does not wait", async () => {
  const held: HeldMethod = new HeldMethod({
    onCheckOne(backend, handle) {
      if (held.checks.length === 3) backend.performSynchronously(handle);
    },
  });
  await using fixture = await openHeld({}, held);
  const read = startRead(fixture);
  const answers = [1, 2, 3, 4].map(() => fixture.aio.checkDone(read.ref));
  assertEquals(answers, [false, false, true, true]);
  assertEquals([held.checks.length, held.waits], [3, []]);
  assertRead(read);
});

testSharedCores("aio.checkDone() of a staged IO is false and does not submit it", (fixture) => {
  fixture.aio.enterBatchmode();
  const { ref } = startRead(fixture);
  assertFalse(fixture.aio.checkDone(ref));
  assertEquals(stateOf(fixture, ref), "staged");
  fixture.aio.exitBatchmode();
}, { only: STAGING });

// --- all handles in use ---

testSharedCores(
  "aio.tryAcquire() is null while all handles are in use, and does not wait",
  (fixture) => {
    const { aio, held } = fixture;
    aio.enterBatchmode();
    const reads = [startRead(fixture), startRead(fixture)];
    assertEquals(aio.tryAcquire(), null);
    assertEquals([fixture.submissions, held.waits], [[], []]);
    aio.exitBatchmode();
    for (const { ref } of reads) aio.waitSync(ref);
    const handle = aio.tryAcquire();
    assert(handle !== null);
    handle.release();
  },
  { only: STAGING, options: { maxConcurrency: 2 } },
);

Deno.test("held: aio.acquire() with all handles in flight waits for the oldest", async () => {
  await using fixture = await openHeld({ maxConcurrency: 3 });
  const { aio, held } = fixture;
  const reads = [0, 512, 1024].map((offset) => startRead(fixture, offset));
  held.perform(aio, reads[0]!.ref);
  reads.push(startRead(fixture, 1536)); // The handle used first is now the youngest.
  const handle = aio.acquire();
  assertEquals(held.waits, [reads[1]!.ref.index]);
  assertEquals(handle.index, reads[1]!.ref.index);
  assertRead(reads[1]!);
  handle.release();
});

testSharedCores("aio.acquire() with all handles staged submits them first", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  startRead(fixture);
  startRead(fixture);
  aio.acquire().release();
  assertEquals(fixture.submissions, [2]);
  aio.exitBatchmode();
}, { only: STAGING, options: { maxConcurrency: 2 } });

testSharedCores("one handle is enough for IO after IO", (fixture) => {
  const reads = Array.from({ length: 20 }, (_, i) => startRead(fixture, i * 512));
  fixture.aio.waitSync(reads[19]!.ref);
  for (const read of reads) assertRead(read);
}, { options: { maxConcurrency: 1 } });

Deno.test("held: what another thread completed is taken back without asking the method", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  const { ref, ret } = startRead(fixture);
  const { control } = backendOf(aio);
  const base = control.handleAt(ref.index);
  control.words[base + HANDLE.resultStatus] = 1;
  control.words[base + HANDLE.result] = 99;
  Atomics.store(control.words, base + HANDLE.state, 6);
  assertEquals([stateOf(fixture, ref), ret.result.status], ["completedShared", "unknown"]);
  aio.acquire().release();
  assertEquals([held.waits, ret.result.status, ret.result.result], [[], "ok", 99]);
});

Deno.test("held: aio.acquire() takes back what another thread completed before it waits", async () => {
  await using fixture = await openHeld({ maxConcurrency: 2 });
  const { aio, held } = fixture;
  const [oldest, done] = [startRead(fixture), startRead(fixture, 512)];
  const { control } = backendOf(aio);
  const base = control.handleAt(done.ref.index);
  control.words[base + HANDLE.resultStatus] = 1;
  control.words[base + HANDLE.result] = 512;
  Atomics.store(control.words, base + HANDLE.state, 6);
  const handle = aio.acquire();
  assertEquals([handle.index, held.waits], [done.ref.index, []]);
  assertEquals(done.ret.result.status, "ok");
  assertEquals(stateOf(fixture, oldest.ref), "submitted");
  handle.release();
});

Deno.test("held: whoever sleeps on the state word is woken, and the mask is cleared", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const { ref } = startRead(fixture);
  const { control } = backendOf(aio);
  const base = control.handleAt(ref.index);
  const sleep = Atomics.waitAsync(control.words, base + HANDLE.state, 4, 10_000);
  assert(sleep.async);
  Atomics.or(control.words, base + HANDLE.waiterMask, 2);
  const alive = setInterval(() => {}, 100); // A sleep alone does not keep the event loop going.
  held.perform(aio, ref);
  assertEquals(await sleep.value, "ok");
  clearInterval(alive);
  assertEquals(control.words[base + HANDLE.waiterMask], 0);
});

testSharedCores("the return slot of one IO is not written by the handle's next use", (fixture) => {
  const { aio } = fixture;
  aio.attachInjectionPoint("aio-process-completion-before-shared", () => 100);
  const first = startRead(fixture);
  aio.waitSync(first.ref);
  aio.detachInjectionPoint("aio-process-completion-before-shared");
  const second = startRead(fixture, 512);
  aio.waitSync(second.ref);
  assertEquals(second.ref.index, first.ref.index);
  assertEquals([first.ret.result.status, first.ret.result.result], ["partial", 100]);
}, { options: { maxConcurrency: 1 } });

// --- awaiting ---

testSharedCores(
  "aio.wait() resolves when its IO is done, for each of many at once",
  async (fixture) => {
    const { aio } = fixture;
    const reads = Array.from({ length: 64 }, (_, i) => startRead(fixture, i * 512));
    await Promise.all(reads.map(async (read) => {
      await aio.wait(read.ref);
      assertRead(read);
    }));
  },
);

// Only with this method does IO end in an order of the test's choosing.
Deno.test("held: aio.wait() resolves when its IO is done, in whatever order they end", async () => {
  await withPrng(async (prng) => {
    await using fixture = await openHeld({ maxConcurrency: 64 });
    const { aio, held } = fixture;
    const reads = Array.from({ length: 64 }, (_, i) => startRead(fixture, i * 512));
    const resolved: number[] = [];
    const waits = reads.map((read) => aio.wait(read.ref).then(() => resolved.push(read.ref.index)));
    const order = prng.shuffled(reads);
    for (const read of order) held.perform(aio, read.ref);
    await Promise.all(waits);
    for (const read of reads) assertRead(read);
    assertEquals(resolved, order.map((read) => read.ref.index));
  });
});

Deno.test("held: aio.wait() does not resolve before the IO is done", async () => {
  await using fixture = await openHeld();
  const { ref } = startRead(fixture);
  const wait = fixture.aio.wait(ref);
  assertFalse(await isSettled(wait));
  fixture.held.perform(fixture.aio, ref);
  await wait;
});

testSharedCores("many may await one IO, and all of them are told", async (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  const { ref } = startRead(fixture);
  const waits = Array.from({ length: 10 }, () => aio.wait(ref));
  assertEquals(backendOf(aio).waiting.awaited, 1);
  aio.exitBatchmode();
  await Promise.all(waits);
  assertEquals(backendOf(aio).waiting.awaited, 0);
}, { only: STAGING });

Deno.test("held: those who await are not told of the handle's next use", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  const first = startRead(fixture);
  const wait = aio.wait(first.ref);
  held.perform(aio, first.ref);
  const second = startRead(fixture, 512);
  const next = aio.wait(second.ref);
  await wait;
  assertFalse(await isSettled(next));
  held.perform(aio, second.ref);
  await next;
});

testSharedCores(
  "aio.wait() of an IO that another call waits for, blocking, resolves too",
  async (fixture) => {
    const { ref } = startRead(fixture);
    const wait = fixture.aio.wait(ref);
    fixture.aio.waitSync(ref);
    await wait;
  },
);

Deno.test("held: aio.whenDone() is true for what is done, and tells nobody", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const { ref } = startRead(fixture);
  let told = 0;
  const waiter = { completed: () => told++ };
  assertFalse(aio.whenDone(ref, waiter));
  held.perform(aio, ref);
  assertEquals(told, 0, "not from within the completion");
  await Promise.resolve();
  assertEquals(told, 1);
  assert(aio.whenDone(ref, waiter));
  await new Promise((resolve) => setTimeout(resolve, 2));
  assertEquals(told, 1);
});

testSharedCores("an IO that is done before the await is awaited all the same", async (fixture) => {
  const read = startRead(fixture);
  await fixture.aio.wait(read.ref);
  assertRead(read);
});

// --- giving up ---

testSharedCores("aio.abandon() leaves the return slot alone, and the IO goes on", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  const read = startRead(fixture);
  aio.abandon(read.ref);
  aio.exitBatchmode();
  aio.waitSync(read.ref);
  assertEquals(read.ret.result.status, "unknown");
  assertEquals(read.view, fileContent(0, 512));
  assert(aio.checkDone(read.ref));
}, { only: STAGING });

testSharedCores("memory of an abandoned IO cannot be freed before it is done", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  const read = startRead(fixture);
  aio.abandon(read.ref);
  assertThrows(() => aio.free(read.view), Deno.errors.Busy, "while an IO uses it");
  aio.exitBatchmode();
  aio.waitSync(read.ref);
  aio.free(read.view);
}, { only: STAGING });

testSharedCores("aio.abandon() of an earlier use does not touch the present one", (fixture) => {
  const { aio } = fixture;
  const first = startRead(fixture);
  aio.waitSync(first.ref);
  const second = startRead(fixture, 512);
  aio.abandon(first.ref);
  aio.waitSync(second.ref);
  assertRead(second);
}, { options: { maxConcurrency: 1 } });

testEachCoreMethod("aio.abandon() of another backend's IO is refused", async (test) => {
  await using fixture = await test.open({ maxConcurrency: 4 });
  const error = assertThrows(
    () => fixture.aio.abandon({ index: 5, generation: 1 }),
    AioApiError,
  );
  assertEquals(error.message, "Cannot abandon handle 5: another backend issued it");
});

testSharedCores("an abandoned IO can still be awaited", async (fixture) => {
  const { aio } = fixture;
  const { ref } = startRead(fixture);
  aio.abandon(ref);
  const wait = aio.wait(ref);
  aio.waitSync(ref);
  await wait;
});

// --- results ---

for (const result of [512, 100, 0, -5, -4, -11]) {
  testSharedCores(`an IO that ends with ${result} gives that to its issuer`, (fixture) => {
    const { aio } = fixture;
    aio.attachInjectionPoint("aio-process-completion-before-shared", () => result);
    const { ref, ret } = startRead(fixture);
    aio.waitSync(ref);
    aio.detachInjectionPoint("aio-process-completion-before-shared");
    const { status, errorData, result: bytes } = ret.result;
    if (result === 512) assertEquals([status, bytes, errorData], ["ok", 512, 0]);
    else if (result >= 0) assertEquals([status, bytes, errorData], ["partial", result, 0]);
    else assertEquals([status, bytes, errorData], ["error", 0, -result]);
  });
}

Deno.test("held: an IO performed twice is refused by the state", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const handle = aio.acquire();
  const ref = handle.waitRef();
  startOn(fixture, handle);
  held.perform(aio, ref);
  assertThrows(() => backendOf(aio).processCompletion(handle, 1), Error, "cannot become");
  assertEquals([handle.state, backendOf(aio).inFlightCount], ["idle", 0]);
});
