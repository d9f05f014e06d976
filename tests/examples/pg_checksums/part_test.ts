/**
 * part_test.ts: {@linkcode PartsInOrder} puts what threads find in order.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { emptyPart, type Part, PartsInOrder } from "../../../examples/pg_checksums/part.ts";

function part(file: number, firstBlock: number, blockCount: number, isLast = false): Part {
  return { ...emptyPart(file, firstBlock), blockCount, isLast };
}

/** What comes of parts, each as the file and its first block. */
function order(parts: Part[]): string[] {
  const passed: string[] = [];
  const inOrder = new PartsInOrder(({ file, firstBlock }) => passed.push(`${file}/${firstBlock}`));
  for (const one of parts) inOrder.add(one);
  return passed;
}

Deno.test("PartsInOrder.add() hands parts on in the order of files and blocks", () => {
  const parts = [part(1, 0, 5, true), part(0, 20, 7, true), part(0, 10, 10), part(2, 0, 0, true)];
  assertEquals(order(parts), []);
  assertEquals(order([...parts, part(0, 0, 10)]), ["0/0", "0/10", "0/20", "1/0", "2/0"]);
});

Deno.test("PartsInOrder.add() hands nothing on behind a failure", () => {
  const failed = { ...part(0, 10, 3), failure: "could not read" };
  const parts = [part(1, 0, 1, true), failed, part(0, 20, 10), part(0, 0, 10), part(0, 13, 7)];
  assertEquals(order(parts), ["0/0", "0/10"]);
});
