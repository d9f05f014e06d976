/** flush_turns_test.ts: whoever waits for another thread's flush hears of its death. */

import { assertEquals, assertNotEquals } from "@std/assert";
import { endTurnsOf, FlushTurns } from "../../../core/life/flush_turns.ts";
import { announceWait } from "../../../core/waiting/words.ts";
import { backendOf } from "../../../core/inside.ts";
import { testSharedAios } from "../../support/methods.ts";

const SLOT = 5;

testSharedAios("a thread that dies while it flushes leaves the turn to others", (aio) => {
  const { control, doorbells, id } = backendOf(aio);
  const dead = new FlushTurns(control, SLOT, doorbells, id + 1);
  const turns = new FlushTurns(control, SLOT, doorbells, id);
  for (const isBlocking of [false, true]) {
    dead.tryBegin(isBlocking);
    assertEquals(turns.tryBegin(false), null);
    const seen = announceWait(turns.change, id);
    endTurnsOf(control, doorbells, id + 1);
    assertNotEquals(turns.changes, seen);
    const number = turns.tryBegin(false)!;
    turns.end(number, true);
  }
});

for (const what of ["waits", "is about to wait"]) {
  testSharedAios(`one that ${what} hears of a thread that died behind its flush`, (aio) => {
    const { control, doorbells, id } = backendOf(aio);
    const turns = new FlushTurns(control, SLOT, doorbells, id);
    const seen = what === "waits" ? announceWait(turns.change, id) : turns.changes;
    // It had made the place free, and had not rung the bell.
    endTurnsOf(control, doorbells, id + 1);
    assertNotEquals(turns.changes, seen);
  });
}
