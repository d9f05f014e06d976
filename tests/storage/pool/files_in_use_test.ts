/**
 * files_in_use_test.ts: files that are closed while a pool has pages of them.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { AioFile, Page } from "../../../mod.ts";
import { backendOf, layersOf } from "../../../core/inside.ts";
import { ContentLocks } from "../../../storage/pool/content_lock.ts";
import { tryForgetPages } from "../../../storage/pool/mapping.ts";
import { poolLayer } from "../../../storage/pool/pool_layer.ts";
import { BUFFER, BUFFER_STATE, POOL, POOL_FILE } from "../../../storage/pool/pool_memory.ts";
import { reapPool } from "../../../storage/pool/pool_reaper.ts";
import { PoolThread } from "../../../storage/pool/pool_thread.ts";
import { FileEnd } from "../../../storage/file/file_end.ts";
import { replace } from "../../support/bells/bells.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import {
  BLOCKS,
  bufferOf,
  change,
  forgetUses,
  HeldHook,
  memoryOf,
  onDisk,
  PAGE_BYTES,
  type PoolFixture,
  testPool,
} from "../../support/pool/pool_fixture.ts";
import { tempDir } from "../../support/temp.ts";

/** As if another thread had the file open, too, whose block is in the pool; until `end()`. */
function useElsewhere({ aio, pool }: PoolFixture, block: number) {
  const memory = memoryOf(aio, pool);
  const { words } = memory;
  const at = memory.at(bufferOf(pool, block));
  const number = words[at + BUFFER.file]! - 1;
  const usersAt = memory.fileAt(number) + POOL_FILE.users;
  const id = aio.backendId + 1;
  Atomics.or(words, usersAt, 1 << id);
  const end = () => void Atomics.and(words, usersAt, ~(1 << id));
  return { memory, words, at, number, id, end };
}

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

testPool("file.close() closes all of the pool's openings, also where one fails", async (it) => {
  const other = await it.aio.openFile(it.path, { read: true, write: true });
  for (const file of [it.file, other]) (await it.pool.read(file, 0)).release();
  await it.file.close();
  const { close } = FileEnd.prototype;
  const closed: FileEnd[] = [];
  {
    using _close = replace(FileEnd.prototype, "close", async function (this: FileEnd) {
      closed.push(this);
      await Reflect.apply(close, this, []);
      // The user's own is the first.
      if (closed.length === 2) throw new Error("EIO of close");
    });
    await assertRejects(() => other.close(), Error, "EIO of close");
  }
  assertEquals(closed.length, 3);
});

testPool("file.closeSync() is refused while the pool makes the file longer", async (it) => {
  const begun = Promise.withResolvers<void>();
  const { begin } = FileEnd.prototype;
  using _begin = replace(FileEnd.prototype, "begin", function (this: FileEnd) {
    Reflect.apply(begin, this, []);
    begun.resolve();
  });
  const extending = it.pool.extend(it.file, 1);
  await begun.promise;
  assertThrows(() => it.file.closeSync(), Deno.errors.Busy, "await close() instead");
  assertEquals(it.file.isClosed, false);
  const [page] = await extending;
  assertEquals(page!.block, BLOCKS);
  page!.release();
  it.file.closeSync();
});

/** Opens a copy of a file. */
async function copyOf({ aio, path }: PoolFixture, name: string): Promise<AioFile> {
  await Deno.copyFile(path, path + name);
  return aio.openFile(path + name, { read: true, write: true });
}

testEachMethod("a page is not written to the file that has its file's number", async (method) => {
  await using dir = await tempDir();
  const path = dir.join("file");
  await Deno.writeFile(path, new Uint8Array(4 * PAGE_BYTES).fill(1));
  await using aio = await openAio(method, { maxFiles: 8 });
  const hook = new HeldHook();
  const { beforeWrite } = hook;
  const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
  const file = await aio.openFile(path, { read: true, write: true });
  await change(pool, file, 3, 99);
  const flushing = pool.flush();
  await hook.begun;
  await file.close();
  // The pool's places for files come round.
  for (let i = 0; i < 8; i++) {
    const other = dir.join(`other ${i}`);
    await Deno.writeFile(other, new Uint8Array(4 * PAGE_BYTES).fill(1));
    await using opened = await aio.openFile(other, { read: true, write: true });
    (await pool.read(opened, 0)).release();
    if (i === 7) {
      hook.end();
      await flushing;
    }
  }
  assertEquals(await onDisk(path, 3), [99, 99]);
  for (let i = 0; i < 8; i++) assertEquals(await onDisk(dir.join(`other ${i}`), 3), [1, 1]);
  await pool.close();
});

testPool(
  "a read that writes a page of a file that is closed meanwhile gets its place",
  async (it) => {
    const hook = new HeldHook();
    const { beforeWrite } = hook;
    const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
    const file = await copyOf(it, "2");
    await change(pool, file, 3, 99);
    for (let block = 0; block < 15; block++) (await pool.read(it.file, block)).release();
    forgetUses(it.aio, pool);
    const reading = pool.read(it.file, 30);
    await hook.begun;
    await file.close();
    assertEquals(await onDisk(it.path + "2", 3), [99, 99]);
    hook.end();
    using page = await reading;
    assertEquals(page.bytes[0], 31);
    page.release();
    await pool.close();
  },
);

testPool("page.markDirty() is refused once the file is closed", async (it) => {
  const file = await copyOf(it, "2");
  using page = await it.pool.read(file, 3);
  await file.close();
  {
    using _lock = await page.lock("exclusive");
    const error = assertThrows(() => page.markDirty(), Deno.errors.BadResource);
    assertEquals(error.message, "Cannot change a page whose file was closed: open it again");
  }
  page.release();
  // Its place can be had.
  for (let block = 0; block < BLOCKS; block++) (await it.pool.read(it.file, block)).release();
});

testPool(
  "page.markDirty() of a file that other threads use is heard by the last of them",
  async (it) => {
    const backend = backendOf(it.aio);
    const { host } = layersOf(backend).partsOf(poolLayer);
    const file = await copyOf(it, "2");
    using page = await it.pool.read(file, 3);
    const { memory, words, id } = useElsewhere(it, 3);
    await file.close();
    using lock = await page.lock("exclusive");
    const { markDirty } = ContentLocks.prototype;
    {
      using _mark = replace(
        ContentLocks.prototype,
        "markDirty",
        function (this: ContentLocks, buffer) {
          // The other one looks for changes, and forgets the page, under this lock.
          assertEquals(words[POOL.lock], backend.arena.threadId);
          Reflect.apply(markDirty, this, [buffer]);
        },
      );
      page.markDirty();
    }
    assertEquals(page.isDirty, true);
    reapPool(host, memory, id);
    assertThrows(() => page.markDirty(), Deno.errors.BadResource, "whose file was closed");
    lock.release();
    assertEquals(it.warnings.length, 1);
  },
);

testPool(
  "pool.repair() of a file that other threads use is heard by the last of them",
  async (it) => {
    const file = await copyOf(it, "2");
    (await it.pool.read(file, 3)).release();
    const { memory, words, at, number, end } = useElsewhere(it, 3);
    // One has died while it changed the page.
    Atomics.or(words, at + BUFFER.state, BUFFER_STATE.torn);
    const { clearTorn } = PoolThread.prototype;
    {
      using _clearTorn = replace(
        PoolThread.prototype,
        "clearTorn",
        function (this: PoolThread, buffer) {
          // The other one leaves the file as soon as it gets this lock.
          const isFree = words[POOL.lock] !== backendOf(it.aio).arena.threadId;
          if (isFree) assert(!tryForgetPages(memory, number, false), "the page is forgotten");
          Reflect.apply(clearTorn, this, [buffer]);
        },
      );
      await it.pool.repair(file, 3, () => file.close());
    }
    assertEquals(words[at + BUFFER.state], BUFFER_STATE.valid | BUFFER_STATE.dirty);
    assert(!tryForgetPages(memory, number, false));
    end();
  },
);

testPool(
  "pool.read() does not go through an opening that pages were only written by",
  async (it) => {
    const file = await copyOf(it, "2");
    (await it.pool.read(file, 3)).release();
    // That thread has changed it, and has only this opening of the file left.
    const { words, at, end } = useElsewhere(it, 3);
    await file.close();
    Atomics.or(words, at + BUFFER.state, BUFFER_STATE.dirty);
    await using _writing = await it.aio.openFile(it.path + "2", { write: true });
    assertEquals(await it.pool.flush(), 1);
    await using again = await it.aio.openFile(it.path + "2", { read: true, write: true });
    using page = await it.pool.read(again, 5);
    assertEquals(page.bytes[0], 6);
    page.release();
    end();
  },
);

testPool("pool.read() refuses a file of another aio", async (it, method) => {
  await using other = await openAio(method);
  await using file = await other.openFile(it.path, { read: true });
  const error = await assertRejects(() => it.pool.read(file, 0), TypeError);
  assertEquals(
    error.message,
    `Cannot read ${
      JSON.stringify(it.path)
    } through a pool of another aio: open the file in that one`,
  );
  assertThrows(() => it.pool.readStream(file), TypeError, "another aio");
});
