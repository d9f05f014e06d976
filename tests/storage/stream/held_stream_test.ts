/**
 * held_stream_test.ts: read streams while their IO does not end: what resolves at once all the
 * same, and what stays until the kernel is done with it.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { fileContent, type Fixture } from "../../support/core.ts";
import { complete, heldNow, perform, turn, withHeld } from "../../support/held_transfers.ts";

const PAGE = 512;
const LIMITS = { ioCombineLimit: 4, effectiveIoConcurrency: 2 } as const;

function freeBytes({ aio }: Fixture): number {
  return backendOf(aio).arena.freeBytes;
}

function testHeld(name: string, use: (fixture: Fixture) => Promise<void>): void {
  Deno.test(`held: ${name}`, () =>
    withHeld(async (fixture) => {
      const free = freeBytes(fixture);
      await use(fixture);
      while ((await heldNow(fixture)).length > 0) await perform(fixture);
      await turn(fixture);
      assertEquals(freeBytes(fixture), free);
    }, LIMITS));
}

function openStream({ file }: Fixture, options: { readonly signal?: AbortSignal } = {}) {
  return file.readStream({ pageSize: PAGE, full: true, until: 64, ...options });
}

testHeld("a stream has as many reads in flight as it may", async (fixture) => {
  using stream = openStream(fixture);
  const pending = stream.next();
  assertEquals(await heldNow(fixture), [`readv 0 ${4 * PAGE}`]);
  await perform(fixture);
  assertEquals((await pending)?.block, 0);
  assertEquals(await heldNow(fixture), [`readv ${4 * PAGE} ${4 * PAGE}`]);
  assertEquals(stream.inspect().readaheadDistance, 8);
  for (let block = 1; block < 4; block++) assertEquals((await stream.next())?.block, block);
  assertEquals(await heldNow(fixture), [4, 8].map((at) => `readv ${at * PAGE} ${4 * PAGE}`));
  assertEquals(stream.inspect().iosInProgress, 2);
});

testHeld("a read that is done before it is wanted does not count as one waited for", async (
  fixture,
) => {
  using stream = openStream(fixture);
  const stats = stream.enableStats();
  const pending = stream.next();
  await perform(fixture);
  await pending;
  assertEquals([stats.waitCount, stream.inspect().readaheadDistance], [1, 8]);
  for (let block = 1; block < 4; block++) await stream.next();
  await perform(fixture);
  await turn(fixture);
  assertEquals((await stream.next())?.block, 4);
  assertEquals([stats.waitCount, stream.inspect().readaheadDistance], [1, 8]);
});

testHeld("a short read in the middle of a page goes on where it ended", async (fixture) => {
  using stream = openStream(fixture);
  const pending = stream.next();
  await complete(fixture, PAGE + 17);
  assertEquals(await heldNow(fixture), [`readv ${PAGE + 17} ${3 * PAGE - 17}`]);
  await complete(fixture, 3 * PAGE - 17);
  assertEquals((await pending)?.block, 0);
});

testHeld("stream.close() keeps the memory until what is in flight has ended", async (fixture) => {
  const free = freeBytes(fixture);
  const stream = openStream(fixture);
  const pending = stream.next();
  await perform(fixture);
  await pending;
  const taken = freeBytes(fixture);
  assert(taken < free);
  let isClosed = false;
  const closed = stream.close().then(() => isClosed = true);
  assertEquals(await stream.next(), null);
  await turn(fixture);
  assertEquals([freeBytes(fixture), isClosed], [taken, false]);
  await perform(fixture);
  await closed;
  assertEquals(freeBytes(fixture), free);
});

testHeld("a call that waits ends at once when the stream is closed", async (fixture) => {
  const free = freeBytes(fixture);
  const stream = openStream(fixture);
  const pending = stream.next();
  await turn(fixture);
  const closed = stream.close();
  assertEquals(await pending, null);
  assert(freeBytes(fixture) < free);
  await perform(fixture);
  await closed;
  assertEquals(freeBytes(fixture), free);
});

testHeld("a call that waits rejects at once when the signal aborts", async (fixture) => {
  const controller = new AbortController();
  const stream = openStream(fixture, { signal: controller.signal });
  const pending = stream.next();
  await turn(fixture);
  const reason = new Error("not wanted");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => pending), reason);
  assertEquals((await heldNow(fixture)).length, 1);
});

testHeld("a call that waits for a handle ends at once, too", async (fixture) => {
  const { aio, file } = fixture;
  const views = Array.from({ length: 4 }, () => aio.alloc(PAGE));
  const reads = views.map((view, i) => file.readAt(view, i * PAGE));
  await turn(fixture);
  const stream = openStream(fixture);
  const pending = stream.next();
  await turn(fixture);
  assertEquals((await heldNow(fixture)).length, 4);
  const closed = stream.close();
  assertEquals(await pending, null);
  for (let i = 0; i < 4; i++) await perform(fixture);
  await Promise.all(reads);
  // The read had been promised a handle: it ends by itself.
  await turn(fixture);
  while ((await heldNow(fixture)).length > 0) await perform(fixture);
  await closed;
  for (const view of views) aio.free(view);
});

testHeld("a stream that finds no handle waits for one", async (fixture) => {
  const { aio, file } = fixture;
  const views = Array.from({ length: 4 }, () => aio.alloc(PAGE));
  const reads = views.map((view, i) => file.readAt(view, i * PAGE));
  await turn(fixture);
  using stream = openStream(fixture);
  const pending = stream.next();
  for (let i = 0; i < 4; i++) await perform(fixture);
  await Promise.all(reads);
  await perform(fixture);
  const page = await pending;
  assertEquals(new Uint8Array(page!.bytes), fileContent(0, PAGE));
  for (const view of views) aio.free(view);
});

testHeld("file.close() ends streams at once, and waits for their IO", async (fixture) => {
  const { aio, file: { path } } = fixture;
  const file = await aio.openFile(path);
  const stream = file.readStream({ pageSize: PAGE, full: true, until: 64 });
  const pending = stream.next();
  await turn(fixture);
  let isClosed = false;
  const closed = file.close().then(() => isClosed = true);
  await assertRejects(() => pending, Deno.errors.BadResource, "the file is closed");
  await turn(fixture);
  assertEquals(isClosed, false);
  await perform(fixture);
  await closed;
  await stream.close();
});

testHeld("file.closeSync() is refused while a stream has something in flight", async (fixture) => {
  const { aio, file: { path } } = fixture;
  const file = await aio.openFile(path);
  const stream = file.readStream({ pageSize: PAGE, full: true, until: 64 });
  const pending = stream.next();
  await perform(fixture);
  await pending;
  assertEquals((await heldNow(fixture)).length, 1);
  try {
    file.closeSync();
    throw new Error("it was closed");
  } catch (error) {
    assert(error instanceof Deno.errors.Busy);
  }
  for (let block = 1; block < 4; block++) assertEquals((await stream.next())?.block, block);
  const closed = file.close();
  while ((await heldNow(fixture)).length > 0) await perform(fixture);
  await closed;
});

testHeld("stream.reset() leaves pages to what is in flight, and waits when all are", async (
  fixture,
) => {
  const stream = openStream(fixture);
  let given = 0;
  // Each time the read behind the page is given up, until the next one has no handle or no page.
  for (; given < 3; given++) {
    const pending = stream.next();
    await turn(fixture);
    const held = fixture.held.held(fixture.aio);
    fixture.held.perform(fixture.aio, held.at(-1)!);
    assertEquals((await pending)?.block, 0);
    stream.reset();
  }
  const pending = stream.next();
  await turn(fixture);
  while ((await heldNow(fixture)).length > 0) await perform(fixture);
  const page = await pending;
  assertEquals(page?.block, 0);
  assertEquals(new Uint8Array(page!.bytes), fileContent(0, PAGE));
  await stream.close();
});

testHeld("a page in hand is given back when the stream is closed before it comes", async (
  fixture,
) => {
  const { aio, file } = fixture;
  const stream = openStream(fixture);
  const pending = stream.next();
  await turn(fixture);
  const views = Array.from({ length: 4 }, () => aio.alloc(PAGE));
  // One of them queues for the handle that the stream has.
  const reads = views.map((view, i) => file.readAt(view, i * PAGE));
  await perform(fixture);
  await turn(fixture);
  // The page is there; the look-ahead waits for a handle.
  assertEquals(stream.inspect().pinnedBuffers, 3);
  assertEquals((await heldNow(fixture)).length, 4);
  const closed = stream.close();
  assertEquals(await pending, null);
  while ((await heldNow(fixture)).length > 0) await perform(fixture);
  await Promise.all(reads);
  await closed;
  for (const view of views) aio.free(view);
});
