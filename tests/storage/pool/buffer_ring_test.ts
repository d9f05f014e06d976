/**
 * buffer_ring_test.ts: large scans through a pool that leave the rest of it alone.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import type { PoolStreamOptions } from "../../../mod.ts";
import { BufferRing, ringSize } from "../../../storage/pool/buffer_ring.ts";
import { BUFFER, BUFFER_STATE, NO_BUFFER } from "../../../storage/pool/pool_memory.ts";
import {
  BLOCKS,
  bufferOf,
  change,
  memoryOf,
  onDisk,
  type PoolFixture,
  testPool,
} from "../../support/pool/pool_fixture.ts";

/** Blocks that are in use beside the scan. */
const HOT = 8;

/** Has some blocks in the pool, and scans all others again and again. */
async function scanBeside(it: PoolFixture, options: PoolStreamOptions): Promise<void> {
  for (let block = 0; block < HOT; block++) (await it.pool.read(it.file, block)).release();
  for (let round = 0; round < 4; round++) {
    let next = HOT;
    for await (const { block, bytes } of it.pool.readStream(it.file, { ...options, from: HOT })) {
      assertEquals([block, bytes[0], bytes.at(-1)], [next, next + 1, next + 1]);
      next++;
    }
    assertEquals(next, BLOCKS);
  }
}

function hotBlocks({ pool, file }: PoolFixture): number {
  let count = 0;
  for (let block = 0; block < HOT; block++) {
    using page = pool.tryRead(file, block);
    if (page !== null) count++;
  }
  return count;
}

testPool("a scan with the strategy bulkRead leaves the pages of others alone", async (it) => {
  await scanBeside(it, { strategy: "bulkRead" });
  assertEquals(hotBlocks(it), HOT);
});

testPool("canary: a scan without it takes their places", async (it) => {
  await scanBeside(it, {});
  assert(hotBlocks(it) < HOT);
});

testPool("stream.clearStrategy() has the scan use the pool as any other read", async (it) => {
  for (let block = 0; block < HOT; block++) (await it.pool.read(it.file, block)).release();
  using stream = it.pool.readStream(it.file, { strategy: "bulkRead", from: HOT });
  stream.clearStrategy();
  for await (const { block, bytes } of stream) assertEquals(bytes[0], block + 1);
  assert(hotBlocks(it) < HOT);
});

testPool("a page of a scan's ring that was changed is written back by others", async (it) => {
  const { pool, file } = it;
  for await (const { block, page } of pool.readStream(file, { strategy: "bulkRead" })) {
    if (block !== 3) continue;
    using _lock = await page.lock("exclusive");
    page.bytes.fill(99);
    page.markDirty();
  }
  await change(pool, file, 5, 55);
  await pool.flush();
  assertEquals([await onDisk(it.path, 3), await onDisk(it.path, 5)], [[99, 99], [55, 55]]);
});

testPool("pool.readStream() refuses an unknown strategy", (it) => {
  const options = { strategy: "vacuum" as "bulkRead" };
  assertThrows(() => it.pool.readStream(it.file, options), TypeError, 'the strategy "vacuum"');
  return Promise.resolve();
});

Deno.test("ringSize() is 256 KiB and what may be in flight, at most an eighth of the pool", () => {
  const memory = (pages: number, pageBytes: number) => ({ pages, pageBytes });
  assertEquals(ringSize(memory(100_000, 8192), 16, 16), 32 + 256);
  assertEquals(ringSize(memory(800, 8192), 16, 16), 100);
  assertEquals(ringSize(memory(16, 65_536), 16, 16), 2);
});

testPool("BufferRing.tryTake() gives no buffer that is torn", async ({ aio, pool, file }) => {
  const memory = memoryOf(aio, pool);
  const ring = new BufferRing(1);
  (await pool.read(file, 1)).release();
  const buffer = bufferOf(pool, 1);
  ring.put(buffer);
  Atomics.or(memory.words, memory.at(buffer) + BUFFER.state, BUFFER_STATE.torn);
  assertEquals(ring.tryTake(memory, { tryOwn: () => true, unpin: () => {} }), NO_BUFFER);
});

testPool("BufferRing.tryTake() gives a buffer only if nobody else has used it", async (it) => {
  const { pool, file, aio } = it;
  const memory = memoryOf(aio, pool);
  const ring = new BufferRing(1);
  const pins = { tryOwn: () => true, unpin: () => {} };
  assertEquals(ring.tryTake(memory, pins), NO_BUFFER);
  (await pool.read(file, 1)).release();
  const { buffer } = pool.pages().find(({ block }) => block === 1)!;
  ring.put(buffer);
  assertEquals(ring.tryTake(memory, pins), buffer);
  (await pool.read(file, 1)).release();
  assertEquals(ring.tryTake(memory, pins), NO_BUFFER);
});
