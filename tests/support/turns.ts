/**
 * turns.ts: the tests of one subject share the methods in the quick part of the suite: each test
 * runs with some of them, and each method has at least one of the tests. Elsewhere each test runs
 * with all. For tests that take long, mostly as they start threads and programs.
 *
 * @module
 */

import { isQuickPart } from "./house/part.ts";

/** The turns of one subject. */
export class Turns {
  readonly #tests: number;
  readonly #isQuick: boolean;
  /** How many tests each method has had. */
  readonly #runs = new Map<unknown, number>();
  #count = 0;

  /**
   * Called while the tests of a file are registered.
   *
   * @param tests how many tests the subject has
   * @param isQuick whether they take turns
   */
  constructor(tests: number, isQuick = isQuickPart()) {
    this.#tests = tests;
    this.#isQuick = isQuick;
    Deno.test.afterAll(() => this.check());
  }

  /**
   * The methods that the next test runs with.
   *
   * @param methods those that it makes sense for
   */
  next<T>(methods: readonly T[]): readonly T[] {
    const left = Math.max(1, this.#tests - this.#count++);
    if (!this.#isQuick) return methods;
    const runsOf = (method: T) => this.#runs.get(method) ?? 0;
    const unused = methods.filter((method) => runsOf(method) === 0);
    const count = Math.max(1, Math.ceil(unused.length / left));
    const chosen = [...methods].sort((a, b) => runsOf(a) - runsOf(b)).slice(0, count);
    for (const method of methods) {
      this.#runs.set(method, runsOf(method) + (chosen.includes(method) ? 1 : 0));
    }
    return chosen;
  }

  /** Throws if a method has no test, or if there are fewer or more tests than was said. */
  check(): void {
    if ([...this.#runs.values()].includes(0)) throw new Error("A method has no test of a subject");
    if (this.#count === this.#tests) return;
    throw new Error(`A subject of ${this.#tests} tests has ${this.#count}`);
  }
}
