/**
 * turns_test.ts: each method has a test of a subject, and each test a method, however many there
 * are of both.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { Turns } from "./turns.ts";

/** What each test of a subject runs with. */
function testsOf(tests: number, methods: readonly string[], isQuick = true): string[][] {
  const turns = new Turns(tests, isQuick);
  return Array.from({ length: tests }, () => [...turns.next(methods)]);
}

Deno.test("Turns.next() gives each method a test, and each test a method", () => {
  assertEquals(testsOf(1, ["a", "b", "c"]), [["a", "b", "c"]]);
  assertEquals(testsOf(2, ["a", "b", "c"]), [["a", "c"], ["b"]]);
  assertEquals(testsOf(3, ["a", "b", "c"]), [["a"], ["b"], ["c"]]);
  assertEquals(testsOf(5, ["a", "b", "c"]), [["a"], ["b"], ["c"], ["a"], ["b"]]);
  assertEquals(testsOf(2, []), [[], []]);
});

Deno.test("Turns.next() gives all methods to each test where the run need not be quick", () => {
  assertEquals(testsOf(2, ["a", "b"], false), [["a", "b"], ["a", "b"]]);
});

Deno.test("Turns.check() finds that a subject has fewer tests than it said, or more", () => {
  const turns = new Turns(1);
  // The end of this file checks it, too.
  assertThrows(() => turns.check(), Error, "A subject of 1 tests has 0");
  turns.next([]);
  turns.check();
});
