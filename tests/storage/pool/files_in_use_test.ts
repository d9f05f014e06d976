/**
 * files_in_use_test.ts: files that are closed while a pool has changed pages of them.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
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
