/**
 * generations.ts: handles at a given generation, and the check that generation_test.ts makes with one
 * of them, and generation_long_test.ts with several.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { highWord, lowWord } from "../../../ffi/memory.ts";
import type { Fixture } from "../../support/core.ts";
import { testEachCoreMethod } from "../../support/core_methods.ts";
import { expectedPages, makeFrames, openPages, outcomeOf, startPages, WAYS } from "./peer.ts";
import { Session } from "./session.ts";

/** Sets the generation of the idle handle that the next `acquire()` takes. */
export function setGeneration({ aio }: Fixture, generation: number): void {
  const { control } = backendOf(aio);
  const at = control.handleAt(0);
  control.words[at + HANDLE.generationLow] = lowWord(generation);
  control.words[at + HANDLE.generationHigh] = highWord(generation);
}

/** An Aio with one handle a thread, whose next use has that generation. */
export async function openAt(
  test: Parameters<typeof openPages>[0],
  generation: number,
): Promise<Fixture> {
  const fixture = await openPages(test, { maxConcurrency: 1 });
  setGeneration(fixture, generation);
  return fixture;
}

/** Registers, for each method, that another thread waits for such a use, in each way to wait. */
export function testForeignGeneration(generation: number): void {
  testEachCoreMethod(`B waits for A's IO of generation ${generation}`, async (test) => {
    await using fixture = await openAt(test, generation);
    // One Worker for all ways: it takes longer to start than all it does.
    await using other = await Session.start(fixture);
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
