/**
 * turns.ts: which methods a test runs with in which part of the suite. The quick part covers every
 * subject on every method, but not every test: each runs with some of the methods there, and with
 * the others in the long part.
 *
 * Most tests run with one method in the quick part, which their name draws. Those that take long,
 * mostly as they start threads and programs, share the methods with the other tests of their
 * subject ({@linkcode Turns}). Tests of files of the long part run with all.
 *
 * @module
 */

import { type Part, partOfFile } from "./house/part.ts";

/** The methods that a test without {@linkcode Turns} runs with, of all that it makes sense for. */
export function methodsByName<T>(
  name: string,
  methods: readonly T[],
  part: Part = partOfFile(),
): readonly T[] {
  if (part === "") return methods;
  const drawn = hash(name) % methods.length;
  return methods.filter((_, i) => (i === drawn) === (part === "quick"));
}

/** FNV-1a of a name. */
function hash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** The turns of one subject. */
export class Turns {
  readonly #tests: number;
  readonly #part: Part;
  /** How many tests each method has had. */
  readonly #runs = new Map<unknown, number>();
  #count = 0;

  /**
   * Called while the tests of a file are registered.
   *
   * @param tests how many tests the subject has
   * @param part the part of the suite
   */
  constructor(tests: number, part: Part = partOfFile()) {
    this.#tests = tests;
    this.#part = part;
    Deno.test.afterAll(() => this.check());
  }

  /**
   * The methods that the next test runs with.
   *
   * @param methods those that it makes sense for
   */
  next<T>(methods: readonly T[]): readonly T[] {
    const left = Math.max(1, this.#tests - this.#count++);
    if (this.#part === "") return methods;
    const runsOf = (method: T) => this.#runs.get(method) ?? 0;
    const unused = methods.filter((method) => runsOf(method) === 0);
    const count = Math.max(1, Math.ceil(unused.length / left));
    const chosen = [...methods].sort((a, b) => runsOf(a) - runsOf(b)).slice(0, count);
    for (const method of methods) {
      this.#runs.set(method, runsOf(method) + (chosen.includes(method) ? 1 : 0));
    }
    return methods.filter((method) => chosen.includes(method) === (this.#part === "quick"));
  }

  /** Throws if a method has no test, or if there are fewer or more tests than was said. */
  check(): void {
    if ([...this.#runs.values()].includes(0)) throw new Error("A method has no test of a subject");
    if (this.#count === this.#tests) return;
    throw new Error(`A subject of ${this.#tests} tests has ${this.#count}`);
  }
}
