/**
 * page_write_test.ts: changed pages of a pool, written back on request, for room, and after a log.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { get } from "../../../core/inside.ts";
import type { CallbackHandle } from "../../../core/mod.ts";
import type { Page } from "../../../mod.ts";
import { FileInside } from "../../../storage/file/file_inside.ts";
import { BUFFER, POOL_FILE } from "../../../storage/pool/pool_memory.ts";
import { replace } from "../../support/bells/bells.ts";
import {
  BLOCKS,
  bufferOf,
  change,
  forgetUses,
  HeldHook,
  memoryOf,
  onDisk,
  PAGE_BYTES,
  testPool,
} from "../../support/pool/pool_fixture.ts";

testPool("pool.flush() writes changed pages back, neighbours in one IO", async (it) => {
  for (let block = 4; block < 10; block++) await change(it.pool, it.file, block, 100 + block);
  assertEquals(await onDisk(it.path, 4), [5, 5]);
  assertEquals(await it.pool.flush(it.file), 6);
  for (let block = 4; block < 10; block++) {
    assertEquals(await onDisk(it.path, block), [100 + block, 100 + block]);
  }
  const { writes, blocksWritten } = it.pool.stats();
  assertEquals([writes, blocksWritten], [1, 6]);
  assertEquals(await it.pool.flush(), 0);
});

testPool("pool.flushSync() writes changed pages back", async (it) => {
  await change(it.pool, it.file, 7, 99);
  assertEquals(it.pool.flushSync(it.file), 1);
  assertEquals(await onDisk(it.path, 7), [99, 99]);
});

testPool("changed pages are written back when their places are needed", async (it) => {
  for (let block = 0; block < BLOCKS; block++) await change(it.pool, it.file, block, 200 - block);
  for (let block = 0; block < BLOCKS; block++) {
    using page = await it.pool.read(it.file, block);
    assertEquals(page.bytes[0], 200 - block);
  }
  assert(it.pool.stats().forcedWrites > 0);
});

testPool("beforeWrite is called before a changed page is written", async (it) => {
  const seen: number[][] = [];
  const pool = await it.aio.openPool({
    pages: 16,
    pageSize: PAGE_BYTES,
    beforeWrite: async (page) => {
      seen.push([page.block, page.bytes[0]!, (await onDisk(it.path, page.block))[0]!]);
    },
  });
  await change(pool, it.file, 9, 91);
  await pool.flush();
  assertEquals(seen, [[9, 91, 10]]);
  await pool.close();
});

/** Fails for the block that the test names. */
class FailingHook {
  block = -1;
  readonly beforeWrite = ({ block }: Page): void => {
    if (block === this.block) throw new Error(`the log of block ${block} is not durable`);
  };
}

testPool("a beforeWrite that throws keeps no page, and the flush can be repeated", async (it) => {
  const hook = new FailingHook();
  const options = { pages: 16, pageSize: PAGE_BYTES, beforeWrite: hook.beforeWrite };
  const pool = await it.aio.openPool(options);
  for (const block of [3, 9, 10, 11]) await change(pool, it.file, block, 77);
  hook.block = 10;
  await assertRejects(() => pool.flush(), Error, "the log of block 10");
  // It keeps no other page from being written.
  for (const block of [3, 9, 11]) assertEquals(await onDisk(it.path, block), [77, 77]);
  assertEquals(await onDisk(it.path, 10), [11, 11]);
  for (const block of [9, 10, 11]) {
    using page = pool.tryRead(it.file, block);
    using lock = page!.tryLock("exclusive");
    assert(lock !== null);
  }
  hook.block = -1;
  assertEquals(await pool.flush(), 1);
  assertEquals(await onDisk(it.path, 10), [77, 77]);
  await pool.close();
});

testPool("calls that block the thread write no page whose beforeWrite is a promise", async (it) => {
  let isDurable = false;
  const beforeWrite = async () => {
    await Promise.resolve();
    if (!isDurable) throw new Error("the log is not durable");
  };
  const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
  const file = await it.aio.openFile(it.path, { read: true, write: true });
  for (let block = 0; block < 16; block++) await change(pool, file, block, 88);
  forgetUses(it.aio, pool);
  for (const call of [() => pool.flushSync(), () => pool.readSync(file, 20), file.closeSync]) {
    assertThrows(call.bind(file), Deno.errors.Busy, "await pool.flush() first");
    // The hook has each page until its promise is settled.
    const isPinned = () => pool.pages().some((page) => page.pinningBackends.length > 0);
    while (isPinned()) await Promise.resolve();
  }
  assertEquals([await onDisk(it.path, 0), file.isClosed], [[1, 1], false]);
  isDurable = true;
  assertEquals(await pool.flush(), 16);
  file.closeSync();
  assertEquals(await onDisk(it.path, 15), [88, 88]);
  await pool.close();
});

testPool("a beforeWrite that throws while room is made fails that read only", async (it) => {
  const hook = new FailingHook();
  const options = { pages: 16, pageSize: PAGE_BYTES, beforeWrite: hook.beforeWrite };
  const pool = await it.aio.openPool(options);
  await change(pool, it.file, 5, 55);
  hook.block = 5;
  const read = async (block: number) => (await pool.read(it.file, block)).release();
  const failed = async () => {
    for (let block = 10; block < 40; block++) await read(block);
  };
  await assertRejects(failed, Error, "the log of block 5");
  hook.block = -1;
  await failed();
  assertEquals(await onDisk(it.path, 5), [55, 55]);
  // It would be Busy with a page pinned.
  await pool.close();
});

testPool("a page that cannot be written fails no read that needs another place", async (it) => {
  const hook = new FailingHook();
  const options = { pages: 16, pageSize: PAGE_BYTES, beforeWrite: hook.beforeWrite };
  const pool = await it.aio.openPool(options);
  hook.block = 5;
  for (let block = 0; block < 16; block++) await change(pool, it.file, block, 55);
  forgetUses(it.aio, pool);
  const failed: string[] = [];
  for (let block = 16; block < 31; block++) {
    await pool.read(it.file, block).then((page) => page.release(), ({ message }) => {
      failed.push(message);
    });
  }
  // The one read that was to get its place.
  assertEquals(failed, ["the log of block 5 is not durable"]);
  hook.block = -1;
  await pool.close();
  assertEquals(await onDisk(it.path, 5), [55, 55]);
});

testPool("a page that cannot be written keeps none beside it from being written", async (it) => {
  for (const block of [1, 2, 3]) await change(it.pool, it.file, block, 33);
  it.aio.attachInjectionPoint(
    "aio-process-completion-before-shared",
    (handle, result) => handle.operation === "writev" && covers(handle, 2) ? -5 : result,
  );
  await assertRejects(() => it.pool.flush(), Error, "EIO");
  it.aio.detachInjectionPoint("aio-process-completion-before-shared");
  const dirty = it.pool.pages().filter(({ isDirty }) => isDirty).map(({ block }) => block);
  assertEquals(dirty, [2]);
  assertEquals([await onDisk(it.path, 1), await onDisk(it.path, 3)], [[33, 33], [33, 33]]);
});

/** Whether an IO has a block. */
function covers({ operationData: { offset, length } }: CallbackHandle, block: number): boolean {
  return offset <= block * PAGE_BYTES && block * PAGE_BYTES < offset + length;
}

testPool("a write that fails leaves the page changed", async (it) => {
  await change(it.pool, it.file, 1, 33);
  it.aio.attachInjectionPoint(
    "aio-process-completion-before-shared",
    ({ operation }, result) => operation === "writev" ? -5 : result,
  );
  await assertRejects(() => it.pool.flush(), Error, "EIO");
  it.aio.detachInjectionPoint("aio-process-completion-before-shared");
  assertEquals(it.pool.pages().find(({ block }) => block === 1)?.isDirty, true);
  assertEquals(await it.pool.flush(), 1);
  assertEquals(await onDisk(it.path, 1), [33, 33]);
});

testPool("pool.extend() leaves what is written behind the end meanwhile", async (it) => {
  const hook = new HeldHook();
  const { beforeWrite } = hook;
  const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
  for (let block = 0; block < 15; block++) await change(pool, it.file, block, 66);
  {
    using page = await pool.read(it.file, BLOCKS + 5, { mode: "zero" });
    using _lock = await page.lock("exclusive");
    page.bytes.fill(77);
    page.markDirty();
  }
  forgetUses(it.aio, pool);
  // It has looked where the file ends, and needs a place.
  const extending = pool.extend(it.file, 1);
  await hook.begun;
  assertEquals(await pool.flush(), 16);
  hook.end();
  const [page] = await extending;
  assertEquals(page!.block, BLOCKS);
  page!.release();
  assertEquals(await it.file.size(), (BLOCKS + 6) * PAGE_BYTES);
  assertEquals(await onDisk(it.path, BLOCKS + 5), [77, 77]);
  await pool.close();
});

testPool("pool.read() waits for pages that the pool writes back", async (it) => {
  for (let block = 0; block < 16; block++) await change(it.pool, it.file, block, 44);
  const read = async (block: number) => {
    using page = await it.pool.read(it.file, block);
    return page.bytes[0];
  };
  assertEquals(await Promise.all([20, 21, 22].map(read)), [21, 22, 23]);
});

for (const call of ["close", "invalidate"] as const) {
  testPool(`pool.${call}() waits for a page whose place a read is about to get`, async (it) => {
    const hook = new HeldHook();
    const { beforeWrite } = hook;
    const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
    await change(pool, it.file, 0, 44);
    for (let block = 1; block < 16; block++) (await pool.read(it.file, block)).release();
    forgetUses(it.aio, pool);
    const reading = pool.read(it.file, 20);
    await hook.begun;
    const calling = call === "close" ? pool.close() : pool.invalidate(it.file, 0);
    hook.end();
    if (call === "close") {
      await assertRejects(() => reading, Deno.errors.BadResource, "the pool is closed");
      await calling;
    } else {
      // It has another block by then.
      using page = await reading;
      assertEquals([page.block, await calling], [20, 0]);
    }
    assertEquals(await onDisk(it.path, 0), [44, 44]);
    await pool.close();
  });
}

testPool(
  "pool.read() refuses once a page whose place it waits for is another read's",
  async (it) => {
    const hook = new HeldHook();
    const { beforeWrite } = hook;
    const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
    await change(pool, it.file, 0, 44);
    const pages = [];
    for (let block = 1; block < 16; block++) pages.push(await pool.read(it.file, block));
    forgetUses(it.aio, pool);
    const reading = pool.read(it.file, 20);
    await hook.begun;
    const refused = assertRejects(() => pool.read(it.file, 21), Deno.errors.Busy, "all 16 pages");
    hook.end();
    for (const page of [...pages, await reading]) {
      await refused;
      page.release();
    }
    await pool.close();
  },
);

testPool("pool.readSync() does not wait for pages that its thread writes back", async (it) => {
  const hook = new HeldHook();
  const { beforeWrite } = hook;
  const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
  for (let block = 0; block < 16; block++) await change(pool, it.file, block, 44);
  forgetUses(it.aio, pool);
  const reading = pool.read(it.file, 20);
  await hook.begun;
  assertThrows(() => pool.readSync(it.file, 21), Deno.errors.Busy, "await read() instead");
  hook.end();
  (await reading).release();
  pool.readSync(it.file, 21).release();
  await pool.close();
});

testPool("pool.extend() keeps its descriptor until the file is as long as it says", async (it) => {
  const point = "aio-process-completion-before-shared";
  // As on a file system that cannot allocate: the file is measured and cut afterwards.
  it.aio.attachInjectionPoint(
    point,
    ({ operation }, result) => operation === "fallocate" ? -95 : result,
  );
  let isSettled = false;
  const { settleEnd } = FileInside.prototype;
  {
    using _settleEnd = replace(
      FileInside.prototype,
      "settleEnd",
      function (this: FileInside, calls) {
        isSettled = true;
        assertThrows(() => this.ending.checkIdle(), Deno.errors.Busy);
        return Reflect.apply(settleEnd, this, [calls]);
      },
    );
    for (const page of await it.pool.extend(it.file, 1)) page.release();
  }
  assert(isSettled);
  it.aio.detachInjectionPoint(point);
});

testPool(
  "pool.extend() keeps its turn until the file that is being closed is longer",
  async (it) => {
    const point = "aio-process-completion-before-shared";
    it.aio.attachInjectionPoint(
      point,
      ({ operation }, result) => operation === "fallocate" ? -95 : result,
    );
    await using other = await it.aio.openFile(it.path, { read: true, write: true });
    const memory = memoryOf(it.aio, it.pool);
    (await it.pool.read(other, 0)).release();
    const number = memory.words[memory.at(bufferOf(it.pool, 0)) + BUFFER.file]! - 1;
    const turn = () => memory.words[memory.fileAt(number) + POOL_FILE.extender];
    const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { settleEnd } = FileInside.prototype;
    {
      using _settleEnd = replace(
        FileInside.prototype,
        "settleEnd",
        function* (this: FileInside, calls) {
          begun.resolve();
          yield* get(gate.promise);
          yield* Reflect.apply(settleEnd, this, [calls]);
        },
      );
      const extending = it.pool.extend(other, 1);
      await begun.promise;
      const closing = other.close();
      assertEquals(await it.pool.flush(), 0);
      assertEquals(turn(), it.aio.backendId + 1);
      gate.resolve();
      for (const page of await extending) page.release();
      await closing;
    }
    assertEquals(turn(), 0);
    it.aio.detachInjectionPoint(point);
  },
);

for (const [name, errno] of [["EOPNOTSUPP", 95], ["ENOSPC", 28]] as const) {
  testPool(`pool.extend() where an allocation ends with ${name}`, async (it) => {
    it.aio.attachInjectionPoint(
      "aio-process-completion-before-shared",
      ({ operation }, result) => operation === "fallocate" ? -errno : result,
    );
    const extending = it.pool.extend(it.file, 2);
    if (name === "ENOSPC") {
      await assertRejects(() => extending, Error, "ENOSPC");
    } else {
      // The file system cannot allocate: the file is cut to its new length.
      for (const page of await extending) page.release();
      assertEquals(await it.file.size(), (BLOCKS + 2) * PAGE_BYTES);
    }
    it.aio.detachInjectionPoint("aio-process-completion-before-shared");
    assertEquals(it.pool.pages().filter(({ pinningBackends }) => pinningBackends.length > 0), []);
  });
}
