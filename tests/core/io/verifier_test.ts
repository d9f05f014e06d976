/** verifier_test.ts: what verifiers may say of a page, and what becomes of their mistakes. */

import { assertEquals, assertThrows } from "@std/assert";
import {
  defineVerifier,
  type PageVerdict,
  type PageVerifier,
  VerifierTable,
} from "../../../core/io/verifier.ts";
import { wrong } from "../../support/core.ts";

const PAGE = Uint8Array.of(1, 2, 3);

function tableOf(verifier: PageVerifier) {
  const warnings: unknown[][] = [];
  const table = new VerifierTable((...warning) => warnings.push(warning));
  table.add("one", verifier);
  return { table, warnings };
}

Deno.test("VerifierTable.verify() returns what the verifier says of the page", () => {
  for (const verdict of ["ok", "badChecksum", "invalid"] as const) {
    const seen: unknown[] = [];
    const { table, warnings } = tableOf((...args) => {
      seen.push(...args);
      return verdict;
    });
    assertEquals(table.verify(1, PAGE, 9), verdict);
    assertEquals([seen, warnings], [[PAGE, 9], []]);
  }
});

Deno.test("VerifierTable.verify() without a verifier finds every page right", () => {
  const { table } = tableOf(() => "invalid");
  assertEquals([table.verify(0, PAGE, 9), table.verify(2, PAGE, 9)], ["ok", "ok"]);
});

Deno.test("a page whose verifier throws is invalid, and the error a warning", () => {
  const cause = new Error("not today");
  const { table, warnings } = tableOf(() => {
    throw cause;
  });
  assertEquals(table.verify(1, PAGE, 9), "invalid");
  assertEquals(warnings, [['The verifier "one" failed on block 9', cause]]);
});

Deno.test("a page whose verifier says anything else is invalid, with a warning", () => {
  const { table, warnings } = tableOf(() => wrong<PageVerdict>("fine"));
  assertEquals(table.verify(1, PAGE, 9), "invalid");
  assertEquals(warnings, [['The verifier "one" returned "fine" for block 9']]);
});

Deno.test("a page whose verifier returns a promise is invalid, and its rejection is taken", async () => {
  const { table, warnings } = tableOf(() => wrong<PageVerdict>(Promise.reject(new Error("late"))));
  assertEquals(table.verify(1, PAGE, 9), "invalid");
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(warnings.map(([message]) => message), ['The verifier "one" failed on block 9']);
});

Deno.test("VerifierTable.add() refuses what is no function, and a name that is taken", () => {
  const { table } = tableOf(() => "ok");
  const add = (name: string, value: unknown) => table.add(name, wrong<PageVerifier>(value));
  const { message } = assertThrows(() => add("two", 5), TypeError);
  assertEquals(message, 'Cannot register verifier "two": 5 is no function');
  assertThrows(() => add("one", () => "ok"), TypeError, "the name is taken");
  assertEquals(table.names, ["invalid", "one"]);
});

Deno.test("defineVerifier() returns what it is given", () => {
  const verifier = () => "ok" as const;
  assertEquals(defineVerifier(verifier) === verifier, true);
});
