/** thinning_test.ts: what the quick part leaves to the long one is there, and nothing else. */

import { assert, assertEquals } from "@std/assert";
import type { Part } from "./part.ts";
import { planOf } from "./plan.ts";
import { isLeftToLong, PartOfTests, THINNED_FILES } from "./thinning.ts";

const [FILE, SHARE] = Object.entries(THINNED_FILES)[0]!;
const NAMES = Array.from({ length: 12 }, (_, i) => `thinning: test ${i}`);

/** The tests that a part has. */
function testsOf(part: Part, file: string, text = ""): string[] {
  const tests = new PartOfTests(file, text, part);
  const own = NAMES.filter((name) => tests.has(name));
  assertEquals(tests.count, own.length);
  return own;
}

Deno.test("PartOfTests.has() divides the tests of a thinned file between the parts", () => {
  const quick = testsOf("quick", FILE);
  const long = testsOf("long", FILE);
  assertEquals(quick.length, Math.ceil((NAMES.length - 1) / SHARE));
  assertEquals([...quick, ...long].sort(), [...NAMES].sort());
  assertEquals(testsOf("", FILE), NAMES);
  assertEquals(testsOf("mapped", FILE), NAMES);
});

Deno.test("PartOfTests.has() gives tests that do more in the long part to both", () => {
  assertEquals(testsOf("long", FILE, "isQuickPart()"), NAMES);
  assert(testsOf("quick", FILE, "isQuickPart()").length < NAMES.length);
});

Deno.test("PartOfTests.has() gives the tests of another file to the quick part alone", () => {
  assertEquals(testsOf("quick", "x_test.ts"), NAMES);
  assertEquals(testsOf("long", "x_test.ts"), []);
  assertEquals(testsOf("long", "x_long_test.ts"), NAMES);
});

Deno.test("PartOfTests.has() leaves tests whose methods are chosen to that choice", () => {
  PartOfTests.choose("test that is chosen");
  for (const part of ["quick", "long"] as const) {
    assert(new PartOfTests(FILE, "", part).has("sync: test that is chosen"));
  }
});

Deno.test("isLeftToLong() says the same of a test again", () => {
  const names = ["a", "b", "c", "d", "e", "f"].map((name) => `again ${name}`);
  const first = names.map((name) => isLeftToLong(name, FILE));
  assertEquals(names.map((name) => isLeftToLong(name, FILE)), first);
  assert(first.includes(true) && first.includes(false));
});

Deno.test("THINNED_FILES are files of the quick part, and of the long one", () => {
  for (const part of ["--quick", "--long"]) {
    const { files } = planOf([part]);
    assertEquals(Object.keys(THINNED_FILES).filter((file) => !files.includes(file)), []);
  }
});
