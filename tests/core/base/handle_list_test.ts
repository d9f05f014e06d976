/** handle_list_test.ts: the list of IOs in flight, against an array that does the same. */

import { assertEquals, assertThrows } from "@std/assert";
import { AioInvariantError } from "../../../core/base/assert.ts";
import { HandleList } from "../../../core/base/handle_list.ts";
import { withPrng } from "../../support/prng.ts";

function entries(list: HandleList): number[] {
  const found: number[] = [];
  for (let entry = list.first; entry >= 0; entry = list.after(entry)) found.push(entry);
  return found;
}

Deno.test("HandleList is empty at first", () => {
  const list = new HandleList(4);
  assertEquals([list.first, list.count, entries(list)], [-1, 0, []]);
});

Deno.test("HandleList keeps the order of appending", () => {
  const list = new HandleList(4);
  for (const entry of [2, 0, 3]) list.append(entry);
  assertEquals([entries(list), list.first, list.count], [[2, 0, 3], 2, 3]);
});

for (const [removed, left] of [[2, [0, 3]], [0, [2, 3]], [3, [2, 0]]] as const) {
  Deno.test(`HandleList.remove() takes out ${removed} of 2, 0, 3`, () => {
    const list = new HandleList(4);
    for (const entry of [2, 0, 3]) list.append(entry);
    list.remove(removed);
    assertEquals([entries(list), list.count], [[...left], 2]);
    list.append(removed);
    assertEquals(entries(list), [...left, removed]);
  });
}

Deno.test("HandleList refuses to take one twice, or out twice", () => {
  const list = new HandleList(4);
  list.append(1);
  assertThrows(() => list.append(1), AioInvariantError, "A handle entered a list twice");
  assertThrows(() => list.remove(2), AioInvariantError, "A handle left a list it was not in");
  list.remove(1);
  assertThrows(() => list.remove(1), AioInvariantError, "A handle left a list it was not in");
  assertEquals(list.count, 0);
});

Deno.test("HandleList does what an array does, over thousands of random steps", async () => {
  await withPrng((prng) => {
    for (const capacity of [1, 2, 7, 64]) {
      const list = new HandleList(capacity);
      const model: number[] = [];
      for (let step = 0; step < 2000; step++) {
        const entry = prng.below(capacity);
        const at = model.indexOf(entry);
        if (at < 0) {
          list.append(entry);
          model.push(entry);
        } else {
          list.remove(entry);
          model.splice(at, 1);
        }
        assertEquals(list.count, model.length);
        assertEquals(list.first, model[0] ?? -1);
        if (step % 20 === 0) assertEquals(entries(list), model);
      }
      assertEquals(entries(list), model);
    }
  });
});
