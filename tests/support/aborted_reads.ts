/**
 * aborted_reads.ts: the check that aborted_memory_test.ts makes with few reads, and
 * aborted_memory_long_test.ts with many.
 *
 * @module
 */

import { assertEquals, assertGreater } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import { fileContent, type Fixture, openFixture, openHeld } from "./core.ts";
import { METHODS_UNDER_TEST, methodsOfPart } from "./methods.ts";
import { describeSeed, Prng, testSeed } from "./prng.ts";
import { collect } from "./rings/uring.ts";

/** At a time: more than there are handles, so that some never start. */
const READS_AT_ONCE = 20;
const HANDLES = 16;
const BLOCK_BYTES = 4096;
const FILE_BLOCKS = 15;
const ARENA_BYTES = 256 * BLOCK_BYTES;
/** What memory has that the test itself wrote. */
const OWN_BYTE = 0xa5;
/** By then every read is over that was aborted before. */
const LATE_MS = 25;
const PERFORM_MS = 20;
/** How the Aio is opened. */
export const OPTIONS = { arenaBytes: ARENA_BYTES, maxConcurrency: HANDLES };

/** What came of it. */
interface Outcome {
  /** Reads that were aborted in time. */
  rejected: number;
  /** Bytes that somebody else wrote to memory of ours. */
  changed: number;
}

/** What to do. */
interface Plan {
  readonly fixture: Fixture;
  /** How many reads. */
  readonly reads: number;
  readonly seed: number;
  /** Gives a view back whose read was aborted; false: not yet. */
  free(view: Uint8Array<SharedArrayBuffer>): boolean;
}

/** Frees a view, which is refused while a read may still use it. */
function tryFree({ aio }: Fixture, view: Uint8Array): boolean {
  try {
    aio.free(view);
    return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.Busy)) throw error;
    return false;
  }
}

function nextTurn(ms = 0): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function countChanged(view: Uint8Array): number {
  return view.filter((byte) => byte !== OWN_BYTE).length;
}

/** Aborts reads at random moments, and looks at the memory of those that were over by then. */
export async function abortAtRandom(plan: Plan): Promise<Outcome> {
  const { fixture: { aio, file }, reads, seed } = plan;
  const random = new Prng(seed);
  const outcome: Outcome = { rejected: 0, changed: 0 };
  const kept: Uint8Array[] = [];
  const read = async () => {
    const controller = new AbortController();
    const abort = () => controller.abort("enough");
    const plain = random.chance(1, 2) ? new Uint8Array(BLOCK_BYTES) : null;
    const straight = plain === null ? aio.alloc(BLOCK_BYTES) : null;
    const view = plain ?? straight!;
    const offset = random.below(FILE_BLOCKS) * BLOCK_BYTES;
    const pending = file.readAt(view, offset, { signal: controller.signal });
    if (random.chance(1, 4)) abort();
    else if (random.chance(1, 2)) queueMicrotask(abort);
    else setTimeout(abort, random.below(3));
    if (await pending.then(() => false, () => true)) outcome.rejected++;
    else assertEquals(new Uint8Array(view), fileContent(offset, BLOCK_BYTES), describeSeed(seed));
    if (random.chance(1, 50)) collect();
    if (plain !== null) kept.push(plain.fill(OWN_BYTE));
    else while (!plan.free(straight!)) await nextTurn();
  };
  for (let i = 0; i < reads; i += READS_AT_ONCE) {
    await Promise.all(Array.from({ length: READS_AT_ONCE }, read));
    // The next owner of the memory must find what it has written there.
    const next = Array.from({ length: READS_AT_ONCE }, () => aio.alloc(BLOCK_BYTES).fill(OWN_BYTE));
    await nextTurn(LATE_MS);
    for (const view of next) {
      outcome.changed += countChanged(view);
      aio.free(view);
    }
  }
  for (const view of kept) outcome.changed += countChanged(view);
  return outcome;
}

async function check(fixture: Fixture, reads: number): Promise<void> {
  const seed = testSeed();
  const free = (view: Uint8Array) => tryFree(fixture, view);
  const { rejected, changed } = await abortAtRandom({ fixture, reads, seed, free });
  assertEquals(changed, 0, describeSeed(seed));
  assertGreater(rejected, reads / 10, describeSeed(seed));
  await fixture.file.close();
  const { aio } = fixture;
  assertEquals([backendOf(aio).arena.freeBytes, aio.ios()], [ARENA_BYTES, []], describeSeed(seed));
}

/** Performs the held IO again and again by a timer: often long after it was aborted. */
export function performNowAndThen({ aio, held }: Fixture): Disposable {
  const timer = setInterval(() => held.performAll(aio), PERFORM_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Registers the check for each method, with so many reads. */
export function testAbortedReads(reads: number): void {
  const title = `${reads} reads that are aborted write to nothing that was given back`;
  for (const { name, ignore } of methodsOfPart(title, METHODS_UNDER_TEST)) {
    Deno.test({
      name: `${name}: ${title}`,
      ignore,
      fn: async () => {
        await using fixture = await openFixture({ ...OPTIONS, method: name });
        await check(fixture, reads);
      },
    });
  }

  Deno.test(`held: ${reads} reads that are aborted write to nothing that was given back`, async () => {
    await using fixture = await openHeld(OPTIONS);
    using _performing = performNowAndThen(fixture);
    await check(fixture, reads);
  });
}
