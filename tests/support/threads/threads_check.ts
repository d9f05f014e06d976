/**
 * threads_check.ts: the check that threads_test.ts makes with few IOs and threads_long_test.ts with
 * many.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { type Fixture, openHeld, openSync } from "../core.ts";
import { openMethod } from "../core_methods.ts";
import { missingBelongings, quietBelongings } from "../belongings.ts";
import { testSeed } from "../prng.ts";
import { isQuickPart } from "../house/part.ts";
import { METHODS_UNDER_TEST } from "../methods.ts";
import { shareAmongTests } from "../shared.ts";
import { type LoadAnswer, type RunningLoad, startLoad } from "./load.ts";

const THREADS = 4;
const TIME_LIMIT_MS = 180_000;
/** Options of every Aio here. */
const OPTIONS = { maxBackends: THREADS + 1, maxConcurrency: 16 };

async function checkLoad(
  fixture: Fixture,
  iosPerThread: number,
  loadOf: () => RunningLoad,
): Promise<LoadAnswer[]> {
  const { aio, file } = fixture;
  const seed = testSeed();
  const load = loadOf();
  const runLoad = (ios: number) =>
    load.run({ token: aio.token, file: file.token, method: aio.method, ios, seed }, TIME_LIMIT_MS);
  // What Deno starts for its first Workers stays.
  await runLoad(100);
  const before = await quietBelongings(aio);
  const answers = await runLoad(iosPerThread);
  for (const { done, wrong, foreign } of answers) {
    assert(done >= iosPerThread, `seed ${seed}`);
    assertEquals(wrong, 0, `seed ${seed}`);
    assert(foreign > 0, `No IO of another thread was awaited: seed ${seed}`);
  }
  assertEquals(await missingBelongings(aio, before), [], `seed ${seed}`);
  return answers;
}

/** How many IOs each thread does, by the method. */
export interface ThreadIos {
  readonly held: number;
  readonly sync: number;
  readonly worker: number;
  readonly io_uring: number;
}

/** Registers the check for each method; the same Workers are the threads of all. */
export function testThreads(ios: ThreadIos): void {
  const loadOf = shareAmongTests(() => Promise.resolve(startLoad(THREADS)));

  Deno.test("held: four threads issue, await and complete each other's IO", async () => {
    await using fixture = await openHeld(OPTIONS);
    const answers = await checkLoad(fixture, ios.held, loadOf);
    for (const { performed } of answers) assert(performed > 0);
  });

  Deno.test("sync: four threads issue IO and await each other's", async () => {
    await using fixture = await openSync(OPTIONS);
    await checkLoad(fixture, ios.sync, loadOf);
  });

  Deno.test("worker: four threads have more than the queue holds, and await each other's IO", async () => {
    const workers = { min: 2, max: 2, launchIntervalMs: 0 };
    await using fixture = await openMethod("worker", { ...OPTIONS, maxConcurrency: 64, workers });
    await checkLoad(fixture, ios.worker, loadOf);
  });

  // With 1024: threads_long_test.ts.
  for (const maxConcurrency of isQuickPart() ? [8] : [8, 1024]) {
    Deno.test({
      name:
        `io_uring: four threads issue and complete each other's IO, ${maxConcurrency} handles each`,
      ignore: METHODS_UNDER_TEST.some(({ name, ignore }) => name === "io_uring" && ignore),
      async fn() {
        await using fixture = await openSync({ ...OPTIONS, method: "io_uring", maxConcurrency });
        await checkLoad(fixture, ios.io_uring, loadOf);
      },
    });
  }
}
