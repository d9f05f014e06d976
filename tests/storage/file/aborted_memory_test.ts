/**
 * aborted_memory_test.ts: reads are aborted at random moments, with forced garbage collections
 * between them. Nothing writes to memory that was given back, though the kernel or another thread
 * may work on the read for a while longer. A canary gives memory back too early, and is found. With
 * more reads: aborted_memory_long_test.ts.
 */

import { assert } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import {
  abortAtRandom,
  OPTIONS,
  performNowAndThen,
  testAbortedReads,
} from "../../support/aborted_reads.ts";
import { openHeld } from "../../support/core.ts";
import { testSeed } from "../../support/prng.ts";

const READS = 100;

testAbortedReads(READS);

Deno.test("held: canary: memory that is given back while a read is at it is written to", async () => {
  await using fixture = await openHeld(OPTIONS);
  const { arena } = backendOf(fixture.aio);
  using _performing = performNowAndThen(fixture);
  const free = (view: Uint8Array<SharedArrayBuffer>) => {
    arena.giveBack(view);
    return true;
  };
  const { changed } = await abortAtRandom({ fixture, reads: READS, seed: testSeed(), free });
  assert(changed > 0);
});
