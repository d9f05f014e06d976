/**
 * turns_test.ts: each test has a method, and each method a test where a subject has enough of them.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import type { Part } from "./house/part.ts";
import { Prng } from "./prng.ts";
import { DrawnMethods, methodsByName, Turns } from "./turns.ts";

/** What each test of a subject runs with. */
function testsOf(tests: number, methods: readonly string[], part: Part = "quick"): string[][] {
  const turns = new Turns(tests, part, 0);
  return Array.from({ length: tests }, () => [...turns.next(methods)]);
}

Deno.test("Turns.next() gives each test a method, in turn", () => {
  assertEquals(testsOf(1, ["a", "b", "c"]), [["a"]]);
  assertEquals(testsOf(3, ["a", "b", "c"]), [["a"], ["b"], ["c"]]);
  assertEquals(testsOf(5, ["a", "b", "c"]), [["a"], ["b"], ["c"], ["a"], ["b"]]);
  assertEquals(testsOf(2, []), [[], []]);
});

Deno.test("Turns.next() begins with the method that is drawn", () => {
  const turns = new Turns(3, "quick", 4);
  const chosen = [1, 2, 3].map(() => turns.next(["a", "b", "c"]));
  assertEquals(chosen, [["b"], ["c"], ["a"]]);
});

Deno.test("Turns.next() gives all methods to each test in a run of both parts", () => {
  assertEquals(testsOf(2, ["a", "b"], ""), [["a", "b"], ["a", "b"]]);
});

Deno.test("Turns.next() leaves the other methods of a test to the long part", () => {
  assertEquals(testsOf(2, ["a", "b", "c"], "long"), [["b", "c"], ["a", "c"]]);
});

Deno.test("methodsByName() draws a method for the quick part, and leaves the long part the others", () => {
  const methods = ["a", "b", "c", "d", "e"];
  const drawn = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const quick = methodsByName(`test ${i}`, methods, "quick");
    assertEquals(quick.length, 1);
    const others = methods.filter((method) => !quick.includes(method));
    assertEquals(methodsByName(`test ${i}`, methods, "long"), others);
    assertEquals(methodsByName(`test ${i}`, methods, ""), methods);
    drawn.add(quick[0]!);
  }
  assertEquals(drawn.size, methods.length);
  assertEquals(methodsByName("test", [], "quick"), []);
});

Deno.test("DrawnMethods.next() draws so many for each test of the long part, all in the end", () => {
  const methods = ["a", "b", "c", "d"];
  const drawnBy = (seed: number) => {
    const choice = new DrawnMethods(2, "long", new Prng(seed));
    return Array.from({ length: 3 }, () => choice.next(methods));
  };
  const reached = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    for (const drawn of drawnBy(seed)) {
      assertEquals(drawn, methods.filter((method) => drawn.includes(method)));
      assertEquals(drawn.length, 2);
      reached.add(drawn.join());
    }
    assertEquals(drawnBy(seed), drawnBy(seed));
  }
  assertEquals(reached.size, 6);
  assertEquals(new DrawnMethods(1, "").next(methods), methods);
});

Deno.test("Turns.next() gives tests that not all methods make sense for to those with fewest", () => {
  const turns = new Turns(3, "quick", 0);
  assertEquals([turns.next(["a"]), turns.next(["a", "b"])], [["a"], ["b"]]);
  assertEquals(turns.next(["a", "b", "c"]), ["c"]);
});

Deno.test("Turns.check() finds a method without a test", () => {
  const turns = new Turns(2, "quick", 0);
  turns.next(["a", "b"]);
  turns.next(["a"]);
  assertThrows(() => turns.check(), Error, "no test");
});

Deno.test("Turns.check() finds that a subject has fewer tests than it said, or more", () => {
  const turns = new Turns(1);
  assertThrows(() => turns.check(), Error, "A subject of 1 tests has 0");
  turns.next([]);
  turns.check();
});
