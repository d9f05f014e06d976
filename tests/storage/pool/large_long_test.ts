/**
 * large_long_test.ts: a pool of 2 GiB uses all of its pages, the last ones as well as the first, on
 * one method a run.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { AioFile, PagePool } from "../../../mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";
import { DrawnMethods } from "../../support/turns.ts";

const PAGE_BYTES = 8192;
const POOL_BYTES = 2 ** 31;
const PAGES = POOL_BYTES / PAGE_BYTES;
/** Beside the pages: descriptors and what else there is. */
const ARENA_BYTES = POOL_BYTES + 128 * 1024 * 1024;
/** Blocks of the file: more than the pool has pages. */
const BLOCKS = PAGES + 64;
/** The pool, the file's holes in the page cache, and room for all else. */
const isPossible = Deno.systemMemoryInfo().available > 6 * 2 ** 30;

/** Blocks that have something in them; the file is a hole elsewhere. */
const MARKED = [0, 1, 2, PAGES / 2, PAGES / 2 + 1, PAGES - 2, PAGES - 1, PAGES, BLOCKS - 1];

/** What a block's first and last words are. */
function wordOf(block: number): number {
  return MARKED.includes(block) ? block + 1 : 0;
}

async function writeFile(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  await file.truncate(BLOCKS * PAGE_BYTES);
  for (const block of MARKED) {
    const words = new Int32Array(PAGE_BYTES / 4);
    words[0] = words[words.length - 1] = wordOf(block);
    await file.seek(block * PAGE_BYTES, Deno.SeekMode.Start);
    await file.write(new Uint8Array(words.buffer));
  }
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

function check({ block, bytes }: { block: number; bytes: Uint8Array }): void {
  const words = wordsOf(bytes);
  if (words[0] === wordOf(block) && words.at(-1) === wordOf(block)) return;
  throw new Error(`Block ${block} says ${words[0]} and ${words.at(-1)}`);
}

/** Changes what is in a block now. */
async function change(pool: PagePool, file: AioFile, block: number, word: number): Promise<void> {
  using page = pool.tryRead(file, block)!;
  using _lock = await page.lock("exclusive");
  wordsOf(page.bytes).fill(word);
  page.markDirty();
}

testEachMethod(
  "a pool of 2 GiB uses all of its pages",
  async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await writeFile(path);
    await using aio = await openAio(method, { arenaBytes: ARENA_BYTES });
    await using file = await aio.openFile(path, { read: true, write: true });
    const pool = await aio.openPool({ pages: PAGES, pageSize: PAGE_BYTES });
    let next = 0;
    for await (const page of pool.readStream(file, { until: PAGES })) {
      assertEquals(page.block, next++);
      check(page);
    }
    assertEquals([next, pool.stats().evictions], [PAGES, 0]);
    // Nothing is read again, and each page is where it was put.
    const { reads } = pool.stats();
    for (let block = 0; block < PAGES; block++) {
      const page = pool.tryRead(file, block);
      assert(page !== null, `block ${block} is there`);
      check(page);
      page.release();
    }
    assertEquals(pool.stats().reads, reads);
    const rows = pool.pages();
    const ends = [0, 1, PAGES - 2, PAGES - 1].map((buffer) => rows[buffer]!.block!);
    for (const block of ends) await change(pool, file, block, -7 - block);
    assertEquals(await pool.flush(), ends.length);
    // Others take their places, the changed ones too.
    await pool.invalidate(file, ends[0]);
    await pool.invalidate(file, ends[3]);
    for (let block = PAGES; block < BLOCKS; block++) {
      using page = await pool.read(file, block);
      check(page);
    }
    for (const block of ends) {
      using page = await pool.read(file, block);
      assert(wordsOf(page.bytes).every((word) => word === -7 - block), `block ${block}`);
    }
    await pool.close();
  },
  isPossible,
  new DrawnMethods(1),
);
