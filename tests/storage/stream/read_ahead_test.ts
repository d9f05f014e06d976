/**
 * read_ahead_test.ts: the algorithm of read streams by its numbers: how both distances grow and
 * shrink, what is started when, and what pause, resume and reset do.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { runStepsSync } from "../../../core/inside.ts";
import type { ReadAheadOptions } from "../../../storage/stream/look_ahead.ts";
import { NO_BUFFER } from "../../../storage/stream/page_source.ts";
import { ReadAhead } from "../../../storage/stream/read_ahead.ts";
import type { StreamState } from "../../../storage/stream/stream_state.ts";
import { MadeUpSource, type SourceTraits } from "../../support/streams/made_up_source.ts";

interface Stream {
  readonly source: MadeUpSource;
  readonly reads: ReadAhead<number>;
  /** The next block; null at the end. */
  take(): number | null;
  /** Some fields of the state. */
  see<K extends keyof StreamState>(...names: K[]): StreamState[K][];
  /** What the source was called for since the last look. */
  seen(): string[];
}

function open(options: Partial<ReadAheadOptions> = {}, traits: SourceTraits = {}): Stream {
  const source = new MadeUpSource(traits);
  let next = 0;
  const reads = new ReadAhead(source, {
    maxIos: 16,
    ioCombineLimit: 16,
    sequential: false,
    full: false,
    batching: false,
    next: () => next++,
    makeData: null,
    ...options,
  });
  const take = () => {
    if (reads.run(true) !== 0) runStepsSync(reads.steps(true));
    if (reads.buffer === NO_BUFFER) return null;
    const block = source.pageOf(reads.buffer);
    source.release(reads.buffer);
    return block;
  };
  return {
    source,
    reads,
    take,
    see(...names) {
      const state = reads.inspect();
      return names.map((name) => state[name]);
    },
    seen: () => source.events.splice(0),
  };
}

/** A callback that gives blocks of a list. */
function list(blocks: readonly number[]): { next(): number | null } {
  let i = 0;
  return { next: () => blocks[i++] ?? null };
}

const upTo = (from: number, until: number) =>
  Array.from({ length: until - from }, (_, i) => from + i);

Deno.test("ReadAhead begins with the numbers of PostgreSQL", () => {
  const { see } = open();
  assertEquals(see("maxIos", "maxPinnedBuffers", "queueSize", "readaheadDistance"), [
    16,
    272,
    273,
    1,
  ]);
  const full = open({ full: true });
  assertEquals(full.see("readaheadDistance", "combineDistance", "resumeCombineDistance"), [
    16,
    16,
    16,
  ]);
  assertEquals(open({ maxIos: 0 }).see("maxIos", "maxPinnedBuffers", "readBuffersFlags"), [
    1,
    16,
    8,
  ]);
  assertEquals(open({ maxIos: 1000, ioCombineLimit: 128 }, { pinLimit: 1e6 }).see("queueSize"), [
    32_767 - 127,
  ]);
  assertEquals(open({ full: true }, { pinLimit: 5 }).see("queueSize", "combineDistance"), [6, 5]);
  assertEquals(open({}, { pinLimit: 0 }).see("maxPinnedBuffers"), [1]);
});

Deno.test("ReadAhead doubles both distances while the consumer has to wait", () => {
  const { take, see, seen } = open();
  assertEquals(take(), 0);
  assertEquals(see("readaheadDistance", "combineDistance"), [2, 2]);
  assertEquals(seen(), ["start 0+1", "wait 0", "start 1+2"]);
  assertEquals(take(), 1);
  assertEquals(see("readaheadDistance", "combineDistance", "pinnedBuffers"), [4, 4, 1]);
  assertEquals(seen(), ["wait 1"], "a read of four is pending, and not large enough yet");
  assertEquals(see("pendingReadBlocknum", "pendingReadNblocks"), [3, 3]);
  assertEquals(take(), 2);
  assertEquals(seen(), ["start 3+4"]);
  const distances: [number, number][] = [];
  for (let block = 3; block < 200; block++) {
    assertEquals(take(), block);
    const [readahead, combine] = see("readaheadDistance", "combineDistance") as [number, number];
    if (distances.at(-1)?.[0] !== readahead) distances.push([readahead, combine]);
  }
  assertEquals(distances, [[8, 8], [16, 16], [32, 16], [64, 16], [128, 16], [256, 16], [272, 16]]);
  assert(seen().slice(3).every((event) => /^wait|\+16$|\+8$/.test(event)));
});

Deno.test("ReadAhead grows reads, but reads nothing ahead, while nobody has to wait", () => {
  const { take, see, seen } = open({}, { isLate: () => false });
  for (let block = 0; block < 63; block++) {
    assertEquals(take(), block);
    assertEquals(see("readaheadDistance"), [1]);
    assert(see("iosInProgress")[0]! <= 1);
  }
  assertEquals(see("combineDistance"), [16]);
  assertEquals(seen().filter((event) => event.startsWith("start")), [
    "start 0+1",
    "start 1+2",
    "start 3+4",
    "start 7+8",
    "start 15+16",
    "start 31+16",
    "start 47+16",
    "start 63+16",
  ]);
});

Deno.test("ReadAhead forgets its distances only after as many hits as may be pinned", () => {
  const { take, see, source } = open({ maxIos: 1, ioCombineLimit: 4 }, {
    isCached: (block) => block >= 16,
  });
  for (let block = 0; block < 16; block++) assertEquals(take(), block);
  assertEquals(see("iosInProgress"), [0]);
  const holdoffs = new Set<number>();
  for (let block = 16; !see("fastPath")[0]; block++) {
    const hits = source.events.length - 1 - source.events.findLastIndex((it) => /wait/.test(it));
    const decayed = Math.max(0, hits - 8);
    const expected = [8 - decayed, 4 - decayed].map((distance) => Math.max(1, distance));
    assertEquals(see("readaheadDistance", "combineDistance"), expected);
    assertEquals(see("distanceDecayHoldoff"), [Math.max(0, 8 - hits)]);
    holdoffs.add(Math.max(0, 8 - hits));
    assertEquals(take(), block);
  }
  assert(holdoffs.size > 3);
  assertEquals(see("readaheadDistance", "combineDistance", "pinnedBuffers"), [1, 1, 1]);
});

Deno.test("ReadAhead takes the path for hits, and leaves it at a miss and at the end", () => {
  const { next } = list(upTo(0, 12));
  const { take, see, seen } = open({ next }, { isCached: (block) => block !== 5 });
  assertEquals(take(), 0);
  assertEquals(see("fastPath", "pinnedBuffers", "iosInProgress"), [true, 1, 0]);
  for (let block = 1; block < 4; block++) assertEquals(take(), block);
  assertEquals(see("fastPath", "oldestBufferIndex"), [true, 1]);
  assertEquals(take(), 4);
  assertEquals(see("fastPath", "iosInProgress", "seqBlocknum"), [false, 1, 6]);
  assertEquals(seen().at(-1), "start 5+1");
  assertEquals(take(), 5);
  // The read counts as one that was waited for.
  assertEquals(see("readaheadDistance", "combineDistance"), [2, 2]);
  for (let block = 6; block < 12; block++) assertEquals(take(), block);
  assertEquals(take(), null);
  assertEquals(see("readaheadDistance", "combineDistance", "pinnedBuffers"), [0, 0, 0]);
});

Deno.test("ReadAhead ends on the path for hits", () => {
  const { next } = list([4, 4, 9]);
  const { take, see, source } = open({ next }, { isCached: () => true });
  assertEquals([take(), take(), take()], [4, 4, 9]);
  assertEquals(see("fastPath", "pinnedBuffers", "readaheadDistance"), [false, 0, 0]);
  assertEquals([take(), source.pinned], [null, 0]);
});

Deno.test("ReadAhead with data does not take the path for hits", () => {
  const { take, see } = open({ makeData: () => ({}) }, { isCached: () => true });
  for (let block = 0; block < 10; block++) assertEquals(take(), block);
  assertEquals(see("fastPath", "perBufferData"), [false, true]);
});

Deno.test("ReadAhead hands each page the data of its block, which stays until the next call", () => {
  const given = new Map<object, number>();
  let next = 0;
  const { take, reads } = open({
    makeData: () => ({}),
    next(data) {
      given.set(data as object, next);
      return next++;
    },
  });
  for (let block = 0; block < 1000; block++) {
    assertEquals(take(), block);
    assertEquals(given.get(reads.data as object), block);
  }
  assertEquals(given.size, 273);
});

Deno.test("ReadAhead combines runs downward, and takes turns at both directions", () => {
  const { next } = list([9, 8, 7, 6, 5, 6, 7, 6, 5, 5, 5]);
  const { take, seen } = open({ next, full: true });
  while (take() !== null);
  assertEquals(seen().filter((event) => event.startsWith("start")), [
    "start 9-5",
    "start 6+2",
    "start 6-2",
    "start 5+1",
    "start 5+1",
  ]);
});

Deno.test("ReadAhead keeps a block that finds no IO free, and takes it first", () => {
  const { next } = list([1, 5, 9, 13, 17, 21, 25]);
  const { take, see, seen } = open({ next, maxIos: 2, full: true });
  assertEquals(take(), 1);
  assertEquals(see("iosInProgress", "bufferedBlocknum"), [2, 13]);
  assertEquals(take(), 5);
  assertEquals(see("iosInProgress", "bufferedBlocknum"), [2, 17]);
  while (take() !== null);
  assertEquals(seen().filter((event) => event.startsWith("start")).length, 7);
});

Deno.test("ReadAhead pins no more than the pool allows, and at least one", () => {
  const few = open({ full: true }, { pins: 6 });
  for (let block = 0; block < 100; block++) {
    assertEquals(few.take(), block);
    assert(few.source.pinned <= 6);
  }
  const none = open({ full: true }, { pins: 0 });
  for (let block = 0; block < 20; block++) {
    assertEquals(none.take(), block);
    assert(none.source.pinned <= 1);
  }
});

Deno.test("ReadAhead goes on with forwarded buffers where a read was split", () => {
  const { take, see, seen } = open({ full: true, ioCombineLimit: 8, maxIos: 1 }, {
    isForeign: (block) => block === 3,
    isCached: (block) => block === 6,
  });
  assertEquals(take(), 0);
  assertEquals(see("forwardedBuffers", "pendingReadBlocknum"), [3, 4]);
  for (let block = 1; block < 40; block++) assertEquals(take(), block);
  assertEquals(seen().filter((event) => !event.startsWith("wait")).slice(0, 5), [
    "start 0+3",
    "start 3+1",
    "start 4+2",
    "hit 6",
    "start 7+8",
  ]);
});

Deno.test("ReadAhead.pause() ends behind what is ahead, and resume() goes on as before", () => {
  const { take, see, reads } = open();
  for (let block = 0; block < 20; block++) assertEquals(take(), block);
  const distances = see("readaheadDistance", "combineDistance");
  assertEquals(reads.pause(), null);
  reads.pause();
  assertEquals(see("resumeReadaheadDistance", "resumeCombineDistance"), distances);
  let block = 20;
  for (let taken; (taken = take()) !== null;) assertEquals(taken, block++);
  assert(block > 20);
  assertEquals(take(), null);
  reads.resume();
  assertEquals(see("readaheadDistance", "combineDistance"), distances);
  for (; block < 300; block++) assertEquals(take(), block);
});

Deno.test("ReadAhead.pause() can be the callback's answer", () => {
  let next = 0;
  const { take, reads } = open({
    next: (): number | null => next === 7 ? reads.pause() : next++,
  });
  for (let block = 0; block < 7; block++) assertEquals(take(), block);
  assertEquals(take(), null);
  next = 8;
  reads.resume();
  assertEquals(take(), 8);
});

Deno.test("ReadAhead.resume() after an end takes the numbers of the beginning", () => {
  const blocks = upTo(0, 60);
  const { take, see, reads } = open({ next: () => blocks.shift() ?? null });
  while (take() !== null);
  reads.resume();
  assertEquals(see("readaheadDistance", "combineDistance"), [1, 1]);
  blocks.push(3, 4);
  assertEquals([take(), take(), take()], [3, 4, null]);
});

Deno.test("ReadAhead.reset() abandons IO, and drops a read that is pending", () => {
  const { take, see, seen, source, reads } = open({ maxIos: 4, ioCombineLimit: 4 }, {
    pinLimit: 11,
  });
  while (see("pendingReadNblocks")[0] === 0 || see("iosInProgress")[0]! < 2) take();
  const [inProgress] = see("iosInProgress") as [number];
  seen();
  reads.reset();
  assertEquals(seen().map((event) => event.split(" ")[0]), Array(inProgress).fill("abandon"));
  assertEquals(source.pinned, 0);
  assertEquals(
    see(
      "readaheadDistance",
      "combineDistance",
      "resumeReadaheadDistance",
      "resumeCombineDistance",
      "distanceDecayHoldoff",
      "bufferedBlocknum",
      "pendingReadBlocknum",
    ),
    [1, 1, 1, 1, 0, null, null],
  );
  const block = take()!;
  assertEquals(seen()[0], `start ${block}+1`);
  assertEquals(take(), block + 1);
});

Deno.test("ReadAhead.nextBlock() hands out the block in the unget slot, then the callback's", () => {
  const { next } = list([1, 5, 9, 13]);
  const { take, see, reads } = open({ next, maxIos: 1, full: true });
  assertEquals(take(), 1);
  assertEquals(see("bufferedBlocknum"), [9]);
  assertEquals([reads.nextBlock(), reads.nextBlock(), reads.nextBlock()], [9, 13, null]);
  assertEquals([take(), take()], [5, null]);
});

Deno.test("ReadAhead gives advice for jumps, until the kernel sees the sequence", () => {
  const next = list([...upTo(0, 8), ...upTo(100, 108), 7, 50, 51]).next;
  const { take, seen, see } = open({ next, maxIos: 4, ioCombineLimit: 2 }, { isSynchronous: true });
  assertEquals(see("adviceEnabled", "syncMode"), [true, true]);
  while (take() !== null);
  const advised = seen().filter((event) => event.startsWith("advise"));
  // Not the first one, as its read follows at once; not what goes on behind a read that is over.
  assertEquals(advised.includes("advise 0"), false);
  assert(advised.includes("advise 100"), advised.join());
  assert(advised.includes("advise 7"), advised.join());
  assert(advised.includes("advise 50"), advised.join());
  const sequential = open({ sequential: true }, { isSynchronous: true });
  for (let i = 0; i < 50; i++) sequential.take();
  assertEquals(sequential.seen().filter((event) => event.startsWith("advise")), []);
});

Deno.test("ReadAhead tells what was thrown when all blocks before it are delivered", () => {
  const failing = open({ full: true }, { failStart: 32 });
  for (let block = 0; block < 32; block++) assertEquals(failing.take(), block);
  assertThrows(failing.take, Error, "start of 32");
  const callback = open({
    next: () => {
      throw new Error("no block");
    },
  });
  assertThrows(callback.take, Error, "no block");
  const waiting = open({ ioCombineLimit: 4 }, { failWait: 7 });
  for (let block = 0; block < 7; block++) assertEquals(waiting.take(), block);
  assertThrows(waiting.take, Error, "wait for 7");
  for (const { reads, source } of [failing, callback, waiting]) {
    reads.reset();
    assertEquals(source.pinned, 0);
  }
  assert(typeof waiting.take() === "number");
});

Deno.test("ReadAhead.enableStats() counts what EXPLAIN shows", () => {
  const { take, reads } = open({ next: list(upTo(0, 7)).next });
  const stats = reads.enableStats();
  while (take() !== null);
  // Reads of 1, 2 and 4 blocks, each of them waited for.
  assertEquals([stats.ioCount, stats.ioNblocks, stats.waitCount], [3, 7, 3]);
  assertEquals([stats.ioInProgress, stats.prefetchCount, stats.distanceCapacity], [3, 7, 272]);
  assertEquals([stats.distanceMax, stats.distanceSum], [4, 1 + 2 + 1 + 4 + 3 + 2 + 1]);
  assertEquals([stats.distanceAverage, stats.ioSizeAverage, stats.ioInProgressAverage], [
    2,
    7 / 3,
    1,
  ]);
});
