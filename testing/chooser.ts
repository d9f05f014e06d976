/**
 * chooser.ts: what decides where more than one thing can have reached the disk: chance, repeated by
 * its seed, or each choice in turn.
 *
 * @module
 */

/** Decides. */
export interface Chooser {
  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number;
  /** Whether a change has reached the disk. */
  coin(): boolean;
  /** How many of so many changes, the first ones, have. */
  prefix(length: number): number;
  /** What repeats all choices made since the last state began. */
  readonly seed: string;
}

const UINT32_RANGE = 2 ** 32;

/** Chance. Each state has a bias of its own: all but a little, only a little, or anything. */
export class RandomChooser implements Chooser {
  #seed = 0;
  #state = 0;
  #threshold = 0;

  /** Begins a state. @param seed 0 to 2^32 - 1 */
  begin(seed: number): void {
    this.#seed = seed >>> 0;
    this.#state = this.#seed;
    const bias = this.#next() >>> 30;
    this.#threshold = bias === 0
      ? UINT32_RANGE / 16
      : bias === 1
      ? UINT32_RANGE * 15 / 16
      : UINT32_RANGE / 2;
  }

  get seed(): string {
    return this.#seed.toString(16);
  }

  /** splitmix32: 0 to 2^32 - 1. */
  #next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  below(limit: number): number {
    return limit <= 1 ? 0 : Math.floor(this.#next() / UINT32_RANGE * limit);
  }

  coin(): boolean {
    return this.#next() < this.#threshold;
  }

  prefix(length: number): number {
    if (length === 1) return this.coin() ? 1 : 0;
    const threshold = this.#threshold;
    if (threshold === UINT32_RANGE / 2) return this.below(length + 1);
    if (this.#next() < UINT32_RANGE / 16) return this.below(length + 1);
    return threshold < UINT32_RANGE / 2 ? 0 : length;
  }
}

/** Each choice in turn: the last one first, as a number that is counted up. */
export class ExhaustiveChooser implements Chooser {
  readonly #digits: number[] = [];
  readonly #limits: number[] = [];
  #at = 0;

  /** @param digits the choices of one state; default: those of the first one */
  constructor(digits: readonly number[] = []) {
    this.#digits.push(...digits);
  }

  /** Begins a state. */
  begin(): void {
    this.#at = 0;
  }

  get seed(): string {
    return this.#digits.slice(0, this.#at).join(".");
  }

  below(limit: number): number {
    if (limit <= 1) return 0;
    const at = this.#at++;
    if (at === this.#digits.length) this.#digits.push(0);
    this.#limits[at] = limit;
    return this.#digits[at]!;
  }

  coin(): boolean {
    return this.below(2) === 1;
  }

  prefix(length: number): number {
    return this.below(length + 1);
  }

  /** Goes on to the next choices. @returns false if there are none left */
  next(): boolean {
    const digits = this.#digits;
    digits.length = this.#at;
    while (digits.length > 0) {
      if (++digits[digits.length - 1]! < this.#limits[digits.length - 1]!) return true;
      digits.pop();
    }
    return false;
  }
}
