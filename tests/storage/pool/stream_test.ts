/**
 * stream_test.ts: read streams through a pool: what is there is not read again, and a stream that
 * ends leaves nothing pinned.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Aio, AioFile, PagePool, PoolStreamOptions } from "../../../mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { Prng, testSeed } from "../../support/prng.ts";
import { tempDir } from "../../support/temp.ts";

const PAGE_BYTES = 1024;
const BLOCKS = 200;
const HOOK = "aio-process-completion-before-shared";

/** What a test gets. */
interface Fixture {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly pool: PagePool;
}

/** Registers a test with a file whose blocks are filled with their numbers, and a pool. */
function testStream(name: string, fn: (fixture: Fixture) => Promise<void>, pages = 64): void {
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    const content = new Uint8Array(BLOCKS * PAGE_BYTES);
    for (let block = 0; block < BLOCKS; block++) {
      content.fill(block, block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
    }
    await Deno.writeFile(dir.join("file"), content);
    const warnings: string[] = [];
    const onWarning = (text: string) => void warnings.push(text);
    await using aio = await openAio(method, { maxBackends: 2, onWarning });
    await using file = await aio.openFile(dir.join("file"), { read: true, write: true });
    const pool = await aio.openPool({ pages, pageSize: PAGE_BYTES });
    await fn({ aio, file, pool });
    // What the mode "zeroOnError" says.
    assertEquals(warnings.filter((text) => !text.includes("zeroing out")), []);
    const pinned = pool.pages().filter(({ pinningBackends }) => pinningBackends.length > 0);
    assertEquals(pinned, []);
    await pool.close();
  });
}

/** The blocks that a stream delivers, each with the content of its block. */
async function blocksOf(
  { pool, file }: Fixture,
  options: PoolStreamOptions = {},
): Promise<number[]> {
  const blocks: number[] = [];
  for await (const { block, bytes } of pool.readStream(file, options)) {
    assertEquals([bytes[0], bytes.at(-1)], [block & 255, block & 255]);
    blocks.push(block);
  }
  return blocks;
}

function nextOf(list: readonly number[]): () => number | null {
  let i = 0;
  return () => list[i++] ?? null;
}

const ALL = Array.from({ length: BLOCKS }, (_, block) => block);

testStream("pool.readStream() gives all pages of a file, read together", async (it) => {
  assertEquals(await blocksOf(it), ALL);
  const { reads, blocksRead } = it.pool.stats();
  assertEquals(blocksRead, BLOCKS);
  assert(reads < BLOCKS / 4, `${reads} reads`);
});

testStream("pool.readStream() reads nothing that is there", async (it) => {
  const some = ALL.slice(0, 40);
  assertEquals(await blocksOf(it, { until: 40 }), some);
  assertEquals(await blocksOf(it, { until: 40 }), some);
  assertEquals(it.pool.stats().blocksRead, 40);
});

testStream(
  "pool.readStream() gives blocks downward, and zigzag, and again and again",
  async (it) => {
    const down = ALL.toReversed();
    assertEquals(await blocksOf(it, { next: nextOf(down) }), down);
    const reads = it.pool.stats().reads;
    assert(reads < BLOCKS / 4, `${reads} reads downward`);
    const zigzag = ALL.map((i) => i % 2 === 0 ? i : BLOCKS - i);
    assertEquals(await blocksOf(it, { next: nextOf(zigzag) }), zigzag);
    const same = Array.from({ length: 50 }, (_, i) => i % 3);
    assertEquals(await blocksOf(it, { next: nextOf(same) }), same);
  },
);

testStream(
  "pool.readStream() gives what random callbacks want, in a pool of 16 pages",
  async (it) => {
    const prng = new Prng(testSeed());
    for (let round = 0; round < 5; round++) {
      const list: number[] = [];
      while (list.length < 300) {
        const from = prng.below(BLOCKS);
        const step = prng.chance(1, 3) ? -1 : 1;
        for (let i = 0; i < prng.below(20); i++) {
          const block = from + i * step;
          if (block >= 0 && block < BLOCKS) list.push(block);
        }
      }
      assertEquals(await blocksOf(it, { next: nextOf(list) }), list);
    }
  },
  16,
);

testStream("two streams of one pool, and readers, share what is read", async (it) => {
  const [one, two] = await Promise.all([blocksOf(it), blocksOf(it)]);
  assertEquals([one, two], [ALL, ALL]);
});

testStream("stream.nextSync() gives the same pages", async ({ pool, file }) => {
  const blocks: number[] = [];
  {
    using stream = pool.readStream(file);
    for (let page = stream.nextSync(); page !== null; page = stream.nextSync()) {
      assertEquals(page.bytes[0], page.block & 255);
      blocks.push(page.block);
    }
  }
  assertEquals(blocks, ALL);
  await Promise.resolve();
});

testStream("a consumer that stops early leaves nothing pinned", async ({ pool, file }) => {
  for await (const { block } of pool.readStream(file, { full: true })) if (block === 5) break;
  using page = await pool.read(file, 7);
  assertEquals(page.bytes[0], 7);
});

testStream("a page of a stream can be locked and changed", async ({ pool, file }) => {
  for await (const { page } of pool.readStream(file, { until: 3 })) {
    using _lock = await page.lock("exclusive");
    page.bytes.fill(99);
    page.markDirty();
    // It is the stream's.
    page.release();
  }
  assertEquals(await pool.flush(), 3);
});

testStream("a read that fails names its blocks; the stream can be reset", async (it) => {
  const { aio, pool, file } = it;
  let calls = 0;
  aio.attachInjectionPoint(HOOK, (_handle, result) => ++calls === 4 ? -5 : result);
  const stream = pool.readStream(file);
  const blocks: number[] = [];
  await assertRejects(
    async () => {
      for (let page = await stream.next(); page !== null; page = await stream.next()) {
        blocks.push(page.block);
      }
    },
    Error,
    "could not read blocks",
  );
  aio.detachInjectionPoint(HOOK);
  assertEquals(blocks, ALL.slice(0, blocks.length));
  await stream.reset();
  const again: number[] = [];
  for await (const { block } of stream) again.push(block);
  assertEquals(again, ALL);
});

testStream("pool.readStream() refuses options that cannot be", async ({ pool, file }) => {
  await assertRejects(
    async () => await pool.readStream(file, { from: 3, until: 1 }).next(),
    RangeError,
  );
});

testStream(
  "pool.readStream() refuses blocks from 2^31 on, once those before are there",
  async (it) => {
    const stream = it.pool.readStream(it.file, {
      next: nextOf([7, 8, 2 ** 31, 9]),
      mode: "zeroOnError",
    });
    const blocks: number[] = [];
    const error = await assertRejects(async () => {
      for await (const { block } of stream) blocks.push(block);
    }, RangeError);
    assertEquals(error.message, "Cannot read block 2147483648: an integer from 0 to 2^31 - 1");
    assertEquals(blocks, [7, 8]);
  },
);

testStream("a read of several blocks ends with block 2^31 - 1", async (it) => {
  const last = 2 ** 31 - 1;
  const stream = it.pool.readStream(it.file, {
    from: last - 1,
    until: last + 4,
    mode: "zeroOnError",
  });
  const blocks: number[] = [];
  await assertRejects(async () => {
    for await (const { block } of stream) blocks.push(block);
  }, RangeError);
  assertEquals(blocks, [last - 1, last]);
  await it.pool.invalidate(it.file);
  const read = await it.pool.startRead(it.file, last - 1, 8, { mode: "zeroOnError" });
  assertEquals(read.count, 2);
  for (const page of await it.pool.waitRead(read)) page.release();
});

testStream("pool.extend() refuses blocks from 2^31 on", async (it) => {
  const pages = 2 ** 31 - 1;
  await Deno.truncate(it.file.path, pages * PAGE_BYTES);
  await assertRejects(() => it.pool.extend(it.file, 2), RangeError, `it has ${pages} of 2^31`);
  assertEquals(await it.file.size(), pages * PAGE_BYTES);
});
