/**
 * held_files_test.ts: descriptors that stay open until the last user of their file is done, in
 * whichever thread: what tells of that late, not at all, or of another file.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { FileSlot } from "../../../core/files/file_slot.ts";
import type { OpenFileTable } from "../../../core/files/file_table.ts";
import { HeldFiles } from "../../../core/files/held_files.ts";
import { FILE } from "../../../core/memory/shared_memory.ts";
import { close, makeThreads, open } from "../../support/file_ends.ts";
import { settles } from "../../support/patience.ts";

/** The held descriptors of a thread, and those that it has closed. */
function holding(files: OpenFileTable): { held: HeldFiles; closed: number[] } {
  const closed: number[] = [];
  const closeDenos = (fd: number) => void closed.push(fd);
  const calls = { awaited: { closeDenos }, blocking: { closeDenos } };
  const warn = (message: string) => assert(false, message);
  return { held: new HeldFiles({ files, warn }, calls), closed };
}

/** Opens a file in one thread, which is done with it, while another one uses it. */
function openIn(opener: OpenFileTable, user: OpenFileTable, inode: number): FileSlot {
  const slot = open(opener, inode);
  assert(user.tryAttach(slot));
  assert(!opener.detach(slot.slot));
  return slot;
}

/** What was woken before has its turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("HeldFiles keeps a descriptor while the last file of its slot is told to be over", async () => {
  const { control, control: { words }, tables: [opener, user] } = makeThreads(2, 1);
  const { held, closed } = holding(opener!);
  const last = openIn(opener!, user!, 7);
  close(user!, last);
  const slot = openIn(opener!, user!, 8);
  assertEquals(slot.slot, last.slot);
  held.hold(slot, 5, 0);
  const at = control.fileAt(slot.slot) + FILE.ends;
  const told = Atomics.waitAsync(words, at, words[at]!);
  // A thread that frees a slot tells of that once the slot may have another file already.
  Atomics.notify(words, at);
  assert(told.async && await settles(told.value));
  await turn();
  assertEquals(closed, []);
  close(user!, slot);
  assert(await settles(opener!.over(slot)));
  await held.settle();
  assertEquals(closed, [5]);
});

Deno.test("HeldFiles keeps a descriptor that has the number of one that was taken", async () => {
  const { tables: [opener, user] } = makeThreads(2);
  const { held, closed } = holding(opener!);
  const first = openIn(opener!, user!, 7);
  held.hold(first, 5, 0);
  assertEquals(held.take(first), 5);
  const second = openIn(opener!, user!, 8);
  held.hold(second, 5, 0);
  close(user!, first);
  assert(await settles(opener!.over(first)));
  await turn();
  assertEquals(closed, []);
  close(user!, second);
  await held.settle();
  assertEquals(closed, [5]);
});

Deno.test("OpenFileTable.over() resolves though whoever freed the slot died before it told", async () => {
  const { tables: [opener, dying] } = makeThreads(2);
  const slot = openIn(opener!, dying!, 7);
  const over = opener!.over(slot);
  assert(dying!.detach(slot.slot));
  const { notify } = Atomics;
  try {
    Reflect.set(Atomics, "notify", () => 0);
    dying!.free(slot.slot);
  } finally {
    Reflect.set(Atomics, "notify", notify);
  }
  assertEquals(opener!.removeBackend(1, true), []);
  assert(await settles(over));
});
