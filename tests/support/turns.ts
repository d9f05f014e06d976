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

  /** The methods that the next test runs with. */
  next<T>(methods: readonly T[]): readonly T[] {
    const turn = this.#count++;
    if (!this.#isQuick) return methods;
    const parts = Math.min(this.#tests, methods.length);
    return methods.filter((_, i) => i % parts === turn % parts);
  }

  /** Throws if there are fewer or more tests: a method might have none. */
  check(): void {
    if (this.#count === this.#tests) return;
    throw new Error(`A subject of ${this.#tests} tests has ${this.#count}`);
  }
}
