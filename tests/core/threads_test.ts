/**
 * threads_test.ts: four threads issue, wait for and complete each other's IO in random patterns from a
 * printed seed; what is read is verified, and at the end everything is back where it was.
 */

import { assert, assertEquals } from "@std/assert";
import { BACKEND } from "../../core/shared_memory.ts";
import { openHeld } from "../support/core.ts";
import { testSeed } from "../support/prng.ts";
import { type LoadAnswer, startLoad } from "../support/load.ts";

const THREADS = 4;
const IOS_PER_THREAD = 250_000;
const TIME_LIMIT_MS = 180_000;

Deno.test("held: four threads issue, await and complete each other's IO", async () => {
  const seed = testSeed();
  await using fixture = await openHeld({ maxBackends: THREADS + 1, maxConcurrency: 16 });
  const { aio, file } = fixture;
  const free = aio.backend.arena.freeBytes;
  await using load = startLoad(THREADS);
  const answers: LoadAnswer[] = await load.run(
    { token: aio.token, file: file.token, ios: IOS_PER_THREAD, seed },
    TIME_LIMIT_MS,
  );
  for (const { done, wrong, foreign } of answers) {
    assertEquals([done, wrong], [IOS_PER_THREAD, 0], `seed ${seed}`);
    assert(foreign > 0, `No IO of another thread was awaited: seed ${seed}`);
  }
  assertEquals(aio.backend.arena.freeBytes, free);
  const { control } = aio.backend;
  for (let id = 1; id <= THREADS; id++) {
    assertEquals(control.words[control.backendAt(id) + BACKEND.threadId], 0);
  }
});
