/**
 * background_writer_test.ts: pages that a background writer writes back before their places are
 * needed.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import {
  change,
  forgetUses,
  HeldHook,
  onDisk,
  PAGE_BYTES,
  testPool,
} from "../../support/pool/pool_fixture.ts";
import { until } from "../../support/patience.ts";

const SOON = { delayMilliseconds: 1 };

testPool("pool.startBackgroundWriter() writes pages back that are next to go", async (it) => {
  const { aio, pool, file } = it;
  for (let block = 0; block < 4; block++) await change(pool, file, block, 200 + block);
  forgetUses(aio, pool);
  {
    await using _writer = pool.startBackgroundWriter(SOON);
    await until(() => pool.stats().backgroundWrites === 4, "all are written");
  }
  assertEquals([pool.stats().forcedWrites, await pool.flush()], [0, 0]);
  assertEquals(await onDisk(it.path, 3), [203, 203]);
});

testPool("a background writer leaves pages alone that are in use", async (it) => {
  const { aio, pool, file } = it;
  for (const block of [1, 2, 3]) await change(pool, file, block, 77);
  using _pinned = await pool.read(file, 1);
  forgetUses(aio, pool);
  // It counts as used.
  (await pool.read(file, 2)).release();
  await using _writer = pool.startBackgroundWriter(SOON);
  await until(() => pool.stats().backgroundWrites > 0, "the third is written");
  const changed = pool.pages().filter(({ isDirty }) => isDirty).map(({ block }) => block);
  assertEquals(changed.sort(), [1, 2]);
});

testPool("a background writer writes no more than pagesMax a round", async (it) => {
  const { aio, pool, file } = it;
  for (let block = 0; block < 8; block++) await change(pool, file, block, 77);
  forgetUses(aio, pool);
  await using _writer = pool.startBackgroundWriter({ ...SOON, pagesMax: 3 });
  await until(() => pool.stats().backgroundWrites === 8, "all are written");
  assertEquals(pool.stats().writes, 3);
});

testPool("a background writer warns of what it cannot write, and goes on", async (it) => {
  const { aio, file } = it;
  let isDurable = false;
  const beforeWrite = () => {
    if (!isDurable) throw new Error("the log is not durable");
  };
  const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
  await change(pool, file, 1, 77);
  forgetUses(aio, pool);
  await using _writer = pool.startBackgroundWriter(SOON);
  await until(() => it.warnings.length > 1, "two rounds have failed");
  assertEquals(it.warnings[0], "The background writer of a pool could not write pages back");
  assertEquals(pool.stats().backgroundWrites, 0);
  isDurable = true;
  await until(() => pool.stats().backgroundWrites === 1, "it is written");
  await pool.close();
});

testPool("pool.close() ends its background writers", async (it) => {
  const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
  const writer = pool.startBackgroundWriter(SOON);
  await change(pool, it.file, 1, 77);
  await pool.close();
  await writer[Symbol.asyncDispose]();
  assertEquals(await onDisk(it.path, 1), [77, 77]);
  assertThrows(() => pool.startBackgroundWriter(), Deno.errors.BadResource, "the pool is closed");
});

testPool("pool.startBackgroundWriter() refuses options out of range", (it) => {
  const wrong = [{ delayMilliseconds: 0 }, { pagesMax: 1.5 }, { multiplier: 11 }];
  for (const options of wrong) {
    const [name] = Object.keys(options);
    assertThrows(() => it.pool.startBackgroundWriter(options), RangeError, `"${name}"`);
  }
  return Promise.resolve();
});

for (const call of ["close", "invalidate"] as const) {
  testPool(`pool.${call}() waits for pages that the background writer has`, async (it) => {
    const hook = new HeldHook();
    const { beforeWrite } = hook;
    const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
    for (let block = 0; block < 4; block++) await change(pool, it.file, block, 44);
    forgetUses(it.aio, pool);
    await using _writer = pool.startBackgroundWriter(SOON);
    await until(() => hook.isCalled, "the writer has a page");
    const calling = call === "close" ? pool.close() : pool.invalidate(it.file, 0);
    hook.end();
    assertEquals(await calling, call === "close" ? undefined : 1);
    assertEquals(await onDisk(it.path, 0), [44, 44]);
    await pool.close();
  });
}
