/**
 * deaths_test.ts: hundreds of Workers die in the middle of a load, in every way and in the middle of everything,
 * from a printed seed: who waits goes on, what is read is verified, and at the end everything is back
 * where it was. A canary shows that it would not end if nobody took over from the dead.
 */

import { assert, assertEquals, assertLess, assertLessOrEqual } from "@std/assert";
import { HEADER } from "../../core/shared_memory.ts";
import type { Fixture } from "../support/core.ts";
import {
  Deaths,
  END_MS_MAX,
  type Fate,
  type Holding,
  HOLDINGS,
  type MortalMethod,
  openMortal,
  randomFates,
  until,
  untilReaped,
  WAYS,
} from "../support/deaths.ts";
import { aioBelongingsOf, openDescriptors } from "../support/belongings.ts";
import { METHODS_UNDER_TEST } from "../support/methods.ts";
import { Patience } from "../support/patience.ts";
import { describeSeed, Prng, testSeed } from "../support/prng.ts";

interface Plan {
  readonly method: MortalMethod;
  readonly deaths: number;
  readonly holdings: readonly Holding[];
}

const PLANS: readonly Plan[] = [
  { method: "held", deaths: 500, holdings: HOLDINGS },
  // What the kernel has is nothing that a thread could perform by itself.
  { method: "io_uring", deaths: 200, holdings: HOLDINGS.filter((one) => one !== "claim") },
];
/** So many before, for what only the first ones take. */
const WARM_UP_DEATHS = 8;
/** In units of what passes before the library asks who lives: about a second on a machine at rest. */
const PATIENCES_MAX = 10;
const CANARY_MS = 1000;
/** Threads that Deno's own pool may have more of at the end than before. */
const POOL_THREADS_MAX = 4;

/**
 * What the machine has for this process; elsewhere than on Linux nothing is known. Rings do not count:
 * the first thread of a slot makes one, and it stays.
 */
function resources(): { descriptors: number; threads: number } {
  if (Deno.build.os !== "linux") return { descriptors: 0, threads: 0 };
  const [, threads] = /^Threads:\s*(\d+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))!;
  const descriptors = openDescriptors().filter((path) => !path.includes("io_uring"));
  return { descriptors: descriptors.length, threads: Number(threads) };
}

/** What the subsystem has. */
function belongings({ aio }: Fixture) {
  const { words } = aio.backend.control;
  return [aioBelongingsOf(aio), words[HEADER.arenaLock], words[HEADER.filesLock]];
}

/** Whether a promise is settled within some time. */
async function endsWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function runLoad(fixture: Fixture, fates: readonly Fate[], seed: number): Promise<Deaths> {
  const deaths = new Deaths(fixture, seed);
  deaths.start();
  await deaths.run(fates);
  assert(await endsWithin(deaths.end(), END_MS_MAX), `The load hangs: ${describeSeed(seed)}`);
  await untilReaped(fixture);
  return deaths;
}

async function checkDeaths({ method, deaths: count, holdings }: Plan): Promise<void> {
  const seed = testSeed();
  const random = new Prng(seed);
  await using fixture = await openMortal(method);
  await using patience = new Patience();
  const start = belongings(fixture);
  await runLoad(fixture, randomFates(WARM_UP_DEATHS, random, holdings), seed + 1);
  const before = resources();

  const deaths = await runLoad(fixture, randomFates(count, random, holdings), seed);

  assertEquals(deaths.faults, [], describeSeed(seed));
  const { load, longestWaitMs, counts, mailbox } = deaths;
  assertEquals([load.wrong, fixture.messages()], [0, []], describeSeed(seed));
  assert(load.done > count && load.foreign > count, "The main thread took no part");
  for (const way of WAYS) {
    for (const holding of holdings) assert(counts.has(`${way} ${holding}`), `${way} ${holding}`);
  }
  assertLess(longestWaitMs, PATIENCES_MAX * patience.longestMs, describeSeed(seed));
  assertEquals(belongings(fixture), start, describeSeed(seed));
  await until(
    () => resources().threads <= before.threads + POOL_THREADS_MAX,
    `${resources().threads} threads, ${before.threads} at the start`,
  );
  await until(
    () => resources().descriptors <= before.descriptors + mailbox.losses,
    `${resources().descriptors} descriptors, ${before.descriptors} at the start`,
  );
}

for (const plan of PLANS) {
  Deno.test({
    name:
      `${plan.method}: ${plan.deaths} threads die in the middle of everything, who waits goes on`,
    ignore: METHODS_UNDER_TEST.some(({ name, ignore }) => name === plan.method && ignore),
    fn: () => checkDeaths(plan),
  });
}

Deno.test("held canary: if nobody takes over from the dead, the load does not end", async () => {
  const seed = testSeed();
  await using fixture = await openMortal();
  const deaths = new Deaths(fixture, seed, { reaps: false, blocks: false });
  deaths.start();
  const fate: Fate = { way: "selfClose", holding: "foreignCallback", afterIos: 5, seed };
  // No more than one: the next could wait for the first one's IO, too, and would never come to die.
  await deaths.run([fate], 1);
  const end = deaths.end();
  const hasEnded = await endsWithin(end, CANARY_MS);
  // In the main thread nothing else is wrong: it ends as soon as somebody does.
  const reaping = until(() => {
    for (const { backendId } of fixture.aio.backends().slice(1)) fixture.aio.reapBackend(backendId);
    return fixture.aio.backends().length === 1;
  }, "A dead thread is not taken over from");
  await Promise.all([reaping, end]);
  assertEquals([hasEnded, deaths.faults], [false, []]);
  assertLessOrEqual(3, deaths.load.done);
  assertEquals(deaths.load.wrong, 0);
});
