/**
 * short_of_buffers_test.ts: a read stream whose source has no buffer left: it waits for one only if
 * it has none itself, as streams that wait for one another's buffers would wait for ever.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { runStepsSync } from "../../../core/inside.ts";
import { NO_BUFFER } from "../../../storage/stream/page_source.ts";
import { ReadAhead } from "../../../storage/stream/read_ahead.ts";
import { describeSeed, Prng } from "../../support/prng.ts";
import { MadeUpSource, type SourceTraits } from "../../support/streams/made_up_source.ts";

/** Takes all blocks of a list, each released with the next call, and checks that it gets them. */
function checkBlocks(blocks: readonly number[], traits: SourceTraits, prng: Prng): MadeUpSource {
  const source = new MadeUpSource(traits);
  let next = 0;
  const reads = new ReadAhead(source, {
    maxIos: prng.between(1, 4),
    ioCombineLimit: prng.between(1, 8),
    sequential: false,
    full: prng.chance(1, 2),
    batching: prng.chance(1, 2),
    next: () => blocks[next++] ?? null,
    makeData: null,
  });
  let held = NO_BUFFER;
  for (const block of blocks) {
    if (held !== NO_BUFFER) source.release(held);
    if (reads.run(true) !== 0) runStepsSync(reads.steps(true));
    held = reads.buffer;
    assert(held !== NO_BUFFER, `no block ${block}`);
    assertEquals(source.pageOf(held), block);
  }
  if (held !== NO_BUFFER) source.release(held);
  if (reads.run(true) !== 0) runStepsSync(reads.steps(true));
  assertEquals([reads.buffer, source.pinned], [NO_BUFFER, 0]);
  return source;
}

Deno.test("a stream that finds no buffer delivers those that it has, and then waits", () => {
  const blocks = Array.from({ length: 40 }, (_, block) => block);
  const source = checkBlocks(blocks, { isFull: () => true }, new Prng(1));
  // One read after the other: none is begun while a buffer is pinned.
  const starts = source.events.filter((event) => event.startsWith("start"));
  assertEquals(starts.length, source.events.filter((event) => event.startsWith("wait")).length);
  assert(source.events.every((event, i) => event.startsWith(i % 2 === 0 ? "start" : "wait")));
});

Deno.test("a stream gives all blocks in their order, however often it finds no buffer", () => {
  const seeds = new Prng();
  for (let round = 0; round < 400; round++) {
    const prng = new Prng(seeds.uint32());
    let block = 500;
    const step = () => prng.chance(1, 8) ? prng.between(0, 60) - 30 : prng.chance(1, 6) ? -1 : 1;
    const blocks = Array.from({ length: prng.below(120) }, () => block += step());
    const cached = prng.below(4);
    const traits: SourceTraits = {
      isFull: () => prng.chance(1, 2),
      isCached: (block) => block % 4 < cached,
      isLate: () => prng.chance(1, 2),
      isForeign: (block) => block % 9 === 0,
    };
    try {
      checkBlocks(blocks, traits, prng);
    } catch (error) {
      if (error instanceof Error) error.message += `; ${describeSeed(prng.seed)}`;
      throw error;
    }
  }
});
