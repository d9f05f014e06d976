/**
 * greatest.ts: the greatest of some numbers that come and go in any order, in few steps however
 * many there are.
 *
 * @module
 */

import { assert } from "./assert.ts";

/** So many that are gone may be left before it is worth while to sort them out. */
const GONE_MAX = 64;

/** Numbers, some of them more than once. */
export class Greatest {
  /** How often each is there. */
  readonly #counts = new Map<number, number>();
  /** A heap of those that are there, the greatest first, and of some that are gone. */
  #heap: number[] = [];
  #size = 0;

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /** The greatest; undefined: there is none. */
  get greatest(): number | undefined {
    return this.#heap[0];
  }

  /** One comes. */
  add(number: number): void {
    const count = this.#counts.get(number) ?? 0;
    this.#counts.set(number, count + 1);
    this.#size++;
    if (count === 0) this.#push(number);
  }

  /** One of those that are there goes. */
  remove(number: number): void {
    const count = this.#counts.get(number) ?? 0;
    assert(count > 0, "A number goes that is not there");
    this.#size--;
    if (count > 1) {
      this.#counts.set(number, count - 1);
      return;
    }
    this.#counts.delete(number);
    const heap = this.#heap;
    while (heap.length > 0 && !this.#counts.has(heap[0]!)) this.#pop();
    if (heap.length <= 2 * this.#counts.size + GONE_MAX) return;
    this.#heap = [...this.#counts.keys()].sort((one, other) => other - one);
  }

  #push(number: number): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(number);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (heap[above]! >= number) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = number;
  }

  /** Takes the first away. */
  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return;
    let at = 0;
    for (let below = 1; below < length; below = 2 * at + 1) {
      if (below + 1 < length && heap[below + 1]! > heap[below]!) below++;
      if (last >= heap[below]!) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
  }
}
