/**
 * generation_test.ts: handles whose generation is about to pass 2^32, or has: 64 bits in two words
 * of shared memory, a safe integer in wait references. The tests set these words before they use
 * the handle, as nobody has the time to count so far.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { setGeneration, testAt, testForeignGeneration } from "./generations.ts";
import {
  contentOf,
  damage,
  expectedPages,
  makeFrames,
  outcomeOf,
  startPages,
  waitBy,
  WAYS,
} from "./peer.ts";
import { shareThread } from "./session.ts";

/** The generation that a handle gets, from the last of 31 bits to the last but one of 53. */
const GENERATIONS = [
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 32 + 5,
  3 * 2 ** 32 - 1,
  2 ** 40 + 2 ** 31 + 7,
  Number.MAX_SAFE_INTEGER - 1,
] as const;

for (const generation of GENERATIONS) {
  testAt(
    `an IO of generation ${generation} is waited for, in each way to wait`,
    generation,
    async (fixture) => {
      const { aio } = fixture;
      // A damaged page, so that the outcome of each of the two uses is its own.
      damage(fixture, 1);
      for (const way of WAYS) {
        setGeneration(fixture, generation);
        const first = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
        assertEquals(first.ref, { index: 0, generation });
        await waitBy(aio, way, first.ref);
        assertEquals(outcomeOf(aio, first).status, "error");
        const frames = makeFrames(fixture, 1);
        const second = startPages(fixture, { first: 2, frames });
        assertEquals(second.ref, { index: 0, generation: generation + 1 });
        assertEquals(aio.checkDone(first.ref), true);
        await waitBy(aio, way, first.ref);
        await waitBy(aio, way, second.ref);
        assertEquals(outcomeOf(aio, second).status, "ok");
        assertEquals(outcomeOf(aio, first).status, "error");
        assertEquals(contentOf(frames), expectedPages(2, 1), way);
      }
    },
  );

  testAt(`ios() shows generation ${generation}`, generation, async (fixture) => {
    const { aio } = fixture;
    const seen: unknown[] = [];
    aio.attachInjectionPoint("aio-process-completion-before-shared", () => {
      seen.push(...aio.ios().map(({ ioId, ioGeneration }) => ({ ioId, ioGeneration })));
    });
    const handle = aio.acquire();
    assertEquals(aio.ios().map(({ ioGeneration }) => ioGeneration), [generation]);
    handle.release();
    // A release ends a use, too.
    const { ref } = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
    assertEquals(ref.generation, generation + 1);
    await aio.wait(ref);
    aio.detachInjectionPoint("aio-process-completion-before-shared");
    assertEquals(seen, [{ ioId: 0, ioGeneration: generation + 1 }]);
    assertEquals(aio.ios(), []);
  });

  testAt(`generation ${generation}: waiting for another one`, generation, async (fixture) => {
    const { aio } = fixture;
    const handle = aio.acquire();
    for (const past of [1, 5, generation - 1]) {
      assertEquals(aio.checkDone({ index: 0, generation: past }), true);
      aio.waitSync({ index: 0, generation: past });
      await aio.wait({ index: 0, generation: past });
    }
    assertEquals(aio.checkDone({ index: 0, generation }), false);
    const future = { index: 0, generation: generation + 1 };
    assertThrows(() => aio.checkDone(future), RangeError, `a handle that is at ${generation}: `);
    handle.release();
  });
}

testForeignGeneration(2 ** 32 - 1, shareThread());
