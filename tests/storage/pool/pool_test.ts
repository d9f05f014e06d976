/**
 * pool_test.ts: pages of files in a pool: read, kept, changed, written back, given up.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf, layersOf } from "../../../core/inside.ts";
import { poolLayer } from "../../../storage/pool/pool_layer.ts";
import { POOL } from "../../../storage/pool/pool_memory.ts";
import { replace } from "../../support/bells/bells.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import {
  BLOCKS,
  change,
  memoryOf,
  onDisk,
  PAGE_BYTES,
  testPool,
} from "../../support/pool/pool_fixture.ts";
import { tempDir } from "../../support/temp.ts";

testPool("pool.read() gives the page of a block, more of them than the pool has", async (it) => {
  for (let round = 0; round < 2; round++) {
    for (let block = 0; block < BLOCKS; block++) {
      using page = await it.pool.read(it.file, block);
      assertEquals([page.block, page.bytes[0], page.bytes.at(-1)], [block, block + 1, block + 1]);
    }
  }
  const { reads, evictions } = it.pool.stats();
  assertEquals([reads, evictions], [2 * BLOCKS, 2 * BLOCKS - 16]);
});

testPool("pool.read() of a page that is there reads nothing", async (it) => {
  for (let round = 0; round < 3; round++) {
    for (let block = 0; block < 8; block++) (await it.pool.read(it.file, block)).release();
  }
  const { reads, hits } = it.pool.stats();
  assertEquals([reads, hits], [8, 16]);
});

testPool("pool.read() of one block by many tasks at once reads it once", async (it) => {
  const pages = await Promise.all(Array.from({ length: 20 }, () => it.pool.read(it.file, 3)));
  for (const page of pages) {
    assertEquals(page.bytes[0], 4);
    page.release();
  }
  const { reads, hits, joined } = it.pool.stats();
  assertEquals([reads, hits + joined], [1, 19]);
});

testPool("pool.readSync() gives the page of a block", async (it) => {
  for (let block = 0; block < BLOCKS; block++) {
    using page = it.pool.readSync(it.file, block);
    assertEquals(page.bytes[0], block + 1);
  }
  await Promise.resolve();
});

testPool("tasks that await pages that are there let timers in", async (it) => {
  const timer = Promise.withResolvers<void>();
  let isOver = false;
  setTimeout(() => {
    isOver = true;
    timer.resolve();
  });
  while (!isOver) (await it.pool.read(it.file, 0)).release();
  await timer.promise;
});

testPool("pool.tryRead() gives a page only if it is there", async (it) => {
  assertEquals(it.pool.tryRead(it.file, 5), null);
  (await it.pool.read(it.file, 5)).release();
  using page = it.pool.tryRead(it.file, 5);
  assertEquals(page!.bytes[0], 6);
});

testPool("pool.read() behind the end of the file names the block", async (it) => {
  const error = await assertRejects(
    () => it.pool.read(it.file, BLOCKS),
    Deno.errors.UnexpectedEof,
  );
  assertEquals(
    error.message,
    `could not read block ${BLOCKS} in file ${JSON.stringify(it.path)}: read only 0 of 4096 bytes`,
  );
  // Nothing is stuck, and nothing is pinned.
  await assertRejects(() => it.pool.read(it.file, BLOCKS), Deno.errors.UnexpectedEof);
  assertEquals(
    it.pool.pages().filter(({ io, pinningBackends }) => io !== null || pinningBackends.length > 0),
    [],
  );
});

testPool("pool.read() of zeroOnError behind the end gives zeros, and warns", async (it) => {
  using page = await it.pool.read(it.file, BLOCKS + 2, { mode: "zeroOnError" });
  assert(page.bytes.every((byte) => byte === 0));
  assertEquals(it.warnings.length, 1);
  assert(it.warnings[0]!.includes("zeroing out page"), it.warnings[0]);
});

testPool("pool.read() of mode zero reads nothing, and keeps what is there", async (it) => {
  const zero = { mode: "zero" } as const;
  {
    using page = await it.pool.read(it.file, 7, zero);
    assert(page.bytes.every((byte) => byte === 0));
    using _lock = await page.lock("exclusive");
    page.bytes.fill(99);
    page.markDirty();
  }
  {
    using page = it.pool.readSync(it.file, 7, zero);
    assertEquals(page.bytes[0], 99);
  }
  assertEquals(it.pool.stats().reads, 0);
  await it.pool.flush();
  assertEquals(await onDisk(it.path, 7), [99, 99]);
});

testPool("pool.startRead() refuses the mode zero, and pool.read() an unknown one", async (it) => {
  await assertRejects(
    () => it.pool.startRead(it.file, 0, 2, { mode: "zero" }),
    TypeError,
    "call pool.read() for each",
  );
  const wrong = { mode: "zeros" as "zero" };
  await assertRejects(() => it.pool.read(it.file, 0, wrong), TypeError, 'the mode "zeros"');
});

testPool("pool.stats() tells what each backend did", async (it) => {
  (await it.pool.read(it.file, 1)).release();
  (await it.pool.read(it.file, 1)).release();
  const { byBackend, ...sum } = it.pool.stats();
  assertEquals([sum.reads, sum.hits], [1, 1]);
  assertEquals(byBackend, [{ backendId: it.aio.backendId, ...sum }]);
});

testPool("pool.read() with all pages pinned by this thread says so", async (it) => {
  const pages = await Promise.all(
    Array.from({ length: 16 }, (_, block) => it.pool.read(it.file, block)),
  );
  const error = await assertRejects(() => it.pool.read(it.file, 16), Deno.errors.Busy);
  assertEquals(
    error.message,
    "Cannot read a page while all 16 pages of the pool are pinned by this thread: release some, " +
      'or give openPool() more "pages"',
  );
  for (const page of pages) page.release();
  (await it.pool.read(it.file, 16)).release();
});

testPool("pool.read() refuses what is no block", async (it) => {
  for (const block of [-1, 0.5, NaN, 2 ** 31]) {
    await assertRejects(() => it.pool.read(it.file, block), RangeError, "Cannot read block");
  }
});

testPool("a page that was released cannot be used", async (it) => {
  const page = await it.pool.read(it.file, 0);
  page.release();
  page.release();
  assertThrows(() => page.bytes, Deno.errors.BadResource, "a page that was released");
  await assertRejects(() => page.lock("shared"), Deno.errors.BadResource);
});

testPool("file.close() writes the file's changed pages back, and forgets them", async (it) => {
  await change(it.pool, it.file, 3, 77);
  await it.file.close();
  assertEquals(await onDisk(it.path, 3), [77, 77]);
  assertEquals(it.pool.pages().filter(({ path }) => path !== null), []);
  await assertRejects(() => it.pool.read(it.file, 3), Deno.errors.BadResource, "closed");
});

testPool("pool.close() writes changed pages back, and gives the memory back", async (it) => {
  await change(it.pool, it.file, 3, 78);
  await it.pool.close();
  assertEquals(await onDisk(it.path, 3), [78, 78]);
  await assertRejects(() => it.pool.read(it.file, 3), Deno.errors.BadResource, "closed");
  const again = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
  using page = await again.read(it.file, 3);
  assertEquals(page.bytes[0], 78);
});

testPool("pool.close() refuses while a page is pinned", async (it) => {
  const page = await it.pool.read(it.file, 3);
  const error = await assertRejects(() => it.pool.close(), Deno.errors.Busy);
  assertEquals(
    error.message,
    "Cannot close a pool of which this thread has 1 pages pinned: release them first",
  );
  page.release();
});

testEachMethod(
  "aio.close() leaves pools, warns of pages that are pinned, and writes",
  async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await Deno.writeFile(path, new Uint8Array(PAGE_BYTES));
    const warnings: string[] = [];
    const aio = await openAio(method, { onWarning: (text) => warnings.push(text) });
    const file = await aio.openFile(path, { read: true, write: true });
    const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
    await change(pool, file, 0, 9);
    await pool.read(file, 0);
    await aio.close();
    const left = "aio.close() has left a pool of which this thread had 1 pages pinned";
    assertEquals(warnings.filter((text) => text === left).length, 1);
    assertEquals(await onDisk(path, 0), [9, 9]);
  },
);

testPool("a file that is opened twice is one file", async (it) => {
  await using other = await it.aio.openFile(it.path, { read: true });
  await change(it.pool, it.file, 2, 55);
  using page = await it.pool.read(other, 2);
  assertEquals(page.bytes[0], 55);
  assertEquals(it.pool.stats().reads, 1);
});

testPool("page.markDirty() wants the exclusive lock", async (it) => {
  using page = await it.pool.read(it.file, 0);
  assertThrows(() => page.markDirty(), Deno.errors.Busy, 'await page.lock("exclusive") first');
  using _lock = page.lockSync("shared");
  assertThrows(() => page.markDirty(), Deno.errors.Busy);
});

testPool("page.lock() has tasks of one thread wait for each other", async (it) => {
  const steps: string[] = [];
  const task = async (name: string, mode: "shared" | "exclusive") => {
    using page = await it.pool.read(it.file, 0);
    using _lock = await page.lock(mode);
    steps.push(`${name} begins`);
    for (let i = 0; i < 5; i++) await Promise.resolve();
    steps.push(`${name} ends`);
  };
  await Promise.all([task("a", "exclusive"), task("b", "exclusive"), task("c", "exclusive")]);
  for (let i = 0; i < steps.length; i += 2) {
    assertEquals(steps[i + 1], steps[i]!.replace("begins", "ends"));
  }
});

testPool("page.tryLock() and page.lockSync() do not wait for a task of this thread", async (it) => {
  using page = await it.pool.read(it.file, 0);
  using lock = await page.lock("exclusive");
  assertEquals([page.tryLock("shared"), page.tryLock("exclusive")], [null, null]);
  assertThrows(() => page.lockSync("shared"), Deno.errors.Busy, "await lock() instead");
  lock.release();
  page.lockSync("shared").release();
});

testPool("pool.invalidate() forgets pages, changed ones too", async (it) => {
  for (let block = 0; block < 6; block++) await change(it.pool, it.file, block, 250);
  assertEquals(await it.pool.invalidate(it.file, 2), 1);
  using page = await it.pool.read(it.file, 2);
  assertEquals(page.bytes[0], 3);
  const error = await assertRejects(() => it.pool.invalidate(it.file), Deno.errors.Busy);
  assert(error.message.includes("block 2"), error.message);
});

testPool("pool.extend() makes the file longer by zeros", async (it) => {
  const more = await Promise.all([it.pool.extend(it.file, 3), it.pool.extend(it.file, 2)]);
  const blocks = more.flat().map(({ block }) => block);
  assertEquals(blocks.sort((a, b) => a - b), [40, 41, 42, 43, 44]);
  for (const page of more.flat()) {
    assert(page.bytes.every((byte) => byte === 0));
    page.release();
  }
  assertEquals(await it.file.size(), 45 * PAGE_BYTES);
});

testPool("a read that fails names the block, and the next one reads it", async (it) => {
  it.aio.attachInjectionPoint("aio-process-completion-before-shared", () => -5);
  for (let i = 0; i < 2; i++) {
    const error = await assertRejects(() => it.pool.read(it.file, 2), Error);
    assert(error.message.startsWith("could not read blocks 2..2 in file "), error.message);
    assertEquals((error as Error & { code: string }).code, "EIO");
  }
  it.aio.detachInjectionPoint("aio-process-completion-before-shared");
  using page = await it.pool.read(it.file, 2);
  assertEquals(page.bytes[0], 3);
});

testPool("a read that is cut short within the page is an error", async (it) => {
  it.aio.attachInjectionPoint("aio-process-completion-before-shared", () => 17);
  const error = await assertRejects(() => it.pool.read(it.file, 2), Deno.errors.UnexpectedEof);
  assert(error.message.endsWith("read only 17 of 4096 bytes"), error.message);
  it.aio.detachInjectionPoint("aio-process-completion-before-shared");
});

testEachMethod("aio.openPool() names the option where the arena is too small", async (method) => {
  await using aio = await openAio(method);
  const error = await assertRejects(() => aio.openPool({ pages: 1000 }), Deno.errors.Busy);
  assert(error.message.includes('raise the option "arenaBytes", now 1048576'), error.message);
  for (const pages of [0, 15, 1.5, 2 ** 24]) {
    await assertRejects(() => aio.openPool({ pages }), RangeError);
  }
  for (const pageSize of [0, 256, 5000, 2 ** 17]) {
    await assertRejects(() => aio.openPool({ pages: 16, pageSize }), RangeError);
  }
});

testPool(
  "attachPool() is refused in a thread that has the pool, and leaves it alone",
  async (it) => {
    const attach = () => it.aio.attachPool(it.pool.token);
    assertThrows(attach, Deno.errors.Busy, "this thread has already");
    (await it.pool.read(it.file, 0)).release();
    await it.pool.close();
    assertThrows(attach, Deno.errors.BadResource, "was closed");
  },
);

testPool("a pool that cannot be made leaves no room taken, and no user", async ({ aio }) => {
  const { arena, id } = backendOf(aio);
  const options = { pages: 16, pageSize: PAGE_BYTES };
  const free = arena.freeBytes;
  const isRefused = { construct: () => assert(false, "no memory left") };
  const refuseCode = () =>
    replace(WebAssembly, "Module", new Proxy(WebAssembly.Module, isRefused as never));
  {
    using _ = refuseCode();
    await assertRejects(() => aio.openPool(options), Error, "no memory left");
  }
  assertEquals(arena.freeBytes, free);
  const pool = await aio.openPool(options);
  const { words } = memoryOf(aio, pool);
  const other = 1 << (id + 1);
  Atomics.or(words, POOL.users, other);
  await pool.close();
  {
    using _ = refuseCode();
    assertThrows(() => aio.attachPool(pool.token), Error, "no memory left");
  }
  assertEquals(words[POOL.users], other);
  const again = aio.attachPool(pool.token);
  Atomics.and(words, POOL.users, ~other);
  await again.close();
  assertEquals(arena.freeBytes, free);
});

testPool("a pool that two threads close at a time is given back once", async ({ aio }) => {
  const backend = backendOf(aio);
  const { host: { runs } } = layersOf(backend).partsOf(poolLayer);
  const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
  const { words } = memoryOf(aio, pool);
  const other = 1 << (backend.id + 1);
  Atomics.or(words, POOL.users, other);
  let givenBack = 0;
  {
    using _count = replace(runs, "giveBack", () => ++givenBack > 0);
    // The other one is the last, right after this one.
    const and = Atomics.and;
    using _close = replace(Atomics, "and", (array, index, value) => {
      const before = Reflect.apply(and, Atomics, [array, index, value]);
      const isUsers = array.byteOffset === words.byteOffset && index === POOL.users;
      if (isUsers) Reflect.apply(and, Atomics, [array, index, ~other]);
      return before;
    });
    await pool.close();
  }
  assertEquals([words[POOL.users], givenBack], [0, 0]);
  assert(runs.giveBack({ offset: pool.token.offset, bytes: 0 }));
});
