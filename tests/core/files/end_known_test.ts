/**
 * end_known_test.ts: the end of a file becomes known with the first append. It does not while an
 * opening is not linked, nor by a size that is from before a cut.
 *
 * @module
 */

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import type { FileSlot } from "../../../core/files/file_slot.ts";
import { type Control, FILE } from "../../../core/memory/shared_memory.ts";
import { replace } from "../../support/bells/bells.ts";
import { learn, makeThreads, open, write } from "../../support/file_ends.ts";

/** Where the record is that a file is linked to. */
function recordAt(control: Control, { slot }: FileSlot): number {
  return control.fileAt(control.words[control.fileAt(slot) + FILE.endRecord]! - 1);
}

Deno.test("FileEnds.tryReset() makes no end known of which an opening is not linked", () => {
  const threads = makeThreads(2);
  const { tables: [first, second], control } = threads;
  const [one, other] = [open(first!, 7), open(second!, 7)];
  const { store } = Atomics;
  const link = () => {
    const at = control.fileAt(other.slot) + FILE.endRecord;
    const storeOrDie = (words: Int32Array, index: number, value: number) => {
      if (index === at) throw new Error("the thread dies");
      return store(words, index, value);
    };
    using _store = replace(Atomics, "store", storeOrDie as typeof store);
    second!.ends.link(other.slot);
  };
  assertThrows(link, Error, "the thread dies");
  assert(first!.ends.isLinked(one.slot));
  assert(first!.ends.tryReset(one.slot, first!.ends.askedVersion(one.slot), 50));
  // It finds no link, and does not raise the end.
  assertFalse(second!.ends.isLinked(other.slot));
  write(threads, 0, other, 50, 90);
  if (!first!.ends.isKnown(one.slot)) learn(first!, one, 50);
  assertEquals(first!.ends.reserve(one, 3), 90);
});

Deno.test("FileEnds.tryLearn() takes no size that is from before the end was set back", () => {
  const { tables: [first, second] } = makeThreads(2);
  const [one, other] = [open(first!, 7), open(second!, 7)];
  first!.ends.link(one.slot);
  const setBack = first!.ends.setBackAt(one.slot);
  // Also where it has not moved yet.
  for (const end of [0, 20]) {
    assert(second!.ends.tryReset(other.slot, second!.ends.askedVersion(other.slot), end));
    assertFalse(first!.ends.tryLearn(one.slot, setBack, 5000, 0));
    assertFalse(first!.ends.isKnown(one.slot));
  }
  learn(first!, one, 20);
  assertEquals(second!.ends.endOf(other.slot), 20);
});

Deno.test("FileEnds.tryReset() changes no end that has become known meanwhile", () => {
  const { tables: [first, second] } = makeThreads(2);
  const [one, other] = [open(first!, 7), open(second!, 7)];
  first!.ends.link(one.slot);
  first!.ends.raise(one.slot, 100);
  const version = second!.ends.askedVersion(other.slot);
  // Of the write by which it is 40 the other thread does not hear.
  learn(first!, one, 40);
  assertFalse(second!.ends.tryReset(other.slot, version, 30));
  assertEquals(first!.ends.endOf(one.slot), 100);
});

Deno.test("FileEnds.tryLearn() takes no size that is from before a cut begun by a dead thread", () => {
  const { tables: [first, second, third], control } = makeThreads(3);
  const [one, other, another] = [open(first!, 7), open(second!, 7), open(third!, 7)];
  first!.ends.link(one.slot);
  const at = recordAt(control, one) + FILE.endVersion;
  const { store } = Atomics;
  {
    const storeOrDie = (words: Int32Array, index: number, value: number) => {
      if (index === at) throw new Error("the thread dies");
      return store(words, index, value);
    };
    using _store = replace(Atomics, "store", storeOrDie as typeof store);
    const version = second!.ends.askedVersion(other.slot);
    assertThrows(() => second!.ends.tryReset(other.slot, version, 0), Error, "the thread dies");
  }
  const setBack = first!.ends.setBackAt(one.slot);
  const reset = () =>
    third!.ends.tryReset(another.slot, third!.ends.askedVersion(another.slot), 20);
  // It begins anew where the end has moved.
  assert(reset() || reset());
  assertFalse(first!.ends.tryLearn(one.slot, setBack, 5000, 0));
  learn(first!, one, 20);
  assertEquals(first!.ends.endOf(one.slot), 20);
});
