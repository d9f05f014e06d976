/** handle_state_test.ts: every pair of the eight states, and that one function guards them. */

import { assertEquals, assertThrows } from "@std/assert";
import { AioInvariantError } from "../../../core/base/assert.ts";
import {
  COMPLETED_IO,
  COMPLETED_LOCAL,
  COMPLETED_SHARED,
  DEFINED,
  HANDED_OUT,
  IDLE,
  NEXT_STATES,
  STAGED,
  STATE_NAMES,
  SUBMITTED,
  updateState,
} from "../../../core/memory/handle_state.ts";

/** PostgreSQL's life cycle, written down once more: all other pairs are refused. */
const ALLOWED: readonly (readonly [number, number])[] = [
  [IDLE, HANDED_OUT],
  [HANDED_OUT, DEFINED],
  [HANDED_OUT, IDLE],
  [DEFINED, STAGED],
  [STAGED, SUBMITTED],
  [SUBMITTED, COMPLETED_IO],
  [COMPLETED_IO, COMPLETED_SHARED],
  [COMPLETED_SHARED, COMPLETED_LOCAL],
  [COMPLETED_LOCAL, IDLE],
];

for (const [from, fromName] of STATE_NAMES.entries()) {
  for (const [to, toName] of STATE_NAMES.entries()) {
    const isAllowed = ALLOWED.some(([a, b]) => a === from && b === to);
    Deno.test(`updateState() ${isAllowed ? "allows" : "refuses"} ${fromName} to ${toName}`, () => {
      const words = new Int32Array(new SharedArrayBuffer(12));
      words[1] = from;
      if (isAllowed) {
        updateState(words, 1, to);
        assertEquals([...words], [0, to, 0]);
      } else {
        assertThrows(
          () => updateState(words, 1, to),
          AioInvariantError,
          `A handle in state ${fromName} cannot become ${toName}`,
        );
        assertEquals([...words], [0, from, 0]);
      }
    });
  }
}

Deno.test("handle states: numbers, names and rows are PostgreSQL's, in order", () => {
  assertEquals(
    [IDLE, HANDED_OUT, DEFINED, STAGED, SUBMITTED, COMPLETED_IO, COMPLETED_SHARED, COMPLETED_LOCAL],
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
  assertEquals(STATE_NAMES.length, 8);
  assertEquals(NEXT_STATES.length, 8);
});
