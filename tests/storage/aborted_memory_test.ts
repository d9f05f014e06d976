/**
 * aborted_memory_test.ts: 1000 reads that are aborted at random moments, with the collector forced
 * between: nothing that was given back is written to, though the kernel, or another thread, may be at
 * it for a while yet. A canary gives memory back too early, and is found.
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { fileContent, type Fixture, openFixture, openHeld } from "../support/core.ts";
import { METHODS_UNDER_TEST } from "../support/methods.ts";
import { describeSeed, Prng, testSeed } from "../support/prng.ts";
import { collect } from "../support/uring.ts";

const READS = 1000;
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
const OPTIONS = { arenaBytes: ARENA_BYTES, maxConcurrency: HANDLES };

interface Outcome {
  /** Reads that were aborted in time. */
  rejected: number;
  /** Bytes that somebody else wrote to memory of ours. */
  changed: number;
}

interface Plan {
  readonly fixture: Fixture;
  readonly seed: number;
  /** Gives a view back whose read was aborted; false: not yet. */
  free(view: Uint8Array<SharedArrayBuffer>): boolean;
}

/** A view that a read may still be at is refused. */
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

async function abortAtRandom(plan: Plan): Promise<Outcome> {
  const { fixture: { aio, file }, seed } = plan;
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
  for (let i = 0; i < READS; i += READS_AT_ONCE) {
    await Promise.all(Array.from({ length: READS_AT_ONCE }, read));
    // Whoever has the memory next keeps what he writes there.
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

async function check(fixture: Fixture): Promise<void> {
  const seed = testSeed();
  const free = (view: Uint8Array) => tryFree(fixture, view);
  const { rejected, changed } = await abortAtRandom({ fixture, seed, free });
  assertEquals(changed, 0, describeSeed(seed));
  assertGreater(rejected, READS / 10, describeSeed(seed));
  await fixture.file.close();
  const { aio } = fixture;
  assertEquals([aio.backend.arena.freeBytes, aio.ios()], [ARENA_BYTES, []], describeSeed(seed));
}

/** IO that is performed when a test's clock says so: often long after it was aborted. */
function performNowAndThen({ aio, held }: Fixture): Disposable {
  const timer = setInterval(() => held.performAll(aio), PERFORM_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

for (const { name, ignore } of METHODS_UNDER_TEST) {
  Deno.test({
    name: `${name}: 1000 reads that are aborted write to nothing that was given back`,
    ignore,
    fn: async () => {
      await using fixture = await openFixture({ ...OPTIONS, method: name });
      await check(fixture);
    },
  });
}

Deno.test("held: 1000 reads that are aborted write to nothing that was given back", async () => {
  await using fixture = await openHeld(OPTIONS);
  using _performing = performNowAndThen(fixture);
  await check(fixture);
});

Deno.test("held: canary: memory that is given back while a read is at it is written to", async () => {
  await using fixture = await openHeld(OPTIONS);
  const { arena } = fixture.aio.backend;
  using _performing = performNowAndThen(fixture);
  const free = (view: Uint8Array<SharedArrayBuffer>) => {
    arena.giveBack(view);
    return true;
  };
  const { changed } = await abortAtRandom({ fixture, seed: testSeed(), free });
  assert(changed > 0);
});
