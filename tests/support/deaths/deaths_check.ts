/**
 * deaths_check.ts: the check that deaths_test.ts makes with few deaths and deaths_long_test.ts with
 * many.
 *
 * @module
 */

import { assert, assertEquals, assertLess } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { HEADER } from "../../../core/memory/shared_memory.ts";
import type { Fixture } from "../core.ts";
import {
  Deaths,
  type Fate,
  type Holding,
  HOLDINGS,
  type MortalMethod,
  openMortal,
  randomFates,
  untilReaped,
} from "./deaths.ts";
import { aioBelongingsOf, countNativeAio, openDescriptors } from "../belongings.ts";
import { METHODS_UNDER_TEST } from "../methods.ts";
import { Patience, settles, until } from "../patience.ts";
import { describeSeed, Prng, testSeed } from "../prng.ts";

/** A load in which threads die. */
interface DeathsPlan {
  readonly method: MortalMethod;
  readonly deaths: number;
  readonly holdings: readonly Holding[];
}

/** So many deaths come before, for what only the first ones take. */
const WARM_UP_DEATHS = 4;
/**
 * So many times the time after which the library looks which threads live: about a second on a
 * machine at rest.
 */
const PATIENCES_MAX = 10;
/** An event loop has a Worker take over, and that one may die, too. */
const STARTS_MAX = 2;
/** Threads that Deno's own pool may have more of at the end than before. */
const POOL_THREADS_MAX = 4;

/**
 * What the machine has for this process; elsewhere than on Linux nothing is known. Rings do not
 * count, nor does the eventfd of a context of native AIO: the first thread of a slot makes one, and
 * it stays.
 */
function resources(): { descriptors: number; threads: number } {
  if (Deno.build.os !== "linux") return { descriptors: 0, threads: 0 };
  const [, threads] = /^Threads:\s*(\d+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))!;
  const descriptors = openDescriptors().filter((path) => !path.includes("io_uring"));
  return { descriptors: descriptors.length - countNativeAio(), threads: Number(threads) };
}

/** What they are, to be compared where there are too many. */
function descriptorKinds(): string {
  const kinds = new Map<string, number>();
  for (const path of openDescriptors()) {
    const kind = path.replace(/\d+/g, "N");
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return [...kinds].map(([kind, count]) => `${count} ${kind}`).sort().join(", ");
}

/** What the subsystem has. */
function belongings({ aio }: Fixture) {
  const { words } = backendOf(aio).control;
  return [aioBelongingsOf(aio), words[HEADER.arenaLock], words[HEADER.filesLock]];
}

async function runLoad(fixture: Fixture, fates: readonly Fate[], seed: number): Promise<Deaths> {
  const deaths = new Deaths(fixture, seed);
  deaths.start();
  await deaths.run(fates);
  assert(await settles(deaths.end()), `The load hangs: ${describeSeed(seed)}`);
  await untilReaped(fixture);
  return deaths;
}

async function checkDeaths({ method, deaths: count, holdings }: DeathsPlan): Promise<void> {
  const seed = testSeed();
  const random = new Prng(seed);
  await using fixture = await openMortal(method);
  await using patience = new Patience();
  // The main thread has it from its first sleep on, which may come only after the first deaths.
  assertLess(0, backendOf(fixture.aio).doorbells.tryOpen());
  const start = belongings(fixture);
  await runLoad(fixture, randomFates(WARM_UP_DEATHS, random, holdings), seed + 1);
  const before = resources();
  const kinds = descriptorKinds();

  const fates = randomFates(count, random, holdings);
  const deaths = await runLoad(fixture, fates, seed);

  assertEquals(deaths.faults, [], describeSeed(seed));
  const { load, longestWaitMs, counts, mailbox } = deaths;
  assertEquals([load.wrong, fixture.messages()], [0, []], describeSeed(seed));
  // How much that is is the system's business: on a busy machine the others may be faster.
  assert(load.done > 0 && load.foreign > 0, "The main thread took no part");
  for (const { way, holding } of fates) {
    assert(counts.has(`${way} ${holding}`), `${way} ${holding}`);
  }
  const limitMs = PATIENCES_MAX * patience.longestMs + STARTS_MAX * deaths.longestStartMs;
  assertLess(longestWaitMs, limitMs, `${longestWaitMs} of ${limitMs} ms; ${describeSeed(seed)}`);
  assertEquals(belongings(fixture), start, describeSeed(seed));
  await until(
    () => resources().threads <= before.threads + POOL_THREADS_MAX,
    () => `${resources().threads} threads, ${before.threads} at the start`,
  );
  await until(
    () => resources().descriptors <= before.descriptors + mailbox.losses,
    () =>
      `${resources().descriptors} descriptors, ${before.descriptors} at the start: ` +
      `${descriptorKinds()}; before ${kinds}`,
  );
}

/** How many deaths a method sees, and in the middle of what; by default of everything there is. */
export interface DeathsOf {
  readonly deaths: number;
  readonly holdings?: readonly Holding[];
}

/** Registers the check for each method, with so many deaths. */
export function testDeaths(plans: Readonly<Record<MortalMethod, DeathsOf>>): void {
  const held = { method: "held", holdings: HOLDINGS, ...plans.held } as const;
  // No thread can claim IO that the kernel has.
  const holdings = HOLDINGS.filter((one) => one !== "claim");
  const ioUring = { method: "io_uring", holdings, ...plans.io_uring } as const;
  const linuxAio = { method: "linux_aio", holdings, ...plans.linux_aio } as const;
  for (const plan of [held, ioUring, linuxAio]) {
    Deno.test({
      name:
        `${plan.method}: ${plan.deaths} threads die in the middle of everything, whoever waits goes on`,
      ignore: METHODS_UNDER_TEST.some(({ name, ignore }) => name === plan.method && ignore),
      fn: () => checkDeaths(plan),
    });
  }
}
