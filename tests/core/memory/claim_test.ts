/** claim_test.ts: which thread completes an IO, where more than one could. */

import { assertEquals } from "@std/assert";
import { makeIdle } from "../../../core/io/completion_steps.ts";
import { claimantOf, tryClaim, tryClaimSubmitted } from "../../../core/memory/claim.ts";
import { COMPLETED_LOCAL, COMPLETED_SHARED, SUBMITTED } from "../../../core/memory/handle_state.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";

function handleAt(generationLow: number, state = SUBMITTED): Int32Array<SharedArrayBuffer> {
  const words = new Int32Array(new SharedArrayBuffer(HANDLE.size * 4));
  words[HANDLE.generationLow] = generationLow;
  words[HANDLE.state] = state;
  return words;
}

/** What the word of a handle says that a thread has claimed. */
function claimBy(backendId: number, generationLow: number): number {
  const words = handleAt(generationLow);
  tryClaimSubmitted(words, 0, backendId);
  return words[HANDLE.claim]!;
}

for (const generation of [1, 2, 0x03ff_ffff, 0x0400_0000, 0x7fff_ffff, -1, 0]) {
  Deno.test(`claim: the first of several has generation ${generation}`, () => {
    const words = handleAt(generation);
    assertEquals(claimantOf(words, 0), -1);
    assertEquals(tryClaimSubmitted(words, 0, 31), true);
    assertEquals(claimantOf(words, 0), 31);
    for (const other of [0, 1, 30, 31]) assertEquals(tryClaimSubmitted(words, 0, other), false);
    assertEquals(claimantOf(words, 0), 31);
  });
}

Deno.test("claim: it ends with the use of the handle", () => {
  const words = handleAt(7);
  tryClaimSubmitted(words, 0, 3);
  words[HANDLE.generationLow]!++;
  assertEquals(claimantOf(words, 0), -1);
  assertEquals(tryClaimSubmitted(words, 0, 4), true);
});

Deno.test("claim: it ends with the use of the handle also where its bits come again", () => {
  const words = handleAt(7, COMPLETED_LOCAL);
  words[HANDLE.claim] = claimBy(3, 7);
  makeIdle(words, 0);
  // All of the generation that a claim has room for.
  words[HANDLE.generationLow] = 7 + 2 ** 25;
  assertEquals(claimantOf(words, 0), -1);
});

Deno.test("claim: what is not submitted cannot be claimed", () => {
  const words = handleAt(7, COMPLETED_SHARED);
  assertEquals([tryClaimSubmitted(words, 0, 3), claimantOf(words, 0)], [false, -1]);
});

Deno.test("claim: one that comes too late leaves that of the next use alone", () => {
  const words = handleAt(8);
  tryClaimSubmitted(words, 0, 3);
  assertEquals([tryClaim(words, 0, 5, 7), claimantOf(words, 0)], [false, 3]);
});

Deno.test("claim: it is taken over only from who has it", () => {
  const words = handleAt(9);
  tryClaimSubmitted(words, 0, 3);
  assertEquals([tryClaim(words, 0, 5, 9, 4), claimantOf(words, 0)], [false, 3]);
  assertEquals([tryClaim(words, 0, 5, 9, 3), claimantOf(words, 0)], [true, 5]);
  assertEquals([tryClaim(words, 0, 6, 9, 3), claimantOf(words, 0)], [false, 5]);
});
