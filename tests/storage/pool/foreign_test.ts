/**
 * foreign_test.ts: reads that one thread of a pool has begun and another one needs, as PostgreSQL's
 * `test_complete_foreign` and `test_zero` have them: the thread that began a read may stand still,
 * leave, die or meet a page that is wrong.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio } from "../../../mod.ts";
import { until } from "../../support/patience.ts";
import { PoolThreadAsked, sharePoolThread } from "../../support/pool/pool_asked.ts";
import {
  byteOf,
  checkPage,
  leftIn,
  PAGE_BYTES,
  type PoolCase,
  type PoolNeeds,
  testPoolCase,
} from "../../support/pool/pool_case.ts";
import { BAD_CHECKSUM, INVALID } from "../fixtures/page_verifiers.ts";

const MODULE = new URL("../fixtures/page_verifiers.ts", import.meta.url);
const startThread = sharePoolThread();

/** What a test needs whose file has pages that the verifier refuses. */
function withWrong(wrong: Readonly<Record<number, number>>): PoolNeeds {
  return { wrong, verify: "firstByte", options: { callbackModules: [MODULE] } };
}

/** The page of a block, awaited or blocked for. */
async function readAs(it: PoolCase, block: number, isBlocking: boolean): Promise<number> {
  using page = isBlocking ? it.pool.readSync(it.file, block) : await it.pool.read(it.file, block);
  checkPage(page);
  return page.block;
}

/** Resolves when each thread that died is out of the pool. */
async function untilReaped({ aio }: PoolCase): Promise<void> {
  await until(() => {
    backendOf(aio).reapDead();
    return aio.backends().length === 1;
  }, "the dead thread is taken over from");
}

testPoolCase("a thread uses the pool by a token that other threads have passed on", async (it) => {
  // Each makes objects of its own of the memory.
  const token = structuredClone(structuredClone(it.aio.token));
  await using other = await startThread({ ...it, aio: { token } as Aio });
  assertEquals(await readAs(it, 3, false), 3);
  assertEquals(await other.ask({ what: "pin", block: 3 }), byteOf(3));
  // It is the same page, and its pin is seen here.
  const pinned = it.pool.pages().filter(({ pinningBackends }) => pinningBackends.length > 0);
  assertEquals(pinned.map(({ block, pinningBackends }) => [block, pinningBackends]), [[3, [1]]]);
  await other.ask({ what: "unpin" });
});

for (const isBlocking of [false, true]) {
  const how = isBlocking ? "blocks" : "awaits";

  testPoolCase(
    `a thread that ${how} gets pages that a thread reads that stands still`,
    async (it) => {
      await using other = await startThread(it);
      const begun = await other.ask({ what: "start", block: 1, count: 4 });
      assertEquals(begun, [1, 4, true]);
      const goOn = await other.stop();
      for (let block = 1; block < 5; block++) {
        assertEquals(await readAs(it, block, isBlocking), block);
      }
      await goOn();
      assertEquals(await other.ask({ what: "wait" }), [1, 2, 3, 4].map(byteOf));
      assertEquals(await other.ask({ what: "warnings" }), []);
    },
  );

  testPoolCase(`a thread that ${how} gets pages that a thread reads that leaves`, async (it) => {
    {
      await using other = await startThread(it);
      await other.ask({ what: "start", block: 1, count: 2 });
      await other.ask({ what: "giveUp" });
    }
    assertEquals(await readAs(it, 1, isBlocking), 1);
    assertEquals(await readAs(it, 2, isBlocking), 2);
  });

  testPoolCase(`a thread that ${how} gets pages that a thread reads that dies`, async (it) => {
    const other = await PoolThreadAsked.start(it);
    await other.ask({ what: "pin", block: 7 });
    await other.ask({ what: "start", block: 1, count: 4 });
    other.die();
    for (let block = 1; block < 5; block++) {
      assertEquals(await readAs(it, block, isBlocking), block);
    }
    await untilReaped(it);
    assertEquals(leftIn(it.pool), []);
    assertEquals(await it.pool.invalidate(it.file), 5);
  });
}

testPoolCase("a page that both threads find invalid is an error of both", async (it) => {
  await using other = await startThread(it);
  await other.ask({ what: "start", block: 1, count: 1 });
  const goOn = await other.stop();
  const what = `invalid page in block 1 of ${it.name}`;
  const error = await assertRejects(() => it.pool.read(it.file, 1), Deno.errors.InvalidData);
  assertEquals(error.message, what);
  await goOn();
  await assertRejects(() => other.ask({ what: "wait" }), Error, what);
  assertEquals([it.warnings, await other.ask({ what: "warnings" })], [[], []]);
}, withWrong({ 1: INVALID }));

testPoolCase(
  "a page is zeroed for the thread that wants it so, which alone is warned",
  async (it) => {
    await using other = await startThread(it);
    await other.ask({ what: "start", block: 1, count: 1, options: { mode: "zeroOnError" } });
    if (it.aio.method === "sync") {
      // Nothing was begun: whoever reads first reads by its own options.
      await assertRejects(() => it.pool.read(it.file, 1), Deno.errors.InvalidData);
    } else {
      const goOn = await other.stop();
      using page = await it.pool.read(it.file, 1);
      assert(page.bytes.every((byte) => byte === 0));
      await goOn();
    }
    assertEquals(await other.ask({ what: "wait" }), [0]);
    const warning = `invalid page in block 1 of ${it.name}; zeroing out page`;
    assertEquals([it.warnings, await other.ask({ what: "warnings" })], [[], [warning]]);
  },
  withWrong({ 1: INVALID }),
);

testPoolCase(
  "a wrong checksum is ignored for the thread that wants it so, and warned of once",
  async (
    it,
  ) => {
    await using other = await startThread(it);
    const options = { ignoreChecksums: true } as const;
    await other.ask({ what: "start", block: 1, count: 3, options });
    if (it.aio.method === "sync") {
      await assertRejects(() => it.pool.read(it.file, 2), Deno.errors.InvalidData);
    } else {
      const goOn = await other.stop();
      using page = await it.pool.read(it.file, 2);
      assertEquals(page.bytes[0], BAD_CHECKSUM);
      await goOn();
    }
    assertEquals(await other.ask({ what: "wait" }), [byteOf(1), BAD_CHECKSUM, byteOf(3)]);
    const warning = `ignoring checksum failure in block 2 of ${it.name}`;
    assertEquals([it.warnings, await other.ask({ what: "warnings" })], [[], [warning]]);
  },
  withWrong({ 2: BAD_CHECKSUM }),
);

testPoolCase("a thread warns once a read, not once a page or a thread that joins", async (it) => {
  await using other = await startThread(it);
  const options = { mode: "zeroOnError", ignoreChecksums: true } as const;
  await other.ask({ what: "start", block: 1, count: 5, options });
  const bytes = await other.ask({ what: "wait" });
  assertEquals(bytes, [0, BAD_CHECKSUM, 0, 0, byteOf(5)]);
  using page = await it.pool.read(it.file, 3);
  assertEquals(page.bytes[0], 0);
  const what = "zeroing 3 page(s) and ignoring 1 checksum failure(s) among blocks 1..5";
  assertEquals(
    [it.warnings, await other.ask({ what: "warnings" })],
    [[], [`${what} of ${it.name}`]],
  );
}, withWrong({ 1: INVALID, 2: BAD_CHECKSUM, 3: INVALID, 4: INVALID }));

testPoolCase("pool.invalidate() waits until another thread releases the page", async (it) => {
  await using other = await startThread(it);
  await other.ask({ what: "pin", block: 3 });
  let isOver = false;
  const invalidated = it.pool.invalidate(it.file, 3).then((count) => {
    isOver = true;
    return count;
  });
  // The other thread answers as often as one likes meanwhile.
  for (let i = 0; i < 3; i++) await other.ask({ what: "read", block: 4 + i });
  assertEquals(isOver, false);
  await other.ask({ what: "unpin" });
  assertEquals(await invalidated, 1);
  assertEquals(it.pool.tryRead(it.file, 3), null);
});

testPoolCase("pool.invalidate() of a block while another thread begins to read it", async (it) => {
  await using other = await startThread(it);
  for (let i = 0; i < 5; i++) {
    await other.ask({ what: "start", block: 1, count: 4 });
    const invalidated = it.pool.invalidate(it.file);
    assertEquals(await other.ask({ what: "wait" }), [1, 2, 3, 4].map(byteOf));
    assertEquals(await invalidated, 4);
  }
});

testPoolCase("file.close() while pages of it are read that nobody waits for", async (it) => {
  (await it.pool.startRead(it.file, 1, 4))[Symbol.dispose]();
  const stream = it.pool.readStream(it.file, { full: true });
  checkPage((await stream.next())!);
  await it.file.close();
  await Deno.remove(it.path);
  assertEquals(it.pool.pages().filter(({ path }) => path !== null), []);
  await assertRejects(() => stream.next(), Deno.errors.BadResource);
});

testPoolCase("file.close() in one thread while another one reads pages", async (it) => {
  await using other = await startThread(it);
  await other.ask({ what: "start", block: 1, count: 4 });
  await it.file.close();
  await Deno.remove(it.path);
  assertEquals(await other.ask({ what: "wait" }), [1, 2, 3, 4].map(byteOf));
  assertEquals(await other.ask({ what: "read", block: 20 }), byteOf(20));
});

testPoolCase("pool.extend() makes the file longer once its pages are pinned", async (it) => {
  await using other = await startThread(it);
  await other.ask({ what: "pin", block: 0 });
  const reading = Array.from({ length: 15 }, (_, i) => it.pool.read(it.file, 1 + i));
  const pages = await Promise.all(reading);
  const extending = it.pool.extend(it.file, 1);
  await until(() => it.pool.stats().waits > 0, "it waits for a page");
  // Somebody could read the new block, change it and see it written back before it is zeroed.
  assertEquals(await it.file.size(), it.blocks * PAGE_BYTES);
  for (const page of pages) page.release();
  const [page] = await extending;
  assertEquals([page!.block, page!.bytes[0]], [it.blocks, 0]);
  page!.release();
  assertEquals(await it.file.size(), (it.blocks + 1) * PAGE_BYTES);
  await other.ask({ what: "unpin" });
}, { pages: 16 });

testPoolCase(
  "a thread writes through any opening of a file that is there, once the last one is gone",
  async (it) => {
    (await it.pool.read(it.file, 0)).release();
    {
      await using last = await startThread(it);
      await last.ask({ what: "open", path: it.path });
      await last.ask({ what: "read", block: 0 });
    }
    const path = it.path + "2";
    await Deno.copyFile(it.path, path);
    await using file = await it.aio.openFile(path, { read: true });
    await using third = await startThread({ ...it, file });
    for (let block = 0; block < 16; block++) {
      using page = await it.pool.read(it.file, block);
      using _lock = await page.lock("exclusive");
      page.bytes.fill(200);
      page.markDirty();
    }
    for (let block = 0; block < 16; block++) {
      assertEquals(await third.ask({ what: "read", block }), byteOf(block));
    }
    assert(it.pool.pages().filter(({ isDirty }) => isDirty).length < 16);
    await it.pool.flush();
    const bytes = await Deno.readFile(it.path);
    assert(bytes.subarray(0, 16 * PAGE_BYTES).every((byte) => byte === 200));
  },
  { pages: 16 },
);
