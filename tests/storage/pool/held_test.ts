/**
 * held_test.ts: a pool while its IO does not end: what waits for it and what does not, and what
 * goes on how when it fails, as PostgreSQL's `test_startwait_io` and `test_invalidate` have it.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { until } from "../../support/patience.ts";
import { sharePoolThread } from "../../support/pool/pool_asked.ts";
import {
  byteOf,
  checkPage,
  type HeldPool,
  leftIn,
  PAGE_BYTES,
  testHeldPool,
} from "../../support/pool/pool_case.ts";

const EIO = 5;
const startThread = sharePoolThread();

/** What is held, as the first block and the number of blocks, the oldest first. */
function heldBlocks({ aio, held }: HeldPool): string[] {
  return held.held(aio).map((index) => {
    const { offset, length } = backendOf(aio).handleOf(index).operationData;
    return `${offset / PAGE_BYTES}+${length / PAGE_BYTES}`;
  });
}

/** Resolves when that is held. */
async function untilHeld(it: HeldPool, ...blocks: string[]): Promise<void> {
  const isSo = () => heldBlocks(it).join() === blocks.join();
  await until(isSo, () => `${blocks} is held, but it is ${heldBlocks(it)}`);
}

/** Lets the oldest IO go with a result; default: really does it. */
function letOne({ aio, held }: HeldPool, result: number | null = null): void {
  const [index] = held.held(aio);
  assert(index !== undefined, "nothing is held");
  if (result === null) held.perform(aio, index);
  else held.complete(aio, index, result);
}

/** Says of a promise whether it has settled. */
function watch<T>(promise: Promise<T>): { readonly promise: Promise<T>; isOver: boolean } {
  const watched = { promise, isOver: false };
  const over = () => void (watched.isOver = true);
  promise.then(over, over);
  return watched;
}

for (const blocks of [false, true]) {
  const how = blocks ? "blocks" : "awaits";

  testHeldPool(
    `a thread that ${how} reads itself what another thread's IO failed to`,
    async (it) => {
      await using other = await startThread(it);
      const first = await it.pool.startRead(it.file, 3, 1);
      await untilHeld(it, "3+1");
      const joined = watch(other.ask<number>({ what: "read", block: 3, blocks }));
      if (!blocks) {
        assertEquals(await other.ask({ what: "start", block: 3, count: 1 }), [3, 1, true]);
        await other.ask({ what: "giveUp" });
        assertEquals([joined.isOver, heldBlocks(it)], [false, ["3+1"]]);
        letOne(it, -EIO);
        await untilHeld(it, "3+1");
        letOne(it);
      }
      // Whoever blocks for IO of this method does it.
      assertEquals(await joined.promise, byteOf(3));
      const end = it.pool.waitRead(first);
      if (blocks) { for (const page of await end) page.release(); }
      else await assertRejects(() => end, Error, "could not read blocks 3..3");
    },
  );

  testHeldPool(`a thread that ${how} reads nothing that another thread's IO reads`, async (it) => {
    await using other = await startThread(it);
    const first = await it.pool.startRead(it.file, 3, 2);
    await untilHeld(it, "3+2");
    const joined = other.ask<number>({ what: "read", block: 4, blocks });
    if (!blocks) {
      // An answer to a later question: the one before waits by then.
      await other.ask({ what: "warnings" });
      letOne(it);
    }
    assertEquals(await joined, byteOf(4));
    for (const page of await it.pool.waitRead(first)) page.release();
    const { reads, joined: count } = it.pool.stats();
    assertEquals([reads, count], [1, 1]);
  });
}

testHeldPool("a start does not wait for a read of the same block, in any thread", async (it) => {
  await using other = await startThread(it);
  const reads = [await it.pool.startRead(it.file, 3, 1)];
  await untilHeld(it, "3+1");
  for (let i = 0; i < 3; i++) reads.push(await it.pool.startRead(it.file, 3, 4));
  assertEquals(reads.map(({ count, isToWait }) => [count, isToWait]), Array(4).fill([1, true]));
  assertEquals(await other.ask({ what: "start", block: 3, count: 4 }), [3, 1, true]);
  assertEquals(heldBlocks(it), ["3+1"]);
  letOne(it);
  for (const read of reads) {
    const [page] = await it.pool.waitRead(read);
    checkPage(page!);
    page!.release();
  }
  assertEquals(await other.ask({ what: "wait" }), [byteOf(3)]);
  assertEquals([it.pool.stats().reads, it.pool.stats().joined], [1, 4]);
});

testHeldPool(
  "each that joined a read that fails begins where the first one left off",
  async (it) => {
    const first = await it.pool.startRead(it.file, 3, 1);
    const others = await Promise.all([1, 2].map(() => it.pool.startRead(it.file, 3, 1)));
    const ends = others.map((read) => it.pool.waitRead(read));
    const failed = assertRejects(() => it.pool.waitRead(first), Error, "could not read");
    await untilHeld(it, "3+1");
    letOne(it, -EIO);
    await failed;
    // One of the two reads, the other one joins that.
    await untilHeld(it, "3+1");
    letOne(it, -EIO);
    const outcomes = ends.map((end) => end.then(([page]) => page!.release(), (error) => error));
    await untilHeld(it, "3+1");
    letOne(it);
    const [one, two] = await Promise.all(outcomes);
    assertEquals([one, two].filter((outcome) => outcome instanceof Error).length, 1);
  },
);

testHeldPool("a combined read that fails is read in parts by those who joined it", async (it) => {
  const first = await it.pool.startRead(it.file, 8, 4);
  const failed = assertRejects(() => it.pool.waitRead(first), Error, "could not read blocks 8..11");
  await untilHeld(it, "8+4");
  const joined = [11, 9].map((block) => it.pool.read(it.file, block));
  letOne(it, -EIO);
  await failed;
  await until(() => heldBlocks(it).length === 2, "both read");
  assertEquals(heldBlocks(it).sort(), ["11+1", "9+1"]);
  letOne(it);
  letOne(it);
  for (const page of await Promise.all(joined)) {
    checkPage(page);
    page.release();
  }
});

testHeldPool("pool.invalidate() waits for a read under way that was given up", async (it) => {
  (await it.pool.startRead(it.file, 3, 2))[Symbol.dispose]();
  await untilHeld(it, "3+2");
  assertEquals(leftIn(it.pool), [3, 4]);
  const invalidated = watch(it.pool.invalidate(it.file));
  // Other calls get through meanwhile.
  assertEquals(await it.file.size(), it.blocks * PAGE_BYTES);
  assertEquals(invalidated.isOver, false);
  letOne(it);
  assertEquals(await invalidated.promise, 2);
});

testHeldPool("pool.invalidate() of a page that this thread reads is refused", async (it) => {
  const read = await it.pool.startRead(it.file, 3, 1);
  await untilHeld(it, "3+1");
  await assertRejects(() => it.pool.invalidate(it.file, 3), Deno.errors.Busy, "block 3");
  letOne(it);
  for (const page of await it.pool.waitRead(read)) page.release();
  assertEquals(await it.pool.invalidate(it.file, 3), 1);
});

testHeldPool("pool.invalidate() waits for a write under way", async (it) => {
  const reading = it.pool.read(it.file, 3);
  await untilHeld(it, "3+1");
  letOne(it);
  {
    using page = await reading;
    using _lock = await page.lock("exclusive");
    page.bytes.fill(99);
    page.markDirty();
  }
  const flushed = it.pool.flush();
  await untilHeld(it, "3+1");
  const invalidated = watch(it.pool.invalidate(it.file, 3));
  // A page that is being written can be read, and is not changed by anybody.
  {
    using page = it.pool.tryRead(it.file, 3)!;
    assertEquals([page.bytes[0], page.tryLock("exclusive")], [99, null]);
  }
  assertEquals(invalidated.isOver, false);
  letOne(it);
  assertEquals(await flushed, 1);
  assertEquals(await invalidated.promise, 1);
  const written = await Deno.readFile(it.path);
  assertEquals(written[3 * PAGE_BYTES], 99);
});

testHeldPool("file.close() with a read under way that was given up", async (it) => {
  (await it.pool.startRead(it.file, 3, 2))[Symbol.dispose]();
  await untilHeld(it, "3+2");
  const closed = watch(it.file.close());
  it.held.letGo(it.aio);
  await closed.promise;
  assertEquals(it.pool.pages().filter(({ path }) => path !== null), []);
});

testHeldPool("file.close() while a task waits for a handle to read a page", async (it) => {
  const reading = it.pool.read(it.file, 3);
  const refused = assertRejects(
    () => it.pool.read(it.file, 4),
    Deno.errors.BadResource,
    "Cannot read blocks of a file that was closed meanwhile",
  );
  await untilHeld(it, "3+1");
  const closed = it.file.close();
  letOne(it);
  {
    using page = await reading;
    assertEquals(page.bytes[0], byteOf(3));
  }
  await refused;
  await closed;
}, { options: { maxConcurrency: 1 } });

testHeldPool(
  "a task that waits while its file is closed gets no page of another file",
  async (it) => {
    await Deno.writeFile(`${it.path}2`, new Uint8Array(8 * PAGE_BYTES).fill(0xaa));
    await using other = await it.aio.openFile(`${it.path}2`);
    const reading = it.pool.read(it.file, 3);
    const refused = assertRejects(
      () => it.pool.read(it.file, 4),
      Deno.errors.BadResource,
      "closed",
    );
    await untilHeld(it, "3+1");
    const closed = it.file.close();
    await until(
      () => it.pool.pages().every(({ path }) => path === null),
      "its pages are forgotten",
    );
    const another = it.pool.read(other, 4);
    it.held.letGo(it.aio);
    await refused;
    for (const [page, byte] of [[await reading, byteOf(3)], [await another, 0xaa]] as const) {
      assertEquals(page.bytes[0], byte);
      page.release();
    }
    await closed;
  },
  { options: { maxConcurrency: 1 } },
);

testHeldPool("pool.close() with a read under way that was given up", async (it) => {
  (await it.pool.startRead(it.file, 3, 2))[Symbol.dispose]();
  await untilHeld(it, "3+2");
  const closed = watch(it.pool.close());
  const free = backendOf(it.aio).arena.freeBytes;
  it.held.letGo(it.aio);
  await closed.promise;
  assert(backendOf(it.aio).arena.freeBytes > free);
});

testHeldPool("a consumer that stops early pins nothing; its IO ends by itself", async (it) => {
  const stream = it.pool.readStream(it.file, { full: true, until: 40 });
  const pending = stream.next();
  await untilHeld(it, "0+4");
  letOne(it);
  checkPage((await pending)!);
  for (let block = 1; block < 4; block++) checkPage((await stream.next())!);
  await until(() => heldBlocks(it).length > 1, "it reads ahead");
  const ahead = heldBlocks(it);
  await stream.close();
  assertEquals(it.pool.pages().filter(({ pinningBackends }) => pinningBackends.length > 0), []);
  assertEquals(heldBlocks(it), ahead);
  // What it began is there for others, and what has failed is not.
  letOne(it);
  while (heldBlocks(it).length > 0) letOne(it, -EIO);
  await until(() => leftIn(it.pool).length === 0, "each IO is over");
  const there = Array.from({ length: 40 }, (_, block) => block)
    .filter((block) => {
      using page = it.pool.tryRead(it.file, block);
      if (page !== null) checkPage(page);
      return page !== null;
    });
  assertEquals(there, [0, 1, 2, 3, 4, 5, 6, 7]);
}, { options: { ioCombineLimit: 4, effectiveIoConcurrency: 4 } });

testHeldPool("a pool all of whose pages have IO that was given up waits for that", async (it) => {
  for (let block = 0; block < 16; block += 4) {
    (await it.pool.startRead(it.file, block, 4))[Symbol.dispose]();
  }
  await untilHeld(it, "0+4", "4+4", "8+4", "12+4");
  const reading = watch(it.pool.read(it.file, 30));
  assertEquals(it.pool.tryRead(it.file, 0), null);
  assertEquals(reading.isOver, false);
  letOne(it);
  await untilHeld(it, "4+4", "8+4", "12+4", "30+1");
  it.held.letGo(it.aio);
  using page = await reading.promise;
  checkPage(page);
}, { pages: 16 });

testHeldPool("a stream over one block again and again has one read of it", async (it) => {
  let left = 40;
  const stream = it.pool.readStream(it.file, {
    full: true,
    next: () => left-- > 0 ? 7 : null,
  });
  const pending = stream.next();
  await untilHeld(it, "7+1");
  letOne(it);
  checkPage((await pending)!);
  for (let i = 1; i < 40; i++) checkPage((await stream.next())!);
  assertEquals(await stream.next(), null);
  assertEquals([it.pool.stats().reads, heldBlocks(it)], [1, []]);
});

for (
  const [what, bytes] of [
    ["a page", PAGE_BYTES],
    ["a page and a part", PAGE_BYTES + 17],
    ["three pages", 3 * PAGE_BYTES],
    ["all but a byte", 4 * PAGE_BYTES - 1],
  ] as const
) {
  testHeldPool(`a read that gives ${what} goes on at the page that is not whole`, async (it) => {
    const read = await it.pool.startRead(it.file, 8, 4);
    const end = it.pool.waitRead(read);
    await untilHeld(it, "8+4");
    const whole = Math.floor(bytes / PAGE_BYTES);
    performPart(it, 8, bytes);
    await untilHeld(it, `${8 + whole}+${4 - whole}`);
    letOne(it);
    for (const page of await end) {
      checkPage(page);
      page.release();
    }
  });
}

testHeldPool("aio.close() with a signal gives up waiting for a pool's write", async (it) => {
  const { aio, pool, file, path } = it;
  const reading = pool.read(file, 2);
  await untilHeld(it, "2+1");
  letOne(it);
  {
    using page = await reading;
    using _lock = await page.lock("exclusive");
    page.bytes.fill(99);
    page.markDirty();
  }
  const gone = new AbortController();
  const closing = aio.close({ signal: gone.signal });
  await untilHeld(it, "2+1");
  gone.abort(new Error("enough"));
  await assertRejects(() => closing, Error, "enough");
  // The end comes all the same, once the device answers.
  letOne(it);
  await aio.close();
  assertEquals((await Deno.readFile(path))[2 * PAGE_BYTES], 99);
});

/** Does what a read of so many bytes does, from a block on; the rest of the memory is spoiled. */
function performPart({ aio, held }: HeldPool, block: number, bytes: number): void {
  const [index] = held.held(aio);
  let left = bytes;
  for (const view of backendOf(aio).handleOf(index!).iovec.views()) {
    view.fill(0xee);
    for (let at = 0; at < view.length && left > 0; at += PAGE_BYTES, left -= PAGE_BYTES) {
      view.fill(byteOf(block++), at, at + Math.min(left, PAGE_BYTES));
    }
  }
  held.complete(aio, index!, bytes);
}
