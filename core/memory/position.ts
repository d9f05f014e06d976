/**
 * position.ts: a number of up to 53 bits in shared memory that is whole after every store, so that
 * it can be read without the lock of whoever writes it, and a thread may die while it does.
 *
 * It is two words, written to the one of two pairs that does not hold; a version says which one
 * does.
 *
 * @module
 */

import { fromWords, highWord, lowWord } from "../../ffi/memory.ts";

/** The words that a position takes: a version, and two pairs. */
export const POSITION_WORDS = 5;

/** Reads a position, in whichever thread. */
export function positionAt(words: Int32Array, at: number): number {
  for (;;) {
    const version = Atomics.load(words, at);
    const pair = pairOf(at, version);
    const position = fromWords(Atomics.load(words, pair), Atomics.load(words, pair + 1));
    if (Atomics.load(words, at) === version) return position;
  }
}

/** Writes a position. One thread at a time does so. */
export function setPosition(words: Int32Array, at: number, position: number): void {
  Atomics.store(words, at, writePair(words, at, position));
}

/** Reads a position that nobody writes meanwhile: under its lock, or in the writing thread. */
export function quietPosition(words: Int32Array, at: number): number {
  const pair = pairOf(at, words[at]!);
  return fromWords(words[pair]!, words[pair + 1]!);
}

/**
 * Writes a position for others to find after this thread's next atomic store. Before that they may
 * find it in parts.
 */
export function preparePosition(words: Int32Array, at: number, position: number): void {
  words[at] = writePair(words, at, position);
}

/** Writes the pair that does not hold. @returns the version by which it will */
function writePair(words: Int32Array, at: number, position: number): number {
  const version = words[at]! + 1 | 0;
  const pair = pairOf(at, version);
  words[pair] = lowWord(position);
  words[pair + 1] = highWord(position);
  return version;
}

function pairOf(at: number, version: number): number {
  return at + 1 + (version & 1) * 2;
}
