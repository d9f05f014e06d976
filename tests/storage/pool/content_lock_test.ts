/**
 * content_lock_test.ts: the lock of a page's content, at the moments at which another thread comes
 * between two looks.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { PageLock } from "../../../mod.ts";
import { endIo, ioWordOf } from "../../../storage/pool/buffer_io.ts";
import { BUFFER } from "../../../storage/pool/pool_memory.ts";
import { tellChange } from "../../../storage/pool/wait_words.ts";
import { replace } from "../../support/bells/bells.ts";
import {
  bufferOf,
  change,
  memoryOf,
  PAGE_BYTES,
  type PoolFixture,
  testPool,
} from "../../support/pool/pool_fixture.ts";

/** Where the descriptor of a block's buffer is. */
function descriptorOf({ aio, pool }: PoolFixture, block: number) {
  const memory = memoryOf(aio, pool);
  return { words: memory.words, at: memory.at(bufferOf(pool, block)) };
}

testPool("page.lock() waits for a write that begins between two looks", async (it) => {
  using page = await it.pool.read(it.file, 3);
  const memory = memoryOf(it.aio, it.pool);
  const { words } = memory;
  const buffer = bufferOf(it.pool, 3);
  const at = memory.at(buffer);
  const { id, control, doorbells } = backendOf(it.aio);
  const other = 1 << (id + 1);
  // Of no IO that there is, so that it is waited for until the word changes.
  const write = ioWordOf(control, 0, "write") ^ 1 << 15;
  Atomics.or(words, at + BUFFER.shared, other);
  let hasBegun = false;
  const begin = () => {
    hasBegun = true;
    Atomics.store(words, at + BUFFER.io, write);
    Atomics.and(words, at + BUFFER.shared, ~other);
  };
  let locked: Promise<PageLock>;
  {
    const load = Atomics.load;
    using _load = replace(Atomics, "load", (array, index) => {
      const value = Reflect.apply(load, Atomics, [array, index]);
      const isLook = array.byteOffset === words.byteOffset &&
        (index === at + BUFFER.shared || index === at + BUFFER.io);
      if (isLook && !hasBegun && words[at + BUFFER.exclusive] === id + 1) begin();
      return value;
    });
    locked = page.lock("exclusive");
  }
  assertEquals([hasBegun, words[at + BUFFER.exclusive]], [true, id + 1]);
  endIo(doorbells, memory, buffer);
  (await locked).release();
});

testPool(
  "page.lock() of a page that is released meanwhile is refused, and keeps none",
  async (it) => {
    const first = await it.pool.read(it.file, 3);
    const second = await it.pool.read(it.file, 3);
    const lock = await first.lock("exclusive");
    const waiting = second.lock("exclusive");
    second.release();
    lock.release();
    first.release();
    await assertRejects(() => waiting, Deno.errors.BadResource, "a page that was released");
    const { words, at } = descriptorOf(it, 3);
    assertEquals([words[at + BUFFER.exclusive], words[at + BUFFER.pins]], [0, 0]);
    assertEquals(await it.pool.invalidate(it.file, 3), 1);
  },
);

testPool("a stream's page that is locked stays pinned until the lock is released", async (it) => {
  using stream = it.pool.readStream(it.file);
  const { page } = (await stream.next())!;
  const lock = await page.lock("exclusive");
  await stream.next();
  const { words, at } = descriptorOf(it, 0);
  assertEquals(words[at + BUFFER.pins], 1 << it.aio.backendId);
  lock.release();
  assertEquals([words[at + BUFFER.exclusive], words[at + BUFFER.pins]], [0, 0]);
});

testPool("page.lockSync() and flushSync() refuse while a task waits for the lock", async (it) => {
  await change(it.pool, it.file, 3, 99);
  using page = await it.pool.read(it.file, 3);
  const { words, at } = descriptorOf(it, 3);
  const { id, doorbells } = backendOf(it.aio);
  // Another thread has it shared when the task begins to wait, and no more when the thread blocks.
  Atomics.or(words, at + BUFFER.shared, 1 << (id + 1));
  const waiting = page.lock("exclusive");
  Atomics.and(words, at + BUFFER.shared, ~(1 << (id + 1)));
  for (const mode of ["shared", "exclusive"] as const) {
    assertThrows(() => page.lockSync(mode), Deno.errors.Busy, "has, or waits for");
  }
  assertThrows(() => it.pool.flushSync(), Deno.errors.Busy, "has, or waits for");
  tellChange(doorbells, memoryOf(it.aio, it.pool), bufferOf(it.pool, 3));
  (await waiting).release();
  page.lockSync("shared").release();
  assertEquals(it.pool.flushSync(), 1);
});

testPool(
  "page.lock() to have it alone comes before those that want to share it later",
  async (it) => {
    const [first, second, third] = await Promise.all([0, 1, 2].map(() => it.pool.read(it.file, 3)));
    const steps: string[] = [];
    const shared = await first!.lock("shared");
    const alone = second!.lock("exclusive").then((lock) => {
      steps.push("alone");
      lock.release();
    });
    assertEquals(third!.tryLock("shared"), null);
    const later = third!.lock("shared").then((lock) => {
      steps.push("later");
      lock.release();
    });
    // The task that has it would wait for itself.
    (await first!.lock("shared")).release();
    assertEquals(steps, []);
    shared.release();
    await Promise.all([alone, later]);
    assertEquals(steps, ["alone", "later"]);
    for (const page of [first, second, third]) page!.release();
  },
);

testPool(
  "pool.flush() by a task that shares a page's lock does not wait for itself",
  async (it) => {
    const steps: string[] = [];
    const pool = await it.aio.openPool({
      pages: 16,
      pageSize: PAGE_BYTES,
      beforeWrite: async (page) => {
        using _lock = await page.lock("shared");
        steps.push("written");
      },
    });
    await change(pool, it.file, 3, 99);
    {
      using page = await pool.read(it.file, 3);
      const shared = await page.lock("shared");
      using other = await pool.read(it.file, 3);
      const alone = other.lock("exclusive");
      assertEquals(await pool.flush(), 1);
      shared.release();
      (await alone).release();
    }
    assertEquals(steps, ["written"]);
    await pool.close();
  },
);
