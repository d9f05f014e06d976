/**
 * file_ends_test.ts: where files end that are appended to: links between openings, places, what a
 * thread that dies leaves of them.
 *
 * @module
 */

import { assert, assertEquals, assertFalse } from "@std/assert";
import {
  COMPLETED_LOCAL,
  COMPLETED_SHARED,
  HANDED_OUT,
  IDLE,
} from "../../../core/memory/handle_state.ts";
import { FILE, HANDLE } from "../../../core/memory/shared_memory.ts";
import { close, learn, makeThreads, open, write } from "../../support/file_ends.ts";
import { Prng } from "../../support/prng.ts";

Deno.test("FileEnds.link() links all openings of a file, and later ones, and no others", () => {
  const { tables: [first, second] } = makeThreads(2);
  const one = open(first!, 7);
  const other = open(second!, 7);
  const stranger = open(first!, 8);
  const elsewhere = open(first!, 7, 2);
  learn(second!, other, 50);
  const late = open(first!, 7);
  for (const slot of [one, other, late]) {
    assert(first!.ends.isKnown(slot.slot));
    assertEquals(first!.ends.endOf(slot.slot), 50);
  }
  for (const { slot } of [stranger, elsewhere]) assertFalse(first!.ends.isLinked(slot));
});

Deno.test("FileEnds keeps a record for as long as any opening is linked to it", () => {
  const { tables: [files] } = makeThreads(1, 3);
  const one = open(files!, 7);
  const two = open(files!, 7);
  learn(files!, one, 50);
  close(files!, one);
  // Others take the slot, and make records of their own.
  for (let round = 0; round < 6; round++) {
    const other = open(files!, 100 + round);
    learn(files!, other, round);
    assertEquals(files!.ends.endOf(other.slot), round);
    assertEquals(files!.ends.endOf(two.slot), 50);
    close(files!, other);
  }
  close(files!, two);
  const again = open(files!, 7);
  assertFalse(files!.ends.isLinked(again.slot), "an end is forgotten with the last opening");
});

Deno.test("FileEnds.link() makes a record that has nothing of the file before it", () => {
  const { tables: [files] } = makeThreads(1);
  const old = open(files!, 7);
  learn(files!, old, 1000);
  const asked = files!.ends.askedVersion(old.slot);
  files!.ends.raise(old.slot, 900);
  assert(files!.ends.tryReset(old.slot, asked, 0));
  assertEquals(files!.ends.endOf(old.slot), 900);
  close(files!, old);
  const slot = open(files!, 8);
  learn(files!, slot, 0);
  // It is set back before it has ever moved.
  assert(files!.ends.tryReset(slot.slot, files!.ends.askedVersion(slot.slot), 0));
  assertEquals(files!.ends.endOf(slot.slot), 0);
});

Deno.test("FileEnds has a record for every file that can be open", () => {
  const { tables: [files] } = makeThreads(1, 5);
  const slots = Array.from({ length: 5 }, (_, i) => open(files!, i));
  for (const [i, slot] of slots.entries()) learn(files!, slot, 10 * i);
  assertEquals(slots.map(({ slot }) => files!.ends.endOf(slot)), [0, 10, 20, 30, 40]);
});

Deno.test("FileEnds.reserve() gives places one after another, beyond 32 bits too", () => {
  const { tables: [first, second] } = makeThreads(2);
  const one = open(first!, 7);
  const other = open(second!, 7);
  learn(first!, one, 2 ** 32 - 10);
  assertEquals(first!.ends.reserve(one, 4), 2 ** 32 - 10);
  assertEquals(second!.ends.reserve(other, 20), 2 ** 32 - 6);
  assertEquals(first!.ends.reserve(one, 2 ** 40), 2 ** 32 + 14);
  assertEquals(second!.ends.endOf(other.slot), 2 ** 32 + 14 + 2 ** 40);
});

Deno.test("FileEnds.tryLearn() takes the greatest of all that it hears of", () => {
  const threads = makeThreads(1);
  const { tables: [files] } = threads;
  const sizes = [[50, 0, 50], [50, 80, 80], [90, 80, 90], [10, 70, 100]] as const;
  for (const [i, [size, written, expected]] of sizes.entries()) {
    const slot = open(files!, i);
    files!.ends.link(slot.slot);
    const setBack = files!.ends.setBackAt(slot.slot);
    if (written > 0) write(threads, 0, slot, 10, written);
    const reached = files!.ends.writesEnd(slot.slot);
    assertEquals(reached, written);
    // A write that starts meanwhile finds the link.
    if (i === 3) files!.ends.raise(slot.slot, 100);
    assert(files!.ends.tryLearn(slot.slot, setBack, size, reached));
    assertEquals(files!.ends.endOf(slot.slot), expected);
    threads.control.words[threads.control.handleAt(0) + HANDLE.state] = IDLE;
  }
});

Deno.test("FileEnds.tryLearn() of a thread that comes later changes nothing", () => {
  const { tables: [first, second] } = makeThreads(2);
  const one = open(first!, 7);
  const other = open(second!, 7);
  first!.ends.link(one.slot);
  second!.ends.link(other.slot);
  const setBack = second!.ends.setBackAt(other.slot);
  assert(first!.ends.tryLearn(one.slot, first!.ends.setBackAt(one.slot), 10, 0));
  first!.ends.reserve(one, 5);
  first!.ends.giveBack(one.slot, { from: 10, to: 15 });
  // The size that it asked for is of a write that was given back.
  assert(second!.ends.tryLearn(other.slot, setBack, 15, 0));
  assertEquals(second!.ends.endOf(other.slot), 10);
});

Deno.test("FileEnds.writesEnd() counts writes of the file alone, in flight, and intents", () => {
  const threads = makeThreads(2);
  const { control, tables: [first, second] } = threads;
  const one = open(first!, 7);
  const other = open(second!, 7);
  const stranger = open(first!, 8);
  learn(first!, one, 10);
  write(threads, 0, stranger, 0, 500);
  assertEquals(first!.ends.writesEnd(one.slot), 0);
  write(threads, 70, other, 20, 40);
  assertEquals(first!.ends.writesEnd(one.slot), 40);
  for (const state of [IDLE, HANDED_OUT]) {
    control.words[control.handleAt(70) + HANDLE.state] = state;
    assertEquals(first!.ends.writesEnd(one.slot), 0);
  }
  second!.ends.reserve(other, 90);
  assertEquals(first!.ends.writesEnd(one.slot), 100);
  second!.ends.started();
  assertEquals(first!.ends.writesEnd(one.slot), 0);
});

Deno.test("FileEnds.writesEnd() counts an IO whose issuer has not heard yet that it was short", () => {
  const threads = makeThreads(1);
  const { control, control: { words }, tables: [files] } = threads;
  const slot = open(files!, 7);
  const base = control.handleAt(0);
  for (const state of [COMPLETED_SHARED, COMPLETED_LOCAL]) {
    for (const [result, expected] of [[20, 0], [19, 40], [-4, 40]] as const) {
      write(threads, 0, slot, 20, 40);
      words[base + HANDLE.rawResult] = result;
      words[base + HANDLE.state] = state;
      assertEquals(files!.ends.writesEnd(slot.slot), expected, `${state} ${result}`);
    }
  }
});

Deno.test("FileEnds.beginLong() makes an intent of one place at a time", () => {
  const { tables: [files] } = makeThreads(1);
  const slot = open(files!, 7);
  assert(files!.ends.beginLong(slot, { from: 10, to: 60 }));
  assertFalse(files!.ends.beginLong(slot, { from: 60, to: 600 }));
  files!.ends.endLong();
  assert(files!.ends.beginLong(slot, { from: 60, to: 600 }));
});

Deno.test("FileEnds.beginWrite() keeps the end behind a write until endWrite()", () => {
  const { tables: [first, second] } = makeThreads(2);
  const one = open(first!, 7);
  const other = open(second!, 7);
  first!.ends.beginWrite(one.slot, 2 ** 33);
  assertEquals(second!.ends.writesEnd(other.slot), 2 ** 33, "before the file is linked");
  learn(second!, other, 10);
  assertEquals(second!.ends.endOf(other.slot), 2 ** 33);
  second!.ends.beginWrite(other.slot, 50);
  second!.ends.beginWrite(other.slot, 40);
  first!.ends.endWrite(one.slot, 2 ** 33);
  second!.ends.endWrite(other.slot, 50);
  assertEquals(first!.ends.writesEnd(one.slot), 40);
  second!.ends.endWrite(other.slot, 40);
  assertEquals(first!.ends.writesEnd(one.slot), 0);
});

Deno.test("FileEnds.endWrite() leaves the end behind writes of other threads", () => {
  const { tables: [first, second] } = makeThreads(2);
  const slot = open(first!, 7);
  second!.ends.beginWrite(slot.slot, 80);
  for (const to of [100, 90, 100]) first!.ends.beginWrite(slot.slot, to);
  for (const to of [100, 100]) first!.ends.endWrite(slot.slot, to);
  assertEquals(first!.ends.writesEnd(slot.slot), 100, "since there were none");
  second!.ends.endWrite(slot.slot, 80);
  first!.ends.beginWrite(slot.slot, 95);
  assertEquals(first!.ends.writesEnd(slot.slot), 95);
  first!.ends.endWrite(slot.slot, 95);
  assertEquals(first!.ends.writesEnd(slot.slot), 90);
});

Deno.test("FileEnds.narrowWrite() has a write reach less far", () => {
  const { tables: [first, second] } = makeThreads(2);
  const slot = open(first!, 7);
  first!.ends.beginWrite(slot.slot, 100);
  first!.ends.narrowWrite(slot.slot, 100, 50);
  assertEquals(second!.ends.writesEnd(slot.slot), 50);
  first!.ends.beginWrite(slot.slot, 60);
  first!.ends.narrowWrite(slot.slot, 50, 1);
  assertEquals(second!.ends.writesEnd(slot.slot), 60, "of another one");
  first!.ends.narrowWrite(slot.slot, 60, 2);
  assertEquals(second!.ends.writesEnd(slot.slot), 2);
});

Deno.test("FileEnds.takeIntents() ends the writes of a dead thread, and of no other", () => {
  const { tables: [first, second] } = makeThreads(2);
  const slot = open(first!, 7);
  first!.ends.beginWrite(slot.slot, 30);
  second!.ends.beginWrite(slot.slot, 20);
  first!.ends.takeIntents(2);
  first!.ends.takeIntents(1);
  assertEquals(first!.ends.writesEnd(slot.slot), 30);
  first!.ends.endWrite(slot.slot, 30);
  assertEquals(first!.ends.writesEnd(slot.slot), 0);
});

Deno.test("FileEnds.giveBack() gives back the last place only", () => {
  const { tables: [files] } = makeThreads(1);
  const slot = open(files!, 7);
  learn(files!, slot, 0);
  files!.ends.reserve(slot, 10);
  files!.ends.reserve(slot, 10);
  assertFalse(files!.ends.giveBack(slot.slot, { from: 0, to: 10 }));
  assert(files!.ends.giveBack(slot.slot, { from: 14, to: 20 }));
  assertEquals(files!.ends.reserve(slot, 1), 14);
});

Deno.test("FileEnds.giveBack() leaves a place that may be that of another append by now", () => {
  const { tables: [first, second] } = makeThreads(2);
  const one = open(first!, 7);
  const other = open(second!, 7);
  learn(first!, one, 100);
  const place = { from: first!.ends.reserve(one, 10), to: 110 };
  const { takenAt } = first!.ends;
  first!.ends.started();
  // Its IO is over, and has failed, when another thread sets the end back.
  const asked = second!.ends.askedVersion(other.slot);
  assertEquals(second!.ends.writesEnd(other.slot), 0);
  assert(second!.ends.tryReset(other.slot, asked, 100));
  assertEquals(second!.ends.reserve(other, 10), 100);
  const askedAgain = first!.ends.askedVersion(one.slot);
  assertFalse(first!.ends.giveBack(one.slot, place, { takenAt, asked: askedAgain }));
  assertEquals(first!.ends.endOf(one.slot), 110);
  assert(
    second!.ends.giveBack(other.slot, place, { takenAt: second!.ends.takenAt, asked: askedAgain }),
  );
  assertEquals(first!.ends.endOf(one.slot), 100);
});

Deno.test("FileEnds.giveBack() leaves a place into which a write has come", () => {
  const { tables: [files] } = makeThreads(1);
  const slot = open(files!, 7);
  learn(files!, slot, 100);
  const place = { from: files!.ends.reserve(slot, 10), to: 110 };
  const since = { takenAt: files!.ends.takenAt, asked: files!.ends.askedVersion(slot.slot) };
  files!.ends.raise(slot.slot, 100);
  files!.ends.raise(slot.slot, 104);
  assertFalse(files!.ends.giveBack(slot.slot, place, since));
  assert(files!.ends.giveBack(slot.slot, { from: 104, to: 110 }, since));
});

Deno.test("FileEnds.link() links a file of which only the descriptor is marked as being closed", () => {
  const { tables: [files] } = makeThreads(1);
  const slot = open(files!, 7);
  assertEquals(files!.markClosing(100 + slot.slot), [slot.slot]);
  learn(files!, slot, 50);
  assertEquals(files!.ends.endOf(slot.slot), 50);
});

Deno.test("FileEnds.tryReset() changes an end only that has not moved", () => {
  const { tables: [files] } = makeThreads(1);
  const slot = open(files!, 7);
  learn(files!, slot, 100);
  const version = files!.ends.askedVersion(slot.slot);
  assert(files!.ends.tryReset(slot.slot, version, 30));
  assertEquals(files!.ends.endOf(slot.slot), 30);
  assertFalse(files!.ends.tryReset(slot.slot, version, 10));
  const later = files!.ends.askedVersion(slot.slot);
  files!.ends.reserve(slot, 5);
  assertFalse(files!.ends.tryReset(slot.slot, later, 30));
  assertEquals(files!.ends.endOf(slot.slot), 35);
});

Deno.test("FileEnds.tryReset() keeps the end behind writes before it that came meanwhile", () => {
  const { tables: [first, second] } = makeThreads(2);
  const slot = open(first!, 7);
  learn(first!, slot, 100);
  const version = first!.ends.askedVersion(slot.slot);
  second!.ends.raise(slot.slot, 60);
  // Another thread that asks at the same version takes nothing away.
  assertEquals(second!.ends.askedVersion(slot.slot), version);
  second!.ends.raise(slot.slot, 50);
  assert(first!.ends.tryReset(slot.slot, version, 30));
  assertEquals(first!.ends.endOf(slot.slot), 60);
  assertFalse(second!.ends.tryReset(slot.slot, version, 30));
  // What came before is over, or in flight.
  second!.ends.raise(slot.slot, 55);
  assert(first!.ends.tryReset(slot.slot, first!.ends.askedVersion(slot.slot), 30));
  assertEquals(first!.ends.endOf(slot.slot), 30);
});

Deno.test("FileEnds.takeIntents() tells the places that a dead thread had taken, once", () => {
  const { tables: [first, second] } = makeThreads(2);
  const slot = open(second!, 7);
  learn(second!, slot, 2 ** 33);
  second!.ends.reserve(slot, 10);
  second!.ends.beginLong(slot, { from: 5, to: 2 ** 33 });
  assertEquals(first!.ends.takeIntents(0), []);
  assertEquals(first!.ends.takeIntents(1), [
    { file: slot, part: { from: 2 ** 33, to: 2 ** 33 + 10 } },
    { file: slot, part: { from: 5, to: 2 ** 33 } },
  ]);
  assertEquals(first!.ends.takeIntents(1), []);
});

Deno.test("FileEnds.foundStarted() takes the intent away that an IO has become", () => {
  const { tables: [first, second] } = makeThreads(2);
  const slot = open(second!, 7);
  learn(second!, slot, 100);
  second!.ends.reserve(slot, 10);
  first!.ends.foundStarted(1, 90);
  assertEquals(first!.ends.takeIntents(1).length, 1);
  second!.ends.reserve(slot, 10);
  first!.ends.foundStarted(1, 110);
  assertEquals(first!.ends.takeIntents(1), []);
});

Deno.test("FileEnds keeps an end whole when a thread dies between any two of its stores", () => {
  const ends = [2 ** 33 + 5, 7, 2 ** 40, 2 ** 32 - 1, 2 ** 32];
  const random = new Prng(1);
  for (let run = 0; run < 200; run++) {
    const { control, tables: [files] } = makeThreads(1);
    const slot = open(files!, 7);
    learn(files!, slot, 3);
    const at = control.fileAt(slot.slot);
    let end = 3;
    for (const next of ends) {
      // What a thread has done of a change that it dies in: one of the two words, or both.
      const isEven = (control.words[at + FILE.endVersion]! + 1) % 2 === 0;
      const place = at + (isEven ? FILE.endEven : FILE.endOdd);
      for (let word = 0; word < random.below(3); word++) {
        control.words[place + word] = random.uint32() | 0;
        assertEquals(files!.ends.endOf(slot.slot), end);
      }
      assert(files!.ends.tryReset(slot.slot, files!.ends.askedVersion(slot.slot), next));
      end = next;
      assertEquals(files!.ends.endOf(slot.slot), end);
    }
  }
});
