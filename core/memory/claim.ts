/**
 * claim.ts: which thread completes an IO, where more than one could.
 *
 * The issuer's method knows who completes its own IO. A thread that completes another one's says so
 * first, in a word of the handle: if it dies half-way, whoever finds out goes on in its place, and
 * whoever takes over from a dead issuer leaves alone what a living thread is about.
 *
 * The word is the claimant's number and the low bits of the generation, so that it ends with the
 * use of the handle by itself: a claim that came too late says nothing about the next use. The
 * handle's owner clears it before the next use all the same, as those bits come again.
 *
 * @module
 */

import { SUBMITTED } from "./handle_state.ts";
import { HANDLE } from "./shared_memory.ts";

/** There are 32 backends and 32 helpers at most, and 0 is nobody. */
const CLAIMANT_BITS = 7;
const CLAIMANT_MASK = (1 << CLAIMANT_BITS) - 1;

function claimOf(generationLow: number, backendId: number): number {
  return (generationLow << CLAIMANT_BITS) | (backendId + 1);
}

function claimantIn(claim: number, generationLow: number): number {
  const backendId = (claim & CLAIMANT_MASK) - 1;
  return claim === claimOf(generationLow, backendId) ? backendId : -1;
}

/** The backend or helper that has claimed the present use of a handle; -1: none. */
export function claimantOf(words: Int32Array, base: number): number {
  const low = Atomics.load(words, base + HANDLE.generationLow);
  return claimantIn(Atomics.load(words, base + HANDLE.claim), low);
}

/**
 * Claims one use of a handle. Its state is to be looked at after its generation was, and before
 * this: the other way round the claim could be one of the next use, which nobody has submitted yet.
 *
 * @param generationLow of which use
 * @param from the claimant that must have it until now; -1: none
 * @returns false if somebody else has it, or it is over meanwhile
 */
export function tryClaim(
  words: Int32Array,
  base: number,
  backendId: number,
  generationLow: number,
  from = -1,
): boolean {
  const present = Atomics.load(words, base + HANDLE.claim);
  // A claim of a later use is not to be overwritten: it would look like nobody's to the late comer.
  if (Atomics.load(words, base + HANDLE.generationLow) !== generationLow) return false;
  if (claimantIn(present, generationLow) !== from) return false;
  const claim = claimOf(generationLow, backendId);
  if (Atomics.compareExchange(words, base + HANDLE.claim, present, claim) !== present) return false;
  return Atomics.load(words, base + HANDLE.generationLow) === generationLow;
}

/**
 * Whether another thread has claimed an own IO. Its issuer completes it without a claim, but may
 * find a completion that another thread took, claimed the IO for, and died before it stored it:
 * whoever reaps that thread executes the IO again, and may be at it.
 */
export function isClaimedByOther(words: Int32Array, base: number, backendId: number): boolean {
  const claimant = claimantOf(words, base);
  return claimant >= 0 && claimant !== backendId;
}

/** Takes the claim of a dead thread back, so that others may claim the IO. */
export function releaseClaim(words: Int32Array, base: number, dead: number): void {
  const claim = claimOf(Atomics.load(words, base + HANDLE.generationLow), dead);
  Atomics.compareExchange(words, base + HANDLE.claim, claim, 0);
}

/**
 * As {@linkcode tryClaim}, for an IO that the method has, by default its present use.
 *
 * @returns false, too, if it has not
 */
export function tryClaimSubmitted(
  words: Int32Array,
  base: number,
  backendId: number,
  generationLow: number = Atomics.load(words, base + HANDLE.generationLow),
): boolean {
  if (Atomics.load(words, base + HANDLE.generationLow) !== generationLow) return false;
  if (Atomics.load(words, base + HANDLE.state) !== SUBMITTED) return false;
  return tryClaim(words, base, backendId, generationLow);
}
