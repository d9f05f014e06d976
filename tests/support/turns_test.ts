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
  assertEquals(testsOf(2, ["a", "b", "c"]), [["a", "b"], ["c"]]);
  assertEquals(testsOf(3, ["a", "b", "c"]), [["a"], ["b"], ["c"]]);
  assertEquals(testsOf(5, ["a", "b", "c"]), [["a"], ["b"], ["c"], ["a"], ["b"]]);
  assertEquals(testsOf(2, []), [[], []]);
});

Deno.test("Turns.next() gives all methods to each test where the run need not be quick", () => {
  assertEquals(testsOf(2, ["a", "b"], false), [["a", "b"], ["a", "b"]]);
});

Deno.test("Turns.next() gives tests that not all methods make sense for to those with fewest", () => {
  const turns = new Turns(3, true);
  assertEquals([turns.next(["a", "b", "c"]), turns.next(["a"])], [["a"], ["a"]]);
  assertEquals(turns.next(["a", "b", "c"]), ["b", "c"]);
});

Deno.test("Turns.check() finds a method without a test", () => {
  const turns = new Turns(2, true);
  const [first] = [turns.next(["a", "b"]), turns.next(["a"])];
  assertEquals(first, ["a"]);
  assertThrows(() => turns.check(), Error, "no test");
});

Deno.test("Turns.check() finds that a subject has fewer tests than it said, or more", () => {
  const turns = new Turns(1);
  assertThrows(() => turns.check(), Error, "A subject of 1 tests has 0");
  turns.next([]);
  turns.check();
});
