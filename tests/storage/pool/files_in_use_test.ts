/**
 * files_in_use_test.ts: files that are closed while a pool has changed pages of them.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Page } from "../../../mod.ts";
import { change, onDisk, PAGE_BYTES, testPool } from "../../support/pool/pool_fixture.ts";

testPool(
  "file.close() keeps the pages that another opening begins to use meanwhile",
  async (it) => {
    await using other = await it.aio.openFile(it.path, { read: true, write: true });
    await change(it.pool, it.file, 0, 50);
    const closing = it.file.close();
    await change(it.pool, other, 1, 51);
    await closing;
    assertEquals(await onDisk(it.path, 0), [50, 50]);
    using page = it.pool.tryRead(other, 1);
    assertEquals([page!.isDirty, page!.bytes[0]], [true, 51]);
    (await it.pool.read(other, 2)).release();
    assertEquals(await it.pool.flush(other), 1);
    assertEquals(await onDisk(it.path, 1), [51, 51]);
  },
);

testPool("file.close() writes back what another opening changes until it is closed", async (it) => {
  const other = await it.aio.openFile(it.path, { read: true, write: true });
  await change(it.pool, it.file, 0, 50);
  const closing = it.file.close();
  await change(it.pool, other, 1, 51);
  await Promise.all([closing, other.close()]);
  assertEquals([await onDisk(it.path, 0), await onDisk(it.path, 1)], [[50, 50], [51, 51]]);
  assertEquals(it.pool.pages().filter(({ path }) => path !== null), []);
});

testPool("file.close() writes back what a task that has a page changes meanwhile", async (it) => {
  const durable = Promise.withResolvers<void>();
  const pool = await it.aio.openPool({
    pages: 16,
    pageSize: PAGE_BYTES,
    beforeWrite: () => durable.promise,
  });
  await change(pool, it.file, 0, 50);
  {
    using page = await pool.read(it.file, 1);
    using lock = await page.lock("exclusive");
    const closing = it.file.close();
    page.bytes.fill(51);
    page.markDirty();
    lock.release();
    durable.resolve();
    await closing;
  }
  assertEquals([await onDisk(it.path, 0), await onDisk(it.path, 1)], [[50, 50], [51, 51]]);
  await pool.close();
});

testPool("file.close() writes back all pages but the one that cannot be written", async (it) => {
  const beforeWrite = ({ block }: Page) => {
    if (block === 2) throw new Error("the log of block 2 is not durable");
  };
  const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
  const file = await it.aio.openFile(it.path, { read: true, write: true });
  for (const block of [2, 3, 5]) await change(pool, file, block, 52);
  await assertRejects(() => file.close(), Error, "the log of block 2");
  const found = [];
  for (const block of [2, 3, 5]) found.push((await onDisk(it.path, block))[0]);
  assertEquals(found, [3, 52, 52]);
  await pool.close();
});

testPool("file.closeSync() is refused while a task has a changed page locked", async (it) => {
  for (const block of [2, 4]) await change(it.pool, it.file, block, 52);
  {
    using page = await it.pool.read(it.file, 2);
    using _lock = await page.lock("exclusive");
    assertThrows(() => it.file.closeSync(), Deno.errors.Busy, "await lock() instead");
    assertEquals([it.file.isClosed, page.isDirty], [false, true]);
  }
  it.file.closeSync();
  assertEquals([await onDisk(it.path, 2), await onDisk(it.path, 4)], [[52, 52], [52, 52]]);
});
