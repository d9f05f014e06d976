/**
 * generations.ts: handles at a given generation, and the check that generation_test.ts makes with
 * one of them, and generation_long_test.ts with several.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { highWord, lowWord } from "../../../ffi/memory.ts";
import type { Fixture } from "../../support/core.ts";
import { expectedPages, makeFrames, outcomeOf, startPages, testPages, WAYS } from "./peer.ts";
import type { StartSession } from "./session.ts";

/**
 * Sets the generation of the idle handle that the next `acquire()` takes, which nobody has claimed.
 */
export function setGeneration({ aio }: Fixture, generation: number): void {
  const { control } = backendOf(aio);
  const at = control.handleAt(0);
  control.words[at + HANDLE.generationLow] = lowWord(generation);
  control.words[at + HANDLE.generationHigh] = highWord(generation);
  control.words[at + HANDLE.claim] = 0;
}

/** As {@linkcode testPages}, with one handle a thread, whose next use has that generation. */
export function testAt(
  name: string,
  generation: number,
  fn: (fixture: Fixture) => Promise<void>,
): void {
  testPages(name, async (fixture) => {
    setGeneration(fixture, generation);
    await fn(fixture);
  }, { maxConcurrency: 1 });
}

/** Registers, for each method, that another thread waits for such a use, in each way to wait. */
export function testForeignGeneration(generation: number, startSession: StartSession): void {
  testAt(`B waits for A's IO of generation ${generation}`, generation, async (fixture) => {
    await using other = await startSession(fixture);
    for (const way of WAYS) {
      setGeneration(fixture, generation);
      const frames = makeFrames(fixture, 1);
      const started = startPages(fixture, { first: 1, frames });
      assertEquals(started.ref.generation, generation);
      await other.wait(way, started.ref);
      assertEquals(await other.see(frames), expectedPages(1, 1), way);
      await fixture.aio.wait(started.ref);
      assertEquals(outcomeOf(fixture.aio, started).status, "ok");
      // The same once more, with the next use of the handle.
      const next = startPages(fixture, { first: 2, frames });
      assertEquals(next.ref.generation, generation + 1);
      await other.wait(way, started.ref);
      await other.wait(way, next.ref);
      assertEquals(await other.see(frames), expectedPages(2, 1), way);
      await fixture.aio.wait(next.ref);
    }
  });
}
