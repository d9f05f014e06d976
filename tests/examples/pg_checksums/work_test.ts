/**
 * work_test.ts: {@linkcode Work} hands each file and each block out once, and nothing behind a
 * failure.
 *
 * @module
 */

import { assert, assertEquals, assertFalse } from "@std/assert";
import { Work } from "../../../examples/pg_checksums/work.ts";

const FILES = 100;
const BLOCKS = 5000;

/** Takes until nothing is left. */
function takeAll(take: () => { from: number; until: number }): number[] {
  const taken: number[] = [];
  for (;;) {
    const { from, until } = take();
    if (from === until) return taken;
    for (let item = from; item < until; item++) taken.push(item);
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

Deno.test("Work.takeFiles() hands each file out once, to whichever thread", () => {
  const work = new Work(FILES);
  const threads = [work, new Work(FILES, work.memory)];
  let turn = 0;
  assertEquals(takeAll(() => threads[turn++ % 2]!.takeFiles()), upTo(FILES));
  for (const thread of threads) assertEquals(takeAll(() => thread.takeFiles()), []);
});

Deno.test("Work.takeBlocks() hands each block of a file out once that is offered", () => {
  const work = new Work(FILES);
  const threads = [work, new Work(FILES, work.memory)];
  let turn = 0;
  assertFalse(work.hasBlocks(7));
  work.offerBlocks(7, BLOCKS);
  for (const thread of threads) assert(thread.hasBlocks(7));
  assertEquals(takeAll(() => threads[turn++ % 2]!.takeBlocks(7)), upTo(BLOCKS));
  threads[1]!.offerBlocks(7, BLOCKS);
  for (const thread of threads) assertFalse(thread.hasBlocks(7));
  work.offerBlocks(8, 3);
  assertEquals(takeAll(() => work.takeBlocks(8)), upTo(3));
  assertEquals(takeAll(() => work.takeBlocks(9)), []);
});

Deno.test("Work.stopBehind() ends a file and those behind it, and keeps the first", () => {
  const work = new Work(FILES);
  for (let file = 0; file < FILES; file++) work.offerBlocks(file, BLOCKS);
  work.stopBehind(50);
  work.stopBehind(60);
  assertEquals([49, 50, 51].map((file) => work.isStopped(file)), [false, false, true]);
  assertEquals(work.takeBlocks(49).from, 0);
  assertEquals(takeAll(() => work.takeBlocks(50)), []);
  assertEquals(takeAll(() => work.takeBlocks(51)), []);
  // Whoever waits for blocks to take would look again and again.
  assertEquals([49, 50, 51].map((file) => work.hasBlocks(file)), [true, false, false]);
  work.stopBehind(-1);
  assertEquals(takeAll(() => work.takeBlocks(0)), []);
  assert(work.isStopped(0));
});

Deno.test("Work.newsAfter() resolves when blocks are offered, and when no more will be", async () => {
  const work = new Work(3);
  const other = new Work(3, work.memory);
  // As other threads do, it keeps the event loop alive.
  const alive = setInterval(() => {}, 1000);
  const changes = [
    () => work.offerBlocks(1, BLOCKS),
    () => {
      work.settle(1);
      other.settle(2);
    },
  ];
  for (const change of changes) {
    assertFalse(other.isAllKnown);
    const news = other.newsAfter(other.news);
    change();
    await news;
  }
  assert(work.isAllKnown);
  clearInterval(alive);
});
