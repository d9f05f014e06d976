/**
 * page_store_test.ts: examples/page_store.ts: what it shows as a program, and that what was
 * committed is there after the end of any of its Workers, and after a kill of the whole program;
 * page_store_long_test.ts has more of the last.
 *
 * @module
 */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { placeOf, ROW_BYTES } from "../../examples/page_store/rows.ts";
import { PageStore } from "../../examples/page_store.ts";
import { describeSeed, Prng, testSeed } from "../support/prng.ts";
import { tempDir } from "../support/temp.ts";
import { runFreely } from "./example_run.ts";
import { checkRows, startWorkers, testKilled, WORKERS } from "./page_store_run.ts";

const ROWS = 500;

Deno.test("page_store.ts has four Workers fill a store, and finds all rows again", async () => {
  await using dir = await tempDir();
  const { code, stdout, stderr } = await runFreely("page_store.ts", [dir.join("store")]);
  assertMatch(
    stdout,
    /^20000 rows by 4 Workers, committed, in \d+\.\d s\nAll of them are there\n$/,
  );
  assertEquals([stderr, code], ["", 0]);
});

Deno.test("PageStore.get() is null where nothing was put so far up", async () => {
  await using dir = await tempDir();
  await using store = await PageStore.open(dir.join("store"));
  assertEquals(await store.get(1), null);
  await store.put(1000, new Uint8Array(ROW_BYTES).fill(7));
  assertEquals([(await store.get(1000))?.[0], (await store.get(1))?.[0]], [7, 0]);
});

Deno.test("PageStore refuses a page that does not have its checksum", async () => {
  await using dir = await tempDir();
  const path = dir.join("store");
  {
    await using store = await PageStore.open(path);
    for (const id of [1, 1000]) await store.put(id, new Uint8Array(ROW_BYTES).fill(id));
  }
  // It is in the log no more once the next opening has brought that in.
  {
    await using _store = await PageStore.open(path);
  }
  using file = await Deno.open(path, { write: true });
  await file.seek(placeOf(1).at, Deno.SeekMode.Start);
  await file.write(new Uint8Array([99]));
  await using store = await PageStore.open(path);
  await assertRejects(() => store.get(1), Deno.errors.InvalidData, "block 0");
  assertEquals((await store.get(1000))?.[0], 1000 % 256);
});

Deno.test("PageStore keeps what is committed when Workers are terminated", async () => {
  await using dir = await tempDir();
  const seed = testSeed();
  const random = new Prng(seed);
  const path = dir.join("store");
  const committed = new Array<number>(WORKERS).fill(0);
  {
    await using store = await PageStore.open(path);
    const fatal = random.between(1, 2 * ROWS / 100);
    let messages = 0;
    const workers = startWorkers(store.token, ROWS, (first, rows) => {
      committed[first] = rows;
      if (++messages === fatal) {
        for (const { worker } of workers.slice(0, 2)) worker.terminate();
      }
    });
    await Promise.all(workers.slice(2).map(({ done }) => done));
    assertEquals(committed.slice(2), [ROWS, ROWS]);
    await checkRows(store, committed, ROWS, describeSeed(seed));
  }
  await using store = await PageStore.open(path);
  await checkRows(store, committed, ROWS, describeSeed(seed));
});

testKilled(1, 500);
