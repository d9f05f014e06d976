/**
 * prng.ts: random numbers that a printed seed repeats. `AIO_TEST_SEED=<number>` gives the seed of a
 * run; without it one is drawn, and printed. A seeded check that fails names its seed.
 *
 * @module
 */

const SEED_VARIABLE = "AIO_TEST_SEED";
/** The odd 32-bit constant nearest to 2^32 divided by the golden ratio. */
const GOLDEN = 0x9e3779b9;
const UINT32_RANGE = 0x1_0000_0000;

let runSeed: number | undefined;

/** Spreads the bits of a 32-bit number; the step of splitmix32. One input, one output. */
export function mix32(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

/** The seed that a text gives, or an error that names the variable. */
export function parseSeed(text: string): number {
  const seed = Number(text.trim());
  if (text.trim() === "" || !Number.isInteger(seed) || seed < 0 || seed >= UINT32_RANGE) {
    throw new RangeError(`${SEED_VARIABLE} must be an integer from 0 to 2^32 - 1: got "${text}"`);
  }
  return seed;
}

/** How to repeat a run, in one line. */
export function describeSeed(seed: number): string {
  return `repeat with ${SEED_VARIABLE}=${seed}`;
}

/** The seed of this run: from the environment, or drawn once and printed on standard error. */
export function testSeed(): number {
  if (runSeed !== undefined) return runSeed;
  const given = Deno.env.get(SEED_VARIABLE);
  runSeed = given === undefined ? Math.floor(Math.random() * UINT32_RANGE) : parseSeed(given);
  Deno.stderr.writeSync(new TextEncoder().encode(`random numbers: ${describeSeed(runSeed)}\n`));
  return runSeed;
}

/** Runs a test with the seed of this run. @throws an Error that says how to repeat it */
export async function withSeed(run: (seed: number) => Promise<unknown>): Promise<void> {
  const seed = testSeed();
  try {
    await run(seed);
  } catch (error) {
    throw new Error(describeSeed(seed), { cause: error });
  }
}

/** A stream of random numbers, the same for the same seed (xorshift128, filled by splitmix32). */
export class Prng {
  /** What repeats this stream. */
  readonly seed: number;
  /** Four 32-bit words, not all zero: splitmix32 gives each of its outputs once. */
  #words: readonly [number, number, number, number];

  /** @param seed 0 to 2^32 - 1; the run's own if left out */
  constructor(seed: number = testSeed()) {
    this.seed = seed >>> 0;
    const word = (index: number) => mix32(this.seed + Math.imul(index, GOLDEN));
    this.#words = [word(1), word(2), word(3), word(4)];
  }

  /** 0 to 2^32 - 1. */
  uint32(): number {
    const [first, second, third, fourth] = this.#words;
    const mixed = fourth ^ (fourth << 11);
    const next = (mixed ^ (mixed >>> 8) ^ first ^ (first >>> 19)) >>> 0;
    this.#words = [next, first, second, third];
    return next;
  }

  /** An integer from 0 to `limit - 1`; `limit` may go up to 2^53. */
  below(limit: number): number {
    if (!Number.isSafeInteger(limit) || limit < 1) {
      throw new RangeError(`The limit must be a safe integer > 0: got ${limit}`);
    }
    if (limit <= UINT32_RANGE) return Math.floor((this.uint32() / UINT32_RANGE) * limit);
    return ((this.uint32() & 0x1f_ffff) * UINT32_RANGE + this.uint32()) % limit;
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True in `numerator` of `denominator` cases. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }

  /** One of the items. */
  pick<T>(items: readonly [T, ...T[]] | readonly T[]): T {
    if (items.length === 0) throw new RangeError("There is nothing to pick from");
    return items[this.below(items.length)] as T;
  }

  /** The items in a random order, in a new array. */
  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = result[i] as T;
      result[i] = result[j] as T;
      result[j] = held;
    }
    return result;
  }

  /** Random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.uint32() >>> 24);
  }
}

/**
 * Runs a seeded check; what it throws names the seed. The stream differs from that of any other
 * seed given, so two checks of one run may pass `testSeed() + 1` and `testSeed() + 2`.
 *
 * @param check what to run
 * @param seed the run's own if left out
 */
export async function withPrng<T>(
  check: (prng: Prng) => T | Promise<T>,
  seed: number = testSeed(),
): Promise<T> {
  try {
    return await check(new Prng(seed));
  } catch (error) {
    if (error instanceof Error) error.message += ` (${describeSeed(seed)})`;
    throw error;
  }
}

/**
 * Fills a view with the content of an endless made-up file. Each byte depends on the seed and on
 * its position only, so any part of the file can be made without the rest.
 */
export function fillContent(view: Uint8Array, seed: number, offset: number): void {
  const key = mix32(seed ^ GOLDEN);
  let i = 0;
  while (i < view.length) {
    const position = offset + i;
    const wordIndex = Math.floor(position / 4);
    const high = Math.floor(wordIndex / UINT32_RANGE);
    let word = mix32(key + Math.imul(wordIndex, GOLDEN) + mix32(high)) >>> (8 * (position % 4));
    const end = Math.min(view.length, i + 4 - (position % 4));
    for (; i < end; i++) {
      view[i] = word;
      word >>>= 8;
    }
  }
}

/** The bytes of that made-up file from `offset` on. */
export function contentAt(seed: number, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(length);
  fillContent(content, seed, offset);
  return content;
}
