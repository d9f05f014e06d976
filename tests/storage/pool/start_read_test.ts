/**
 * start_read_test.ts: `pool.startRead()` and `pool.waitRead()`, as PostgreSQL's `StartReadBuffers`
 * and `WaitReadBuffers`: one IO for blocks in a row, as far as none of them is there.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import type { Aio, AioFile, PagePool, PagesRead } from "../../../mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";

const PAGE_BYTES = 4096;
const BLOCKS = 24;
const HOOK = "aio-process-completion-before-shared";

/** What a test gets. */
interface Fixture {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly pool: PagePool;
}

/** Registers a test with a file whose blocks are filled with their numbers. */
function testReads(
  name: string,
  fn: (fixture: Fixture, method: string) => Promise<void>,
): void {
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    const content = new Uint8Array(BLOCKS * PAGE_BYTES);
    for (let block = 0; block < BLOCKS; block++) {
      content.fill(block, block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
    }
    await Deno.writeFile(dir.join("file"), content);
    await using aio = await openAio(method);
    await using file = await aio.openFile(dir.join("file"));
    const pool = await aio.openPool({ pages: 32, pageSize: PAGE_BYTES });
    await fn({ aio, file, pool }, method);
    await pool.close();
  });
}

/** Where a read begins, how long it is, whether it is to be waited for, and what it gives. */
async function end(pool: PagePool, read: PagesRead): Promise<unknown[]> {
  const pages = await pool.waitRead(read);
  const bytes = pages.map((page) => page.bytes[0]);
  for (const page of pages) page.release();
  return [read.block, read.count, read.isToWait, bytes];
}

testReads("pool.startRead() reads blocks in a row by one IO", async ({ pool, file }) => {
  assertEquals(await end(pool, await pool.startRead(file, 3, 4)), [3, 4, true, [3, 4, 5, 6]]);
  assertEquals([pool.stats().reads, pool.stats().blocksRead], [1, 4]);
});

testReads("pool.startRead() of a page that is there is that page alone", async ({ pool, file }) => {
  (await pool.read(file, 3)).release();
  assertEquals(await end(pool, await pool.startRead(file, 3, 4)), [3, 1, false, [3]]);
});

testReads("pool.startRead() ends before a page that is there", async ({ pool, file }) => {
  (await pool.read(file, 5)).release();
  assertEquals(await end(pool, await pool.startRead(file, 3, 4)), [3, 2, true, [3, 4]]);
  assertEquals(await end(pool, await pool.startRead(file, 5, 2)), [5, 1, false, [5]]);
  assertEquals(await end(pool, await pool.startRead(file, 6, 1)), [6, 1, true, [6]]);
});

testReads("a read of the same blocks is joined, and reads nothing", async (it, method) => {
  const { pool, file } = it;
  const first = await pool.startRead(file, 3, 2);
  const second = await pool.startRead(file, 3, 2);
  // With the method sync nothing has begun before somebody waits, so that nothing ends the second.
  const blocks = method === "sync" ? [3, 4] : [3];
  assertEquals(second.count, blocks.length);
  const [one, two] = await Promise.all([end(pool, first), end(pool, second)]);
  assertEquals([one![3], two![3]], [[3, 4], blocks]);
  assertEquals(pool.stats().blocksRead, 2);
});

testReads("a joined read that fails is read by the one that joined it", async (it) => {
  const { aio, pool, file } = it;
  let calls = 0;
  aio.attachInjectionPoint(HOOK, (_handle, result) => calls++ === 0 ? -5 : result);
  const first = await pool.startRead(file, 3, 1);
  const second = await pool.startRead(file, 3, 1);
  const failed = assertRejects(() => pool.waitRead(first), Error, "could not read blocks 3..3");
  assertEquals((await end(pool, second))[3], [3]);
  await failed;
  aio.detachInjectionPoint(HOOK);
});

testReads("a read that is cut short at a page is gone on with", async ({ aio, pool, file }) => {
  for (const pages of [1, 2, 3]) {
    let calls = 0;
    aio.attachInjectionPoint(
      HOOK,
      (_handle, result) => calls++ === 0 ? pages * PAGE_BYTES : result,
    );
    assertEquals((await end(pool, await pool.startRead(file, 3, 4)))[3], [3, 4, 5, 6]);
    assertEquals(calls, 2);
    aio.detachInjectionPoint(HOOK);
    await pool.invalidate(file);
  }
});

testReads("a read that is cut short within a page goes on from that page", async (it) => {
  const { aio, pool, file } = it;
  let calls = 0;
  aio.attachInjectionPoint(HOOK, (_handle, result) => calls++ === 0 ? PAGE_BYTES + 17 : result);
  assertEquals((await end(pool, await pool.startRead(file, 3, 4)))[3], [3, 4, 5, 6]);
  aio.detachInjectionPoint(HOOK);
});

testReads("the end of the file within a read names the first block behind it", async (it) => {
  const read = await it.pool.startRead(it.file, BLOCKS - 2, 4);
  const error = await assertRejects(() => it.pool.waitRead(read), Deno.errors.UnexpectedEof);
  assertEquals(error.message.startsWith(`could not read block ${BLOCKS} in file `), true);
  // Those before it were read, and are there.
  assertEquals(it.pool.tryRead(it.file, BLOCKS - 1)?.[Symbol.dispose](), undefined);
  assertEquals(await end(it.pool, await it.pool.startRead(it.file, 22, 2)), [22, 1, false, [22]]);
});

testReads("a read that is given up pins nothing, and ends by itself", async ({ pool, file }) => {
  {
    using _read = await pool.startRead(file, 3, 4);
  }
  assertEquals(pool.pages().filter(({ pinningBackends }) => pinningBackends.length > 0), []);
  assertEquals((await end(pool, await pool.startRead(file, 5, 1)))[3], [5]);
});

testReads("pool.startRead() refuses more blocks than one IO has", async ({ pool, file }) => {
  for (const count of [0, 17, 1.5]) {
    await assertRejects(() => pool.startRead(file, 0, count), RangeError, '"ioCombineLimit"');
  }
});

testReads("pool.waitRead() of one read twice is refused", async ({ pool, file }) => {
  const read = await pool.startRead(file, 0, 1);
  await end(pool, read);
  await assertRejects(() => pool.waitRead(read), TypeError, "twice");
});
