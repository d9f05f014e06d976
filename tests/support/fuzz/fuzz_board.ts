/**
 * fuzz_board.ts: where the threads of a random test leave wait references for each other, in shared
 * memory: each in one word, so that none is ever half of two.
 *
 * @module
 */

import { assert } from "@std/assert";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import type { Prng } from "../prng.ts";

const PLACES = 32;
/** A word is a handle, and behind it a generation. */
const HANDLE_BITS = 10;

/** One thread's side of it. */
export class FuzzBoard {
  readonly #words: Int32Array;
  readonly #number: number;
  readonly #threads: number;
  readonly #prng: Prng;

  constructor(shared: SharedArrayBuffer, number: number, threads: number, prng: Prng) {
    this.#words = new Int32Array(shared);
    this.#number = number;
    this.#threads = threads;
    this.#prng = prng;
  }

  /** Memory for so many threads. */
  static bytes(threads: number): number {
    return threads * PLACES * Int32Array.BYTES_PER_ELEMENT;
  }

  /** Leaves a reference to an IO that was started. */
  publish({ index, generation }: WaitRef): void {
    const word = generation * 2 ** HANDLE_BITS + index;
    assert(index < 2 ** HANDLE_BITS && word < 2 ** 31, "Too many handles, or uses of one");
    Atomics.store(this.#words, this.#number * PLACES + this.#prng.below(PLACES), word);
  }

  /** One that another thread left; null: none. */
  pick(): WaitRef | null {
    const other = (this.#number + this.#prng.between(1, this.#threads - 1)) % this.#threads;
    const word = Atomics.load(this.#words, other * PLACES + this.#prng.below(PLACES));
    if (word === 0) return null;
    return { index: word % 2 ** HANDLE_BITS, generation: Math.floor(word / 2 ** HANDLE_BITS) };
  }
}
