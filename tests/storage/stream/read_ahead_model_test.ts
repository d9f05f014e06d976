/**
 * read_ahead_model_test.ts: the algorithm of read streams does what a plain model of it does, step
 * by step, with whatever pool beneath it, and wherever it has to wait.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { runSteps, runStepsSync } from "../../../core/inside.ts";
import { NO_BUFFER } from "../../../storage/stream/page_source.ts";
import { ReadAhead } from "../../../storage/stream/read_ahead.ts";
import { describeSeed, Prng } from "../../support/prng.ts";
import { MadeUpSource, type SourceTraits } from "../../support/streams/made_up_source.ts";
import { type ModelOptions, StreamModel } from "../../support/streams/stream_model.ts";

const ROUNDS = 400;
const BLOCKS = 120;

/** Runs up and down, jumps and repeats. */
function makeBlocks(prng: Prng): number[] {
  const blocks: number[] = [];
  while (blocks.length < BLOCKS) {
    const from = prng.below(200) + 50;
    const step = prng.between(0, 2) - 1;
    const length = prng.below(3) === 0 ? 1 : prng.between(1, 30);
    for (let i = 0; i < length; i++) blocks.push(from + i * step);
  }
  return blocks;
}

function makeTraits(prng: Prng): SourceTraits {
  const salt = prng.below(1000);
  const share = (of: number) => prng.below(3) === 0 ? prng.below(of) : 0;
  const [cached, foreign, late] = [share(11), share(5), prng.below(5)];
  const draw = (block: number, what: number) => new Prng(salt + block * 7 + what).below(10);
  return {
    isCached: (block) => draw(block >> 2, 1) < cached,
    isForeign: (block) => draw(block, 2) < foreign,
    isLate: (block) => draw(block, 3) < late * 3,
    pins: prng.below(2) === 0 ? prng.between(2, 40) : 1000,
    pinLimit: prng.below(2) === 0 ? prng.between(1, 40) : 1000,
    isSynchronous: prng.below(4) === 0,
  };
}

function makeOptions(prng: Prng): ModelOptions {
  return {
    maxIos: prng.below(5),
    ioCombineLimit: prng.between(1, 16),
    sequential: prng.below(3) === 0,
    full: prng.below(3) === 0,
  };
}

/** Runs the stream beside the model, by chance. */
async function checkRound(seed: number, unsure: number, isBlocking: boolean): Promise<void> {
  const prng = new Prng(seed);
  const blocks = makeBlocks(prng);
  const traits = makeTraits(prng);
  await checkBeside(blocks, traits, makeOptions(prng), isBlocking, prng, unsure);
}

/** Runs the stream beside the model. */
async function checkBeside(
  blocks: readonly number[],
  traits: SourceTraits,
  options: ModelOptions,
  isBlocking: boolean,
  prng: Prng,
  unsure: number,
): Promise<void> {
  const { seed } = prng;
  const iterate = () => {
    let i = 0;
    return () => blocks[i++] ?? null;
  };
  const source = new MadeUpSource({ ...traits, isUnsure: () => prng.below(10) < unsure });
  const batching = prng.below(2) === 0;
  const stream = new ReadAhead(source, { ...options, batching, next: iterate(), makeData: null });
  const model = new StreamModel(new MadeUpSource(traits), options, iterate());
  for (let i = 0; i <= blocks.length; i++) {
    const stop = stream.run(isBlocking);
    if (stop !== 0) {
      if (isBlocking) runStepsSync(stream.steps(true));
      else await runSteps(stream.steps(false));
    }
    const buffer = model.nextBuffer();
    const what = `${describeSeed(seed)}, step ${i} of ${JSON.stringify({ ...options, blocks })}`;
    assertEquals(source.events, model.source.events, what);
    const state = { ...stream.inspect() };
    const expected = model.state();
    assertEquals(Object.fromEntries(Object.keys(expected).map((k) => [k, Reflect.get(state, k)])), {
      ...expected,
    }, what);
    if (buffer === null) {
      assertEquals([stream.buffer, i], [NO_BUFFER, blocks.length], what);
      break;
    }
    assertEquals(source.pageOf(stream.buffer), blocks[i], what);
    source.release(stream.buffer);
    model.source.release(buffer);
  }
  assertEquals(source.pinned, 0, describeSeed(seed));
}

for (const [name, unsure] of [["never", 0], ["always", 10], ["now and then", 3]] as const) {
  for (const isBlocking of [true, false]) {
    const how = isBlocking ? "blocking" : "awaited";
    Deno.test(`ReadAhead.run() does what the model does where it ${name} waits, ${how}`, async () => {
      const prng = new Prng();
      for (let i = 0; i < ROUNDS; i++) await checkRound(prng.uint32(), unsure, isBlocking);
    });
  }
}

Deno.test("ReadAhead.run() goes from hits to misses at each place of the queue", async () => {
  const prng = new Prng(1);
  const blocks = Array.from({ length: 100 }, (_, i) => i);
  for (const ioCombineLimit of [2, 3, 4, 7]) {
    for (const maxIos of [0, 1, 2]) {
      for (let hits = 1; hits < 40; hits++) {
        const traits: SourceTraits = { isCached: (block) => block < hits };
        const options = { maxIos, ioCombineLimit, sequential: true, full: true };
        await checkBeside(blocks, traits, options, true, prng, 0);
      }
    }
  }
});

Deno.test("ReadAhead.reset() unpins everything at any step, and goes on with the next block", () => {
  const prng = new Prng();
  for (let round = 0; round < ROUNDS; round++) {
    const seed = prng.uint32();
    const own = new Prng(seed);
    const blocks = makeBlocks(own);
    const source = new MadeUpSource({ ...makeTraits(own), isUnsure: () => own.below(10) === 0 });
    let next = 0;
    const stream = new ReadAhead(source, {
      ...makeOptions(own),
      batching: false,
      next: () => blocks[next++] ?? null,
      makeData: null,
    });
    while (next < blocks.length) {
      let expected = next;
      for (let pages = own.below(20); pages > 0; pages--) {
        if (stream.run(true) !== 0) runStepsSync(stream.steps(true));
        if (stream.buffer === NO_BUFFER) break;
        assertEquals(source.pageOf(stream.buffer), blocks[expected++], describeSeed(seed));
        source.release(stream.buffer);
      }
      stream.reset();
      assertEquals(source.pinned, 0, describeSeed(seed));
      const { pinnedBuffers, iosInProgress, forwardedBuffers, pendingReadNblocks, buffers } = stream
        .inspect();
      assertEquals([pinnedBuffers, iosInProgress, forwardedBuffers, pendingReadNblocks], [
        0,
        0,
        0,
        0,
      ]);
      assertEquals(buffers.filter((buffer) => buffer !== NO_BUFFER), [], describeSeed(seed));
      next = Math.max(next, 1);
    }
  }
});
