/**
 * user_io_test.ts: IO of the user's own on the bytes of a pool's page.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { until } from "../../support/patience.ts";
import { PAGE_BYTES, testHeldPool } from "../../support/pool/pool_case.ts";

testHeldPool("pool.close() waits for an IO of the user's on the bytes of a page", async (it) => {
  const { aio, file, held } = it;
  const freeBytes = () => backendOf(aio).arena.freeBytes;
  const isHeld = () => held.held(aio).length === 1;
  const before = freeBytes();
  const open = () => aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
  const [pool, other] = [await open(), await open()];
  const reading = pool.read(file, 3);
  await until(isHeld, "the read is held");
  held.perform(aio, held.held(aio)[0]!);
  const page = await reading;
  const writing = file.writeAt(page.bytes, 5 * PAGE_BYTES);
  page.release();
  await until(isHeld, "the write is held");
  let isOver = false;
  const over = () => void (isOver = true);
  const closing = pool.close().finally(over);
  // As many steps, and nothing to wait for.
  assertEquals(other.tryRead(file, 3), null);
  await other.close();
  assertEquals(isOver, false);
  held.perform(aio, held.held(aio)[0]!);
  await Promise.all([writing, closing]);
  assertEquals(freeBytes(), before);
});

testHeldPool(
  "pool.close() waits for each IO of a write of the user's that the system cuts short",
  async (it) => {
    const { aio, file, held } = it;
    const freeBytes = () => backendOf(aio).arena.freeBytes;
    const before = freeBytes();
    const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
    const page = await pool.read(file, 3, { mode: "zero" });
    const writing = file.writeAt(page.bytes, 5 * PAGE_BYTES);
    page.release();
    let closing = Promise.resolve();
    let isOver = false;
    const isHeld = () => held.held(aio).length === 1;
    for (let part = 0; part < 4; part++) {
      await until(isHeld, "the write is held");
      if (part === 0) closing = pool.close().finally(() => void (isOver = true));
      assertEquals(isOver, false);
      held.complete(aio, held.held(aio)[0]!, 512);
    }
    await until(isHeld, "the rest is held");
    assertEquals([isOver, freeBytes() < before], [false, true]);
    held.perform(aio, held.held(aio)[0]!);
    await Promise.all([writing, closing]);
    assertEquals(freeBytes(), before);
  },
  { isBuffered: true },
);

testHeldPool(
  "pool.close() waits for a write of the user's that waits for a handle",
  async (it) => {
    const { aio, file, held } = it;
    const freeBytes = () => backendOf(aio).arena.freeBytes;
    const before = freeBytes();
    const open = () => aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
    const [pool, other] = [await open(), await open()];
    const page = await pool.read(file, 3, { mode: "zero" });
    const { maxConcurrency } = aio.options;
    const reads = Array.from({ length: maxConcurrency }, () => file.readAt(new Uint8Array(1), 0));
    const writing = file.writeAt(page.bytes, 5 * PAGE_BYTES);
    page.release();
    await until(() => held.held(aio).length === maxConcurrency, "all handles are held");
    let isOver = false;
    const closing = pool.close().finally(() => void (isOver = true));
    // As many steps, and nothing to wait for.
    assertEquals(other.tryRead(file, 3), null);
    await other.close();
    assertEquals(isOver, false);
    held.performAll(aio);
    await until(() => held.held(aio).length === 1, "the write is held");
    assertEquals(isOver, false);
    held.performAll(aio);
    await Promise.all([...reads, writing, closing]);
    assertEquals(freeBytes(), before);
  },
  { isBuffered: true, options: { maxConcurrency: 4 } },
);
