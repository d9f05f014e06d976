/**
 * handle_list.ts: handles of one backend in an order, with removal anywhere; no memory per entry.
 *
 * @module
 */

import { assert } from "./assert.ts";

const NONE = -1;
/** In `next`: the entry is not in the list. */
const OUTSIDE = -2;

/** A doubly linked list of small numbers, each at most once. */
export class HandleList {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #head = NONE;
  #tail = NONE;
  #count = 0;

  /**
   * @param capacity the numbers are 0 to capacity - 1
   */
  constructor(capacity: number) {
    this.#next = new Int32Array(capacity).fill(OUTSIDE);
    this.#previous = new Int32Array(capacity).fill(NONE);
  }

  /** How many are in it. */
  get count(): number {
    return this.#count;
  }

  /** The first one; -1 if it is empty. */
  get first(): number {
    return this.#head;
  }

  /** The one behind another; -1 after the last. */
  after(entry: number): number {
    return this.#next[entry]!;
  }

  /** Whether one is in it. */
  has(entry: number): boolean {
    return this.#next[entry] !== OUTSIDE;
  }

  /** Puts one at the end. */
  append(entry: number): void {
    assert(this.#next[entry] === OUTSIDE, "A handle entered a list twice");
    this.#next[entry] = NONE;
    this.#previous[entry] = this.#tail;
    if (this.#tail === NONE) this.#head = entry;
    else this.#next[this.#tail] = entry;
    this.#tail = entry;
    this.#count++;
  }

  /** Takes one out. */
  remove(entry: number): void {
    const next = this.#next[entry]!;
    assert(next !== OUTSIDE, "A handle left a list it was not in");
    this.#next[entry] = OUTSIDE;
    const previous = this.#previous[entry]!;
    if (previous === NONE) this.#head = next;
    else this.#next[previous] = next;
    if (next === NONE) this.#tail = previous;
    else this.#previous[next] = previous;
    this.#count--;
  }
}
