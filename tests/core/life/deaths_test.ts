/**
 * deaths_test.ts: Workers die in the middle of a load, in every way and in the middle of
 * everything, from a printed seed. Whoever waits goes on, the content of reads is verified, and at
 * the end everything is back where it was. A canary shows that the load would not end if nobody
 * took over from the dead. Each way in the middle of each thing: death_cases_long_test.ts one by
 * one, deaths_long_test.ts in a load, with hundreds of deaths.
 */

import { assertEquals, assertLessOrEqual } from "@std/assert";
import { Deaths, type Fate, HOLDINGS, openMortal } from "../../support/deaths/deaths.ts";
import { testDeaths } from "../../support/deaths/deaths_check.ts";
import { settles, until } from "../../support/patience.ts";
import { testSeed } from "../../support/prng.ts";

const CANARY_MS = 500;
/** Each thing once, with one of three methods; the ways to end take turns. */
const [FIRST, SECOND, THIRD] = [0, 1, 2].map((third) => HOLDINGS.filter((_, i) => i % 3 === third));

// Only `held` has "claim", which is in the last third.
testDeaths({
  io_uring: { deaths: FIRST!.length, holdings: FIRST! },
  linux_aio: { deaths: SECOND!.length, holdings: SECOND! },
  held: { deaths: THIRD!.length, holdings: THIRD! },
});

Deno.test("held canary: if nobody takes over from the dead, the load does not end", async () => {
  const seed = testSeed();
  await using fixture = await openMortal();
  const deaths = new Deaths(fixture, seed, { reaps: false, blocks: false });
  deaths.start();
  const fate: Fate = { way: "selfClose", holding: "foreignCallback", afterIos: 5, seed };
  // No more than one: a second one could wait for the first one's IO, and would never come to die.
  await deaths.run([fate], 1);
  const end = deaths.end();
  const hasEnded = await settles(end, CANARY_MS);
  // Nothing else is wrong in the main thread: the load ends as soon as something reaps.
  const reaping = until(() => {
    for (const { backendId } of fixture.aio.backends().slice(1)) fixture.aio.reapBackend(backendId);
    return fixture.aio.backends().length === 1;
  }, "the dead thread is taken over from");
  await Promise.all([reaping, end]);
  assertEquals([hasEnded, deaths.faults], [false, []]);
  assertLessOrEqual(3, deaths.load.done);
  assertEquals(deaths.load.wrong, 0);
});
