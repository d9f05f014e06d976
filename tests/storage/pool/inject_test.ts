/**
 * inject_test.ts: what the system makes of a pool's reads: it cuts them short at each place, and
 * fails them, as PostgreSQL's `test_inject` has it.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Aio } from "../../../mod.ts";
import {
  checkPage,
  leftIn,
  PAGE_BYTES,
  type PoolCase,
  testPoolCase,
} from "../../support/pool/pool_case.ts";
import { brokenDisk, cutTo, injecting } from "../../support/pool/pool_faults.ts";
import { INVALID } from "../fixtures/page_verifiers.ts";

const MODULE = new URL("../fixtures/page_verifiers.ts", import.meta.url);
const COUNT = 8;
const ERRORS: readonly (readonly [string, number])[] = [["EIO", 5], ["EROFS", 30], ["EINVAL", 22]];

/** Has no read give more bytes. */
function capped(aio: Aio, bytes: number): Disposable {
  return injecting(aio, (handle, result) => cutTo(handle, result, bytes));
}

/** Reads blocks in a row by as few calls as it takes, and checks them. @returns how many */
async function readRow({ pool, file }: PoolCase, block: number, count: number): Promise<number> {
  let calls = 0;
  for (let done = 0; done < count; calls++) {
    const pages = await pool.waitRead(await pool.startRead(file, block + done, count - done));
    for (const page of pages) {
      assertEquals(page.block, block + done++);
      checkPage(page);
      page.release();
    }
  }
  return calls;
}

/** The same from the last one on. */
async function readDown(it: PoolCase, blocks: readonly number[]): Promise<void> {
  let next = 0;
  for await (const page of it.pool.readStream(it.file, { next: () => blocks[next++] ?? null })) {
    checkPage(page);
  }
  assertEquals(next, blocks.length + 1);
}

testPoolCase("a read that is cut at each place of it goes on", async (it) => {
  for (let pages = 1; pages < COUNT; pages++) {
    for (
      const bytes of [pages * PAGE_BYTES, pages * PAGE_BYTES + 1, (pages + 1) * PAGE_BYTES - 1]
    ) {
      let calls = 0;
      using _point = injecting(
        it.aio,
        (handle, result) => calls++ === 0 ? cutTo(handle, result, bytes) : result,
      );
      assertEquals(await readRow(it, 3, COUNT), 1);
      assertEquals(calls, 2, `${bytes} bytes`);
      assertEquals(await it.pool.invalidate(it.file), COUNT);
    }
  }
});

testPoolCase("a read that is cut at each place again and again goes on", async (it) => {
  for (let pages = 1; pages < COUNT; pages++) {
    using _point = capped(it.aio, pages * PAGE_BYTES + 17);
    assertEquals(await readRow(it, 3, COUNT), 1);
    assertEquals(await it.pool.invalidate(it.file), COUNT);
  }
});

for (const pages of [1, 2, 3, 15]) {
  testPoolCase(`reads that give ${pages} pages at most give all blocks in the end`, async (it) => {
    using _point = capped(it.aio, pages * PAGE_BYTES);
    (await it.pool.read(it.file, 4)).release();
    await readRow(it, 0, 4);
    await readRow(it, 5, 4);
    await readRow(it, 0, 10);
    const up = Array.from({ length: it.blocks }, (_, block) => block);
    for (const blocks of [up, up.toReversed(), up.map((i) => i % 2 === 0 ? i : it.blocks - i)]) {
      await readDown(it, blocks);
      await it.pool.invalidate(it.file);
    }
  }, { pages: pages === 1 ? 16 : 64 });
}

testPoolCase("a read of one block that gives a page is not cut", async (it) => {
  using _point = capped(it.aio, PAGE_BYTES);
  assertEquals(await readRow(it, 2, 1), 1);
  assertEquals(it.pool.stats().reads, 1);
});

testPoolCase("a read that is cut shows the page that its verifier refuses", async (it) => {
  using _point = capped(it.aio, PAGE_BYTES);
  const error = await assertRejects(() => readRow(it, 0, 4), Deno.errors.InvalidData);
  assertEquals(error.message, `invalid page in block 1 of ${it.name}`);
  assertEquals(leftIn(it.pool), []);
  await readRow(it, 2, 4);
}, { wrong: { 1: INVALID }, verify: "firstByte", options: { callbackModules: [MODULE] } });

for (const [code, errno] of ERRORS) {
  testPoolCase(`a read that fails by ${code} fails again, and then no more`, async (it) => {
    {
      using _point = injecting(it.aio, () => -errno);
      for (const count of [1, 1, 4, 4]) {
        const error = await assertRejects(() => readRow(it, 2, count), Error);
        const what = `could not read blocks 2..${1 + count} in ${it.name}`;
        assert(error.message.startsWith(what), error.message);
        assertEquals(Reflect.get(error, "code"), code);
        assertEquals(leftIn(it.pool), []);
      }
      assertEquals(it.pool.tryRead(it.file, 2), null);
    }
    await readRow(it, 2, 4);
    assertEquals(it.warnings, []);
  });
}

testPoolCase("an error in the middle of a read leaves the pages before it there", async (it) => {
  for (let bad = 4; bad < 3 + COUNT; bad++) {
    using _disk = brokenDisk(it.aio, (block) => block === bad, 5);
    const what = `could not read blocks ${bad}..${2 + COUNT} in ${it.name}`;
    await assertRejects(() => readRow(it, 3, COUNT), Error, what);
    assertEquals(leftIn(it.pool), []);
    const { reads } = it.pool.stats();
    await readRow(it, 3, bad - 3);
    assertEquals(it.pool.stats().reads, reads);
    await it.pool.invalidate(it.file);
  }
});

testPoolCase("blocks around one that cannot be read can be read", async (it) => {
  using _disk = brokenDisk(it.aio, (block) => block === 10, 5);
  await readRow(it, 0, 10);
  await readRow(it, 11, 10);
  await assertRejects(() => it.pool.read(it.file, 10), Error, "could not read blocks 10..10");
  // A page that is there needs no disk.
  await readRow(it, 6, 4);
});
