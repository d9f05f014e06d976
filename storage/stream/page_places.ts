/**
 * page_places.ts: which places for pages of a stream's private memory are taken.
 *
 * Pages are taken in the order in which they are delivered, and given back in nearly the same. So
 * the next ones are found where the last ones end, in a row: a row is one buffer for the kernel.
 * For that there are a few more places than pages that may be taken.
 *
 * @module
 */

/** Few are taken up to this part of them. */
const FEW_SHARE = 4;

/** The places of one run of memory. */
export class PagePlaces {
  readonly #isTaken: Uint8Array;
  readonly #usable: number;
  #taken = 0;
  #next = 0;

  /**
   * @param count how many there are
   * @param usable how many of them may be taken at the same time
   */
  constructor(count: number, usable: number) {
    this.#isTaken = new Uint8Array(count);
    this.#usable = usable;
  }

  /** How many are taken. */
  get taken(): number {
    return this.#taken;
  }

  /** How many may still be taken. */
  get left(): number {
    return this.#usable - this.#taken;
  }

  /**
   * Takes places, in a row if there is one.
   *
   * @param count not more than are left
   * @param into filled, in ascending order if they are in a row
   */
  take(count: number, into: Int32Array): void {
    const first = this.#findRow(count);
    if (first < 0) this.#takeAny(count, into);
    else {
      for (let i = 0; i < count; i++) this.#take(first + i, into, i);
    }
    this.#taken += count;
  }

  #take(place: number, into: Int32Array, i: number): void {
    into[i] = place;
    this.#isTaken[place] = 1;
    this.#next = place + 1;
  }

  /** The next row at or behind the last ones, or from the beginning; -1 if there is none. */
  #findRow(count: number): number {
    const places = this.#isTaken.length;
    // A stream that reads little ahead stays within the processor's cache.
    if (this.#taken * FEW_SHARE <= places) {
      const low = this.#findRowFrom(0, places, count);
      if (low >= 0) return low;
    }
    const ahead = this.#findRowFrom(this.#next, places, count);
    return ahead >= 0
      ? ahead
      : this.#findRowFrom(0, Math.min(this.#next + count - 1, places), count);
  }

  #findRowFrom(from: number, to: number, count: number): number {
    let length = 0;
    for (let place = from; place < to; place++) {
      length = this.#isTaken[place] === 0 ? length + 1 : 0;
      if (length === count) return place - count + 1;
    }
    return -1;
  }

  #takeAny(count: number, into: Int32Array): void {
    let found = 0;
    for (let place = 0; found < count; place++) {
      if (this.#isTaken[place] === 0) this.#take(place, into, found++);
    }
  }

  /** Gives a place back. */
  giveBack(place: number): void {
    this.#isTaken[place] = 0;
    this.#taken--;
  }
}
