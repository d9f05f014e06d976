/**
 * many_ios_test.ts: more IOs than a batch takes, than there are handles, and than anybody waits
 * for: gaps of the peer's suite.
 */

import { assertEquals, assertStrictEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { SUBMIT_BATCH_COUNT_MAX } from "../../../core/io/method.ts";
import { PAGE_BYTES } from "../../support/checking_callbacks.ts";
import {
  fileContent,
  type Fixture,
  type StartedRead,
  startOn,
  startRead,
} from "../../support/core.ts";
import { HELD, testSharedCores } from "../../support/core_methods.ts";
import {
  contentOf,
  expectedPages,
  makeFrames,
  outcomeOf,
  PAGES,
  type StartedPages,
  startPages,
  testPages,
  waitBy,
  WAYS,
} from "./peer.ts";

const MANY = 100;

/** Starts a read of each of the first blocks. */
function startMany(fixture: Fixture, frames: readonly Uint8Array[]): StartedPages[] {
  return frames.map((frame, block) => startPages(fixture, { first: block, frames: [frame] }));
}

function assertRead({ ret, view, offset }: StartedRead): void {
  assertEquals([ret.result.status, ret.result.result], ["ok", view.length]);
  assertEquals(new Uint8Array(view), fileContent(offset, view.length));
}

// --- batches ---

for (const way of WAYS) {
  testPages(`${MANY} reads in one batch, ${way}()`, async (fixture, method) => {
    const { aio, held } = fixture;
    const frames = makeFrames(fixture, MANY);
    const reads = aio.batch(() => startMany(fixture, frames));
    if (method === HELD) {
      const full = new Array(Math.floor(MANY / SUBMIT_BATCH_COUNT_MAX)).fill(32);
      assertEquals(held.submissions, [...full, MANY % SUBMIT_BATCH_COUNT_MAX]);
    }
    assertEquals(aio.haveStaged, false);
    // The last first, as waiting for one must not depend on the others.
    for (const read of reads.toReversed()) {
      await waitBy(aio, way, read.ref);
      assertEquals(outcomeOf(aio, read).status, "ok");
    }
    assertEquals(contentOf(frames), expectedPages(0, MANY));
    assertEquals([backendOf(aio).inFlightCount, backendOf(aio).idleCount], [0, MANY]);
  }, { maxConcurrency: MANY });
}

testPages("a batch of more reads than handles goes on by itself", async (fixture) => {
  const { aio } = fixture;
  const frames = makeFrames(fixture, PAGES);
  const reads = aio.batch(() => startMany(fixture, frames));
  for (const read of reads) {
    await aio.wait(read.ref);
    assertEquals(outcomeOf(aio, read).status, "ok");
  }
  assertEquals(contentOf(frames), expectedPages(0, PAGES));
}, { maxConcurrency: 4 });

testPages("a batch is submitted in part, and the rest when it ends", async (fixture, method) => {
  const { aio } = fixture;
  const frames = makeFrames(fixture, 40);
  aio.enterBatchmode();
  const reads = startMany(fixture, frames);
  const staged = method === "sync" ? 0 : 40 - SUBMIT_BATCH_COUNT_MAX;
  if (method === HELD || method === "sync") {
    assertEquals(backendOf(aio).staging.count, staged);
  }
  // Waiting for one of the rest submits it; the batch stays open.
  aio.waitSync(reads.at(-1)!.ref);
  assertEquals([aio.haveStaged, backendOf(aio).staging.isInBatch], [false, true]);
  aio.exitBatchmode();
  for (const read of reads) await aio.wait(read.ref);
  assertEquals(contentOf(frames), expectedPages(0, 40));
});

// --- handles ---

testSharedCores("acquire() with all handles in use waits for one", async (fixture, method) => {
  const { aio } = fixture;
  const reads = [0, 1, 2, 3].map((block) => startRead(fixture, block * PAGE_BYTES));
  if (method === HELD) assertEquals(aio.tryAcquire(), null);
  const handle = aio.acquire();
  assertEquals(reads.map(({ ref }) => ref.index).includes(handle.index), true);
  const ref = handle.waitRef();
  const view = startOn(fixture, handle, 5000);
  for (const read of reads) {
    await aio.wait(read.ref);
    assertRead(read);
  }
  await aio.wait(ref);
  assertEquals(new Uint8Array(view), fileContent(5000, view.length));
  assertEquals(backendOf(aio).idleCount, 4);
}, { options: { maxConcurrency: 4 } });

testSharedCores("acquire() with all handles staged submits them first", async (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  const reads = [0, 1, 2, 3].map((block) => startRead(fixture, block * PAGE_BYTES));
  aio.acquire().release();
  assertEquals([aio.haveStaged, backendOf(aio).staging.isInBatch], [false, true]);
  aio.exitBatchmode();
  for (const read of reads) {
    await aio.wait(read.ref);
    assertRead(read);
  }
}, { options: { maxConcurrency: 4 } });

testSharedCores("one handle is enough for read after read, never waited for", async (fixture) => {
  const { aio } = fixture;
  const reads = Array.from({ length: 50 }, (_, i) => startRead(fixture, i * 100));
  await aio.wait(reads.at(-1)!.ref);
  for (const [i, read] of reads.entries()) {
    assertRead(read);
    assertEquals(read.ref, { index: 0, generation: reads[0]!.ref.generation + i });
  }
}, { options: { maxConcurrency: 1 } });

for (const submit of ["now", "endOfTurn"] as const) {
  testSharedCores(
    `acquireAsync() with all handles in use, submitted ${submit}`,
    async (fixture) => {
      const { aio } = fixture;
      const reads = [0, 1].map((block) => startRead(fixture, block * PAGE_BYTES, { submit }));
      const order: number[] = [];
      const queued = [2, 3, 4, 5].map((block) =>
        aio.acquireAsync((handle) => {
          order.push(block);
          const ref = handle.waitRef();
          return { ref, view: startOn(fixture, handle, block * PAGE_BYTES, { submit }) };
        })
      );
      for (const [i, one] of queued.entries()) {
        const { ref, view } = await one;
        await aio.wait(ref);
        assertEquals(new Uint8Array(view), fileContent((i + 2) * PAGE_BYTES, view.length));
      }
      reads.forEach(assertRead);
      assertEquals(order, [2, 3, 4, 5]);
      assertEquals(backendOf(aio).idleCount, 2);
    },
    { options: { maxConcurrency: 2 } },
  );
}

testSharedCores("acquireAsync() in a batch that has all handles staged", async (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  const reads = [0, 1].map((block) => startRead(fixture, block * PAGE_BYTES));
  await aio.acquireAsync((handle) => handle.release());
  assertEquals([aio.haveStaged, backendOf(aio).staging.isInBatch], [false, true]);
  aio.exitBatchmode();
  for (const read of reads) {
    await aio.wait(read.ref);
    assertRead(read);
  }
}, { options: { maxConcurrency: 2 } });

// --- awaited before it is submitted ---

testSharedCores("an IO that is awaited while it is staged ends by itself", async (fixture) => {
  const { aio } = fixture;
  const atEndOfTurn = startRead(fixture, 0, { submit: "endOfTurn" });
  await aio.wait(atEndOfTurn.ref);
  assertRead(atEndOfTurn);
  aio.enterBatchmode();
  const inBatch = startRead(fixture, 512);
  await aio.wait(inBatch.ref);
  assertRead(inBatch);
  assertStrictEquals(backendOf(aio).staging.isInBatch, true);
  aio.exitBatchmode();
});

testSharedCores("readAt() and writeAt() end by themselves, many at once", async (fixture) => {
  const { file } = fixture;
  const writes = Array.from(
    { length: 20 },
    (_, i) => file.writeAt(new Uint8Array(10).fill(i), i * 10),
  );
  assertEquals(await Promise.all(writes), new Array(20).fill(10));
  const buffers = Array.from({ length: 20 }, () => new Uint8Array(10));
  const reads = buffers.map((buffer, i) => file.readAt(buffer, i * 10));
  assertEquals(await Promise.all(reads), new Array(20).fill(10));
  assertEquals(buffers, buffers.map((_, i) => new Uint8Array(10).fill(i)));
}, { options: { maxConcurrency: 2 } });
