/**
 * pool_end_test.ts: a thread that leaves a pool while calls of it are under way, or while it has
 * pages pinned and locked: nothing of that is left in the pool, and nothing touches its memory
 * afterwards.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Aio } from "../../../mod.ts";
import {
  BUFFER,
  BUFFER_STATE,
  POOL_FILE,
  type PoolMemory,
} from "../../../storage/pool/pool_memory.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { sharePoolThread } from "../../support/pool/pool_asked.ts";
import { leftIn, testPoolCase } from "../../support/pool/pool_case.ts";
import {
  bufferOf,
  change,
  forgetUses,
  HeldHook,
  memoryOf,
  onDisk,
  PAGE_BYTES,
  testPool,
} from "../../support/pool/pool_fixture.ts";
import { until } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";

const startThread = sharePoolThread();
const { BadResource } = Deno.errors;

/** The bit of another thread. */
function otherOf({ backendId }: Aio): number {
  return 1 << (backendId + 1);
}

/** As if another thread had all pages pinned. */
function pinAll(aio: Aio, memory: PoolMemory): void {
  for (let buffer = 0; buffer < memory.pages; buffer++) {
    Atomics.or(memory.words, memory.at(buffer) + BUFFER.pins, otherOf(aio));
  }
}

testPool("pool.close() ends the calls that wait for another thread", async (it) => {
  const memory = memoryOf(it.aio, it.pool);
  (await it.pool.read(it.file, 3)).release();
  pinAll(it.aio, memory);
  const extenderAt = memory.fileAt(memory.words[memory.at(0) + BUFFER.file]! - 1) +
    POOL_FILE.extender;
  Atomics.store(memory.words, extenderAt, it.aio.backendId + 2);
  const ended = [
    assertRejects(() => it.pool.read(it.file, 20), BadResource, "the pool is closed"),
    assertRejects(() => it.pool.startRead(it.file, 20, 2), BadResource, "the pool is closed"),
    assertRejects(() => it.pool.invalidate(it.file, 3), BadResource, "the pool is closed"),
    assertRejects(() => it.pool.extend(it.file, 1), BadResource, "the pool is closed"),
  ];
  await it.pool.close();
  const words = [...memory.words];
  await Promise.all(ended);
  assertEquals([...memory.words], words);
});

testPool("what there is of a pool that is closed leaves its memory alone", async (it) => {
  const memory = memoryOf(it.aio, it.pool);
  (await it.pool.read(it.file, 3)).release();
  using stream = it.pool.readStream(it.file);
  await it.pool.close();
  const words = [...memory.words];
  await assertRejects(() => stream.next(), BadResource, "the pool is closed");
  await assertRejects(() => it.pool.flush(), BadResource, "the pool is closed");
  assertThrows(() => it.pool.flushSync(), BadResource, "the pool is closed");
  assertThrows(() => it.pool.pages(), BadResource, "the pool is closed");
  assertThrows(() => it.pool.stats(), BadResource, "the pool is closed");
  assertEquals([...memory.words], words);
});

testPool("pool.close() waits for a flush under way", async (it) => {
  await change(it.pool, it.file, 3, 99);
  const flushed = it.pool.flush();
  await it.pool.close();
  assertEquals([await flushed, await onDisk(it.path, 3)], [1, [99, 99]]);
});

testPool("pool.close() has a hook of a file that is being closed lock its page", async (it) => {
  const gate = Promise.withResolvers<void>();
  const pool = await it.aio.openPool({
    pages: 16,
    pageSize: PAGE_BYTES,
    beforeWrite: async (page) => {
      await gate.promise;
      using _lock = await page.lock("shared");
    },
  });
  await change(pool, it.file, 3, 99);
  const closing = Promise.all([it.file.close(), pool.close()]);
  gate.resolve();
  await closing;
  assertEquals(await onDisk(it.path, 3), [99, 99]);
});

testEachMethod("aio.close() ends a page that is locked and changed as a death", async (method) => {
  await using dir = await tempDir();
  const path = dir.join("file");
  await Deno.writeFile(path, new Uint8Array(4 * PAGE_BYTES));
  const warnings: string[] = [];
  const aio = await openAio(method, { onWarning: (text) => warnings.push(text) });
  const file = await aio.openFile(path, { read: true, write: true });
  const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
  const memory = memoryOf(aio, pool);
  const stream = pool.readStream(file, { from: 2 });
  await stream.next();
  const page = await pool.read(file, 1);
  const lock = await page.lock("exclusive");
  page.bytes.fill(9);
  page.markDirty();
  const waiting = assertRejects(
    async () => {
      using again = await pool.read(file, 1);
      await again.lock("shared");
    },
    BadResource,
    "the pool is closed",
  );
  await aio.close();
  await waiting;
  assert(warnings.includes("aio.close() has torn 1 pages of a pool: they were locked"));
  assertEquals(await onDisk(path, 1), [0, 0]);
  const words = [...memory.words];
  lock.release();
  assertThrows(() => page.bytes, BadResource, "a page of a pool that is closed");
  assertThrows(() => page.tryLock("shared"), BadResource);
  page.release();
  await assertRejects(() => stream.next(), BadResource);
  stream[Symbol.dispose]();
  assertEquals([...memory.words], words);
});

testPool("stream.close() in its callback resolves when the read has no page pinned", async (it) => {
  const hook = new HeldHook();
  const { beforeWrite } = hook;
  const pool = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
  await change(pool, it.file, 0, 44);
  for (let block = 1; block < 16; block++) (await pool.read(it.file, block)).release();
  forgetUses(it.aio, pool);
  let closing = Promise.resolve();
  const events: string[] = [];
  const stream = pool.readStream(it.file, {
    next() {
      closing = stream.close().then(() => void events.push("closed"));
      return 20;
    },
  });
  const page = stream.next();
  await hook.begun;
  for (let turns = 0; turns < 20; turns++) await Promise.resolve();
  events.push("written");
  hook.end();
  assertEquals(await page, null);
  await closing;
  assertEquals(events, ["written", "closed"]);
  await pool.close();
});

testEachMethod(
  "pool.repair() that aio.close() takes the lock from mends nothing",
  async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await Deno.writeFile(path, new Uint8Array(4 * PAGE_BYTES));
    const warnings: string[] = [];
    const aio = await openAio(method, { onWarning: (text) => warnings.push(text) });
    const file = await aio.openFile(path, { read: true, write: true });
    const hook = new HeldHook();
    const { beforeWrite } = hook;
    const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
    const memory = memoryOf(aio, pool);
    (await pool.read(file, 1)).release();
    const stateAt = memory.at(bufferOf(pool, 1)) + BUFFER.state;
    Atomics.or(memory.words, stateAt, BUFFER_STATE.torn);
    // The pool is not left before that is over.
    await change(pool, file, 2, 88);
    const flushing = pool.flush();
    await hook.begun;
    const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const repairing = pool.repair(file, 1, () => {
      begun.resolve();
      return gate.promise;
    });
    await begun.promise;
    const closing = aio.close();
    await until(
      () => warnings.some((text) => text.includes("has torn 1 pages")),
      "the lock is gone",
    );
    gate.resolve();
    await assertRejects(
      () => repairing,
      BadResource,
      "Cannot change a page of a pool that is closed",
    );
    assert((memory.words[stateAt]! & BUFFER_STATE.torn) !== 0);
    hook.end();
    assertEquals(await flushing, 1);
    await closing;
  },
);

for (const mode of ["shared", "exclusive"] as const) {
  testPoolCase(`aio.close() in a thread with a page locked, ${mode}, leaves none`, async (it) => {
    // The file stays in use.
    (await it.pool.read(it.file, 2)).release();
    const other = await startThread(it);
    await other.ask({ what: "pin", block: 5 });
    await other.ask({ what: "lock", mode });
    await other.leave();
    assertEquals(leftIn(it.pool), []);
    if (mode === "shared") {
      using page = await it.pool.read(it.file, 5);
      using _lock = await page.lock("exclusive");
    } else {
      await assertRejects(() => it.pool.read(it.file, 5), Deno.errors.InvalidData, "invalidate()");
    }
    assertEquals(await it.pool.invalidate(it.file, 5), 1);
  });
}
