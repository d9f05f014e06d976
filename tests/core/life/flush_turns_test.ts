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

testSharedAios("a thread that ended its flush and died before the bell is heard of", (aio) => {
  const { control, doorbells, id } = backendOf(aio);
  const { change } = new FlushTurns(control, SLOT, doorbells, id);
  const seen = announceWait(change, id);
  endTurnsOf(control, doorbells, id + 1);
  assertNotEquals(Atomics.load(change.words, change.index), seen);
});
