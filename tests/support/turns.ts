/**
 * turns.ts: which methods a test runs with in which part of the suite. The quick part covers every
 * subject, and each method in most of them: a test runs with one of the methods there, and with the
 * others in the long part.
 *
 * Most tests run with one method in the quick part, which their name draws, if they are not left to
 * the long one (`house/thinning.ts`). Those that take long,
 * mostly as they start threads and programs, share the methods with the other tests of their
 * subject ({@linkcode Turns}). Tests of files of the long part run with all; where they take long
 * and hardly depend on the method, with some that each run draws ({@linkcode DrawnMethods}).
 *
 * @module
 */

import { fileUnderTest, type Part, partOfFile, partOfRun } from "./house/part.ts";
import { Prng } from "./prng.ts";

/** What says which methods a test runs with. */
export interface MethodChoice {
  /**
   * Those of the next test.
   *
   * @param methods those that it makes sense for
   */
  next<T>(methods: readonly T[]): readonly T[];
}

/** The methods that a test without {@linkcode Turns} runs with, of all that it makes sense for. */
export function methodsByName<T>(
  name: string,
  methods: readonly T[],
  part: Part = partOfFile(),
): readonly T[] {
  if (part === "") return methods;
  const drawn = hashOf(name) % methods.length;
  return methods.filter((_, i) => (i === drawn) === (part === "quick"));
}

/** Draws a number by a name: FNV-1a. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * So many methods a test, drawn with the run's seed, for files of the long part. A run of both
 * parts has all methods, and so has `deno test` of such a file.
 */
export class DrawnMethods implements MethodChoice {
  readonly #count: number;
  readonly #prng: Prng | null;

  /**
   * @param count methods a test
   * @param part the part of the suite
   * @param prng draws them; by default the run's own
   */
  constructor(count: number, part: Part = partOfRun(), prng?: Prng) {
    this.#count = count;
    this.#prng = part === "long" ? prng ?? new Prng() : null;
  }

  next<T>(methods: readonly T[]): readonly T[] {
    if (this.#prng === null) return methods;
    const drawn = this.#prng.shuffled(methods).slice(0, this.#count);
    return methods.filter((method) => drawn.includes(method));
  }
}

/** The turns of one subject: its tests run with one method each in the quick part, in turn. */
export class Turns implements MethodChoice {
  readonly #tests: number;
  readonly #part: Part;
  readonly #first: number;
  /** How many tests each method has had. */
  readonly #runs = new Map<unknown, number>();
  #count = 0;

  /**
   * Called while the tests of a file are registered.
   *
   * @param tests how many tests the subject has
   * @param part the part of the suite
   * @param first draws the method that begins
   */
  constructor(tests: number, part: Part = partOfFile(), first = hashOf(fileUnderTest())) {
    this.#tests = tests;
    this.#part = part;
    this.#first = first;
    Deno.test.afterAll(() => this.check());
  }

  next<T>(methods: readonly T[]): readonly T[] {
    this.#count++;
    if (this.#part === "" || methods.length === 0) return methods;
    for (const method of methods) this.#runs.set(method, this.#runs.get(method) ?? 0);
    const start = this.#first % methods.length;
    const turned = [...methods.slice(start), ...methods.slice(0, start)];
    const [chosen] = turned.sort((a, b) => this.#runs.get(a)! - this.#runs.get(b)!);
    this.#runs.set(chosen, this.#runs.get(chosen)! + 1);
    return methods.filter((method) => (method === chosen) === (this.#part === "quick"));
  }

  /** Throws if a method has no test though there are enough, or if there are fewer or more. */
  check(): void {
    if (this.#count !== this.#tests) {
      throw new Error(`A subject of ${this.#tests} tests has ${this.#count}`);
    }
    if (this.#tests < this.#runs.size || ![...this.#runs.values()].includes(0)) return;
    throw new Error("A method has no test of a subject");
  }
}
