/** soak_turns_test.ts: no way of a soak leaves out a method. */

import { assertEquals } from "@std/assert";
import { turnOf } from "./soak_turns.ts";

for (const methods of [["a"], ["a", "b"], ["a", "b", "c", "d"]]) {
  for (const ways of [[1], [1, 2], [1, 2, 3, 4]]) {
    Deno.test(`turnOf() has each of ${ways.length} ways meet each of ${methods.length} methods`, () => {
      const count = methods.length * ways.length;
      const pairs = Array.from({ length: count }, (_, i) => {
        const { method, way } = turnOf(7 + i, methods, ways);
        return `${method}${way}`;
      });
      const wanted = methods.flatMap((method) => ways.map((way) => `${method}${way}`));
      assertEquals(pairs.sort(), wanted);
    });
  }
}
