/**
 * writes_end_test.ts: how far the writes of a file reach, for a thread that looks while others go
 * on: what a handle, an intent or an opening has become meanwhile is not taken for what it was.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { OPERATIONS } from "../../../core/io/operation_table.ts";
import { APPEND_INTENT, BACKEND, HANDLE } from "../../../core/memory/shared_memory.ts";
import { replace } from "../../support/bells/bells.ts";
import { close, learn, makeThreads, open, write } from "../../support/file_ends.ts";

/** Calls a function once, right behind the first load of a word. */
function afterLoad(at: number, act: () => void): Disposable {
  const { load } = Atomics;
  let isOver = false;
  const loadAndAct = (words: Int32Array, index: number) => {
    const value = load(words, index);
    if (index === at && !isOver) {
      isOver = true;
      act();
    }
    return value;
  };
  return replace(Atomics, "load", loadAndAct as typeof load);
}

Deno.test("FileEnds.writesEnd() takes no intent for the one that was there before", () => {
  const { tables: [first, second], control } = makeThreads(2);
  const [one, other] = [open(first!, 7), open(second!, 8)];
  learn(first!, one, 50);
  learn(second!, other, 2 ** 40);
  second!.ends.reserve(one, 4);
  using _load = afterLoad(control.backendAt(1) + BACKEND.appending + APPEND_INTENT.slot, () => {
    second!.ends.started();
    second!.ends.reserve(other, 4);
  });
  assertEquals(first!.ends.writesEnd(one.slot), 0);
});

Deno.test("FileEnds.writesEnd() counts no write by the descriptor of an opening that is over", () => {
  const threads = makeThreads(2);
  const { tables: [first, second], control } = threads;
  const [one, other] = [open(first!, 7), open(second!, 7)];
  learn(first!, one, 50);
  // Another file gets its descriptor.
  using _load = afterLoad(control.handleAt(0) + HANDLE.generationLow, () => {
    close(second!, other);
    write(threads, 1, other, 2 ** 30, 2 ** 30 + 10);
  });
  assertEquals(first!.ends.writesEnd(one.slot), 0);
});

Deno.test("FileEnds.writesEnd() bears a handle that goes on to another use meanwhile", () => {
  const threads = makeThreads(1);
  const { tables: [files], control: { words }, control } = threads;
  const slot = open(files!, 7);
  learn(files!, slot, 50);
  write(threads, 0, slot, 10, 90);
  const base = control.handleAt(0);
  const { includes } = Array.prototype;
  // Between the look at its operation and that at its range.
  using _includes = replace(Array.prototype, "includes", function (this: unknown[], ...args) {
    if (args[0] === words[base + HANDLE.fd]) {
      words[base + HANDLE.generationLow]!++;
      words[base + HANDLE.operation] = OPERATIONS.fsync.code;
    }
    return Reflect.apply(includes, this, args);
  });
  assertEquals(files!.ends.writesEnd(slot.slot), 0);
});
