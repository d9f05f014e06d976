/**
 * counters_test.ts: what a backend has done so far, counted in shared memory: each counter by
 * itself. What holds after any mix of work: counters_balance_test.ts.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { setImmediate } from "node:timers/promises";
import { backendOf } from "../../../core/inside.ts";
import { COUNTER } from "../../../core/io/counters.ts";
import { AioReturn } from "../../../core/io/result.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { EAGAIN, EINTR } from "../../../ffi/errno.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import { FILE_BYTES, type Fixture, openHeld, openSync, startRead } from "../../support/core.ts";
import { type SharedCoreNeeds, STAGING, testSharedCores } from "../../support/core_methods.ts";
import { hooks, reset } from "../fixtures/layers.ts";
import { allOf, counted } from "../../support/counted.ts";

const EIO = 5;
const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);

const BEFORE_SHARED = "aio-process-completion-before-shared";

/** Registers a test for each method, with an Aio whose counters begin at zero. */
function testCounters(
  name: string,
  fn: (fixture: Fixture) => void | Promise<void>,
  needs: SharedCoreNeeds = {},
): void {
  testSharedCores(name, async (fixture) => {
    backendOf(fixture.aio).counters.fill(0);
    await fn(fixture);
  }, needs);
}

/**
 * Runs something whose IOs end with these raw results, one after another; undefined leaves the
 * system's. The hook also keeps IO in this thread.
 */
async function endingWith(
  { aio }: Fixture,
  results: (number | undefined)[],
  fn: () => unknown,
): Promise<void> {
  aio.attachInjectionPoint(BEFORE_SHARED, () => results.shift());
  await fn();
  aio.detachInjectionPoint(BEFORE_SHARED);
}

/** Looks again, a turn of the event loop later, until something is held. */
async function untilHeld({ aio, held }: Fixture): Promise<number> {
  for (let turn = 0; turn < 1000; turn++) {
    const [index] = held.held(aio);
    if (index !== undefined) return index;
    await setImmediate();
  }
  throw new Error("Nothing was submitted");
}

// --- started, and why in the start call ---

Deno.test("sync: an IO without a flag is executed in its start call as the method wants it so", async () => {
  await using fixture = await openSync();
  startRead(fixture);
  assertEquals(counted(fixture), {
    started: 1,
    synchronousByMethod: 1,
    completedBySelf: 1,
    bytesRead: 512,
  });
});

testCounters("the blocking calls count the flag, or local memory, as the reason", (fixture) => {
  const { aio, file } = fixture;
  file.readAtSync(aio.alloc(100), 0);
  assertEquals(counted(fixture), {
    started: 1,
    synchronousByFlag: 1,
    completedBySelf: 1,
    bytesRead: 100,
  });
  file.readAtSync(new Uint8Array(100), 0);
  file.writeAtSync(new Uint8Array(10), 0);
  assertEquals(counted(fixture), {
    started: 3,
    synchronousByFlag: 1,
    synchronousByLocalMemory: 2,
    completedBySelf: 3,
    bytesRead: 200,
    bytesWritten: 10,
  });
});

testCounters("with both flags it is the flag that counts", (fixture) => {
  const { aio, file } = fixture;
  const handle = aio.acquire();
  handle.setFlag("referencesLocal");
  handle.setFlag("synchronous");
  handle.setIovec(new Uint8Array(8));
  file.startReadv(handle, 0);
  const { synchronousByFlag, synchronousByLocalMemory } = allOf(fixture);
  assertEquals([synchronousByFlag, synchronousByLocalMemory], [1, 0]);
});

testCounters(
  "an IO is counted as started when it is staged, not when it is acquired",
  (fixture) => {
    const { aio } = fixture;
    aio.acquire().release();
    assertEquals(counted(fixture), {});
    aio.enterBatchmode();
    startRead(fixture);
    assertEquals(counted(fixture), { started: 1 });
    aio.exitBatchmode();
    const { started, submissions } = allOf(fixture);
    assertEquals([started, submissions], [1, 1]);
  },
  { only: STAGING },
);

testCounters("a start that is refused is not counted", (fixture) => {
  const { aio, file } = fixture;
  aio.closingFd(file.fd);
  const handle = aio.acquire();
  handle.setIovec(aio.alloc(10));
  assertThrows(() => file.startReadv(handle, 0), Deno.errors.BadResource);
  assertEquals(handle.state, "handedOut");
  handle.release();
  assertEquals(counted(fixture), {});
});

// --- the completer ---

Deno.test("held: the issuer and the completer of an IO are both counted", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const { ref } = startRead(fixture);
  await worker.ask({ what: "perform", ref });
  // The issuer counts the outcome when it reclaims the handle.
  assertEquals(counted(fixture, 0), { started: 1, submissions: 1 });
  assertEquals(counted(fixture, 1), { completedForOthers: 1 });
  assert(aio.checkDone(ref));
  assertEquals(counted(fixture, 0), {
    started: 1,
    submissions: 1,
    completedByOthers: 1,
    bytesRead: 512,
  });
  held.perform(aio, startRead(fixture).ref);
  const foreign = await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 30 });
  held.perform(aio, foreign);
  await worker.ask({ what: "await", ref: foreign });
  assertEquals(counted(fixture, 0), {
    started: 2,
    submissions: 2,
    completedBySelf: 1,
    completedByOthers: 1,
    completedForOthers: 1,
    bytesRead: 1024,
  });
  assertEquals(counted(fixture, 1), {
    started: 1,
    submissions: 1,
    completedByOthers: 1,
    completedForOthers: 1,
    bytesRead: 30,
  });
});

// --- waiting for handles ---

testCounters("acquire() that has to wait is counted once, however long it waits", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  startRead(fixture);
  startRead(fixture);
  assertEquals(allOf(fixture).handleWaits, 0);
  aio.acquire().release();
  assertEquals(allOf(fixture).handleWaits, 1);
  aio.acquire().release();
  assertEquals(allOf(fixture).handleWaits, 1);
  aio.exitBatchmode();
}, { only: STAGING, options: { maxConcurrency: 2 } });

testCounters("tryAcquire() without a free handle does not count as waiting", (fixture) => {
  fixture.aio.enterBatchmode();
  startRead(fixture);
  assertEquals(fixture.aio.tryAcquire(), null);
  assertEquals(allOf(fixture).handleWaits, 0);
  fixture.aio.exitBatchmode();
}, { only: STAGING, options: { maxConcurrency: 1 } });

// --- submissions ---

for (const [reads, submissions] of [[1, 1], [32, 1], [33, 2]] as const) {
  testCounters(`${reads} reads of one turn are ${submissions} submissions`, async (fixture) => {
    const { file } = fixture;
    const done = Array.from({ length: reads }, () => file.readAt(new Uint8Array(10), 0));
    await Promise.resolve();
    assertEquals(allOf(fixture).submissions, submissions);
    assertEquals((await Promise.all(done)).every((bytes) => bytes === 10), true);
    const { started, completedBySelf, completedByOthers } = allOf(fixture);
    assertEquals([started, completedBySelf + completedByOthers], [reads, reads]);
    assertEquals(allOf(fixture).submissions, submissions);
  }, { only: STAGING });
}

testCounters("a batch of 40 is two submissions", (fixture) => {
  const { aio } = fixture;
  aio.batch(() => Array.from({ length: 40 }, () => startRead(fixture)));
  assertEquals([allOf(fixture).submissions, allOf(fixture).started], [2, 40]);
}, { only: STAGING });

testCounters(
  "what is executed in its start call is no submission, and nothing staged is none",
  (fixture) => {
    const { aio, file } = fixture;
    file.readAtSync(new Uint8Array(10), 0);
    aio.submitStaged();
    aio.batch(() => {});
    assertEquals(allOf(fixture).submissions, 0);
  },
);

// --- bytes, short transfers, errors ---

testCounters("bytes and short transfers are those of each IO, flushes have none", (fixture) => {
  const { aio, file } = fixture;
  assertEquals(file.readAtSync(aio.alloc(512), FILE_BYTES - 512), 512);
  assertEquals(allOf(fixture).shortTransfers, 0);
  // One IO up to the end of the file, and one that finds nothing there.
  assertEquals(file.readAtSync(aio.alloc(512), FILE_BYTES - 100), 100);
  file.writeAtSync(aio.alloc(300), 0);
  file.syncSync();
  file.syncDataSync();
  assertEquals(counted(fixture), {
    started: 6,
    synchronousByFlag: 6,
    completedBySelf: 6,
    bytesRead: 612,
    bytesWritten: 300,
    shortTransfers: 2,
  });
});

testCounters("a write that ends short counts its bytes and as short", async (fixture) => {
  const { aio, file } = fixture;
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setIovec(aio.alloc(512));
  await endingWith(fixture, [200], () => {
    file.startWritev(handle, 0);
    aio.waitSync(ref);
  });
  const { bytesRead, bytesWritten, shortTransfers, errors } = allOf(fixture);
  assertEquals([bytesRead, bytesWritten, shortTransfers, errors], [0, 200, 1, 0]);
});

testCounters("bytes are counted exactly beyond 2^32", (fixture) => {
  const { aio, file } = fixture;
  const { counters } = backendOf(aio);
  counters[COUNTER.bytesWritten] = 2 ** 32 - 100;
  counters[COUNTER.bytesRead] = 2 ** 52 + 1;
  file.writeAtSync(aio.alloc(512), 0);
  aio.waitSync(startRead(fixture).ref);
  assertEquals(allOf(fixture).bytesWritten, 2 ** 32 + 412);
  assertEquals(allOf(fixture).bytesRead, 2 ** 52 + 513);
});

testCounters("an error counts as an error, and neither as bytes nor as short", async (fixture) => {
  await endingWith(fixture, [-EIO], () => fixture.aio.waitSync(startRead(fixture).ref));
  const { started, completedBySelf, bytesRead, shortTransfers, errors } = allOf(fixture);
  assertEquals([started, completedBySelf, bytesRead, shortTransfers, errors], [1, 1, 0, 0, 1]);
});

testCounters("an IO whose memory is gone before it is executed counts as an error", (fixture) => {
  const { aio, file } = fixture;
  const view = new Uint8Array(8);
  const handle = aio.acquire();
  handle.setFlag("referencesLocal");
  handle.setIovec(view);
  structuredClone(null, { transfer: [view.buffer] });
  file.startReadv(handle, 0);
  assertEquals(counted(fixture), {
    started: 1,
    synchronousByLocalMemory: 1,
    completedBySelf: 1,
    errors: 1,
  });
});

testCounters(
  "an error of a local callback is not counted, one of a shared callback is",
  (fixture) => {
    const { aio, file } = fixture;
    const run = () => {
      const ret = new AioReturn();
      const handle = aio.acquire(null, ret);
      handle.registerCallbacks(aio.callbackId("free"));
      const ref = handle.waitRef();
      handle.setIovec(aio.alloc(10));
      // Keeps its callbacks in this thread under every method.
      aio.attachInjectionPoint(BEFORE_SHARED, () => {});
      file.startReadv(handle, 0);
      aio.waitSync(ref);
      aio.detachInjectionPoint(BEFORE_SHARED);
      return ret.result.status;
    };
    reset();
    hooks.completeLocal = (_handle, prior) => Object.assign(prior, { status: "error" });
    assertEquals([run(), allOf(fixture).errors], ["error", 0]);
    reset();
    hooks.completeShared = (_handle, prior) => Object.assign(prior, { status: "error" });
    assertEquals([run(), allOf(fixture).errors], ["error", 1]);
    reset();
    assertEquals([run(), allOf(fixture).errors], ["ok", 1]);
  },
  { options: { callbackModules: [LAYERS] } },
);

// --- retries ---

testCounters(
  "readAt() that is interrupted and then told to try again is two retries",
  async (fixture) => {
    const { file } = fixture;
    await endingWith(fixture, [-EINTR, -EAGAIN], async () => {
      assertEquals(await file.readAt(new Uint8Array(100), 0), 100);
    });
    const { started, completedBySelf, bytesRead, retries, errors } = allOf(fixture);
    assertEquals([started, completedBySelf, bytesRead, retries, errors], [3, 3, 100, 2, 2]);
  },
);

testCounters("readAtSync() and writeAtSync() count their retries too", async (fixture) => {
  const { aio, file } = fixture;
  await endingWith(fixture, [-EINTR, undefined, -EAGAIN, -EAGAIN], () => {
    assertEquals(file.readAtSync(new Uint8Array(100), 0), 100);
    assertEquals(allOf(fixture).retries, 1);
    assertEquals(file.writeAtSync([aio.alloc(60), aio.alloc(40)], 0), 100);
    assertEquals([allOf(fixture).retries, allOf(fixture).started], [3, 5]);
  });
});

Deno.test("held: a read that the system interrupts is done again, and counted as a retry", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  const done = file.readAt(aio.alloc(100), 0);
  held.complete(aio, await untilHeld(fixture), -EINTR);
  held.perform(aio, await untilHeld(fixture));
  assertEquals(await done, 100);
  const { started, retries, errors, submissions } = allOf(fixture);
  assertEquals([started, retries, errors, submissions], [2, 1, 1, 2]);
});

testCounters("an IO of the core that is interrupted is not retried", async (fixture) => {
  await endingWith(fixture, [-EINTR], () => fixture.aio.waitSync(startRead(fixture).ref));
  const { started, retries, errors } = allOf(fixture);
  assertEquals([started, retries, errors], [1, 0, 1]);
});
