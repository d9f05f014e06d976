/**
 * file_table_test.ts: the table of open files: slots, generations, users, the closing mark, paths.
 */

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { AioInvariantError } from "../../../core/base/assert.ts";
import { FILE_FLAGS, type OpenFileEntry, OpenFileTable } from "../../../core/files/file_table.ts";
import type { FileSlot } from "../../../core/files/file_slot.ts";
import { effectiveOptions } from "../../../core/base/options.ts";
import { type Control, createControl, HEADER } from "../../../core/memory/shared_memory.ts";
import { withPrng } from "../../support/prng.ts";
import { FILE_TARGET } from "../../../core/io/target.ts";

const THREAD_ID = 1234;

function control(maxFiles: number): Control {
  return createControl(effectiveOptions({ arenaBytes: 4096, maxBackends: 1, maxFiles }), 0);
}

function table(maxFiles = 4): OpenFileTable {
  return new OpenFileTable(control(maxFiles), THREAD_ID);
}

function file(fd: number, path = `file ${fd}`): OpenFileEntry {
  return {
    fd,
    deviceMajor: 8,
    deviceMinor: 1,
    inodeLow: fd,
    inodeHigh: 2 ** 8,
    flags: 7,
    memoryAlignment: 512,
    offsetAlignment: 4096,
    path,
  };
}

/** Opens a file in the table; null if it is full. */
function add(files: OpenFileTable, entry: OpenFileEntry): FileSlot | null {
  const slot = files.reserve();
  if (slot !== null) files.publish(slot, entry);
  return slot;
}

/** The path as the table keeps it. */
function kept(path: string): string {
  const files = table();
  return files.entry(add(files, file(3, path))!)!.path;
}

Deno.test("OpenFileTable keeps all of an entry", () => {
  const files = table();
  const slot = add(files, file(3))!;
  assertEquals(slot, { slot: 0, generation: 1 });
  assertEquals(files.entry(slot), file(3));
  assertEquals(files.count, 1);
});

Deno.test("OpenFileTable keeps inodes of 64 bits whole", () => {
  const files = table();
  for (const inode of [0n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    const [inodeLow, inodeHigh] = new Int32Array(BigUint64Array.of(inode).buffer);
    const slot = add(files, { ...file(3), inodeLow: inodeLow!, inodeHigh: inodeHigh! })!;
    const entry = files.entry(slot)!;
    assertEquals([entry.inodeLow, entry.inodeHigh], [inodeLow, inodeHigh]);
    files.detach(slot.slot);
    files.free(slot.slot);
  }
});

Deno.test("OpenFileTable gives the lowest free slot, and null when full", () => {
  const files = table(3);
  const slots = [1, 2, 3].map((fd) => add(files, file(fd))!);
  assertEquals(slots.map(({ slot }) => slot), [0, 1, 2]);
  assertEquals(add(files, file(4)), null);
  assert(files.detach(1));
  assertEquals(add(files, file(4)), null, "closing, but not yet free");
  files.free(1);
  assertEquals(add(files, file(4)), { slot: 1, generation: 2 });
});

Deno.test("OpenFileTable tells a slot's uses apart by their generation", () => {
  const files = table(1);
  const old = add(files, file(3))!;
  files.detach(old.slot);
  files.free(old.slot);
  const present = add(files, file(4))!;
  assertEquals([old.slot, files.entry(old)], [present.slot, null]);
  assertEquals(files.entry(present)!.fd, 4);
  assertFalse(files.tryAttach(old));
  assert(files.isClosing(old.slot, old.generation));
  assertFalse(files.isClosing(present.slot, present.generation));
});

Deno.test("OpenFileTable takes the slot of a closed file as late as possible, and knows its path until then", () => {
  const files = table(3);
  const first = add(files, { ...file(3), path: "/one" })!;
  files.detach(first.slot);
  files.free(first.slot);
  const others = [4, 5].map((fd) => add(files, file(fd))!.slot);
  assertEquals([first.slot, ...others], [0, 1, 2]);
  assertEquals([files.entry(first), files.pathOf(first)], [null, "/one"]);
  const next = add(files, { ...file(6), path: "/four" })!;
  assertEquals([next.slot, files.pathOf(first), files.pathOf(next)], [0, null, "/four"]);
  assertEquals(files.pathOf({ slot: 1, generation: 0 }), null);
});

Deno.test("OpenFileTable counts users, and the last one sets the closing mark", () => {
  const files = table();
  const slot = add(files, file(3))!;
  assert(files.tryAttach(slot));
  assert(files.tryAttach(slot));
  assertEquals([files.detach(slot.slot), files.detach(slot.slot)], [false, false]);
  assertFalse(files.isClosing(slot.slot, slot.generation));
  assert(files.detach(slot.slot));
  assert(files.isClosing(slot.slot, slot.generation));
  assertFalse(files.tryAttach(slot), "nobody joins a file that is being closed");
  assertEquals(files.count, 1);
  files.free(slot.slot);
  assertEquals([files.count, files.entry(slot), files.tryAttach(slot)], [0, null, false]);
});

Deno.test("OpenFileTable refuses to lose more users than there were", () => {
  const files = table();
  assertThrows(() => files.detach(0), AioInvariantError, "A file lost more users than it had");
});

Deno.test("OpenFileTable.markClosing() marks the files of a descriptor, and no other", () => {
  const files = table();
  const [first, second] = [add(files, file(3))!, add(files, file(4))!];
  files.markClosing(4);
  files.markClosing(99);
  assertFalse(files.isClosing(first.slot, first.generation));
  assert(files.isClosing(second.slot, second.generation));
});

Deno.test("OpenFileTable: a slot used anew is not closing", () => {
  const files = table();
  const old = add(files, file(3))!;
  files.detach(old.slot);
  files.free(old.slot);
  const present = add(files, file(3))!;
  assertFalse(files.isClosing(present.slot, present.generation));
});

for (const slot of [-1, 4, 0.5, NaN, 2 ** 31]) {
  Deno.test(`OpenFileTable knows no slot ${slot}`, () => {
    const files = table();
    assertEquals(files.entry({ slot, generation: 1 }), null);
    assertFalse(files.tryAttach({ slot, generation: 1 }));
  });
}

// --- deaths ---

/** Ends some work right before one of its atomic writes. @returns whether it had so many */
function dieAt(step: number, work: () => void): boolean {
  let steps = 0;
  const kept = (["store", "add", "and", "or", "compareExchange"] as const).map((name) => {
    const plain = Reflect.get(Atomics, name) as (...args: unknown[]) => number;
    Reflect.set(Atomics, name, (...args: unknown[]) => {
      if (steps++ >= step) throw new Error("dead");
      return plain(...args);
    });
    return [name, plain] as const;
  });
  try {
    work();
    return false;
  } catch {
    return true;
  } finally {
    for (const [name, plain] of kept) Reflect.set(Atomics, name, plain);
  }
}

const DEATHS: Record<string, (files: OpenFileTable) => void> = {
  "reserve()": (files) => void files.reserve(),
  "free()": (files) => files.free(0),
};

for (const [name, work] of Object.entries(DEATHS)) {
  Deno.test(`OpenFileTable: a death within ${name} leaves a slot that knows when a file is over`, () => {
    let deaths = 0;
    for (let isDead = true; isDead; deaths++) {
      const shared = control(1);
      const dying = new OpenFileTable(shared, THREAD_ID);
      const other = new OpenFileTable(shared, THREAD_ID + 1, () => false, 1);
      const first = add(dying, file(3))!;
      dying.detach(first.slot);
      if (name === "reserve()") dying.free(first.slot);
      isDead = dieAt(deaths, () => work(dying));
      for (const { slot } of other.removeBackend(0, true)) other.free(slot);
      assert(other.isOver(first), `step ${deaths}`);
      const next = add(other, file(4))!;
      assertEquals([next.slot, other.isOver(next)], [0, false], `step ${deaths}`);
      other.detach(next.slot);
      other.free(next.slot);
      assert(other.isOver(next), `step ${deaths}`);
    }
    // The lock is taken and given back, too.
    assert(deaths >= 4, `${deaths - 1} steps`);
  });
}

Deno.test("OpenFileTable.removeBackend() leaves an unlocking that may wait for a server", () => {
  const { isDenos, flushesAtClose } = FILE_FLAGS;
  const files = table();
  const [local, servers] = [isDenos, isDenos | flushesAtClose]
    .map((flags) => add(files, { ...file(3), flags })!.slot);
  assertFalse(files.isLastOfAny(0));
  for (const slot of [local!, servers!]) files.noteLock(slot);
  assert(files.isLastOfAny(0));
  assertEquals(files.removeBackend(0, false).map(({ slot }) => slot), [local]);
  files.free(local!);
  assertEquals(files.removeBackend(0, true).map(({ slot }) => slot), [servers]);
  assertFalse(files.isLastOfAny(0));
});

// --- paths ---

Deno.test("OpenFileTable keeps paths up to 200 bytes whole", () => {
  for (const path of ["", "/", "/a b/ü€😀", "x".repeat(200), "ü".repeat(100)]) {
    assertEquals(kept(path), path);
  }
});

Deno.test("OpenFileTable keeps the last 200 bytes of a longer path", () => {
  const path = `/${"directory/".repeat(30)}data`;
  assertEquals(kept(path), path.slice(-200));
});

for (const character of ["ü", "€", "😀"]) {
  for (let shift = 0; shift < 4; shift++) {
    Deno.test(`OpenFileTable cuts a path of ${character} where a character begins (${shift})`, () => {
      const path = character.repeat(100) + "x".repeat(shift);
      const found = kept(path);
      assert(path.endsWith(found), found);
      assertFalse(found.includes("\ufffd"));
      const bytes = new TextEncoder().encode(found).length;
      const size = new TextEncoder().encode(character).length;
      assert(bytes <= 200 && bytes > 200 - size, `${bytes} bytes`);
    });
  }
}

Deno.test("OpenFileTable: a shorter path leaves nothing of the longer one before it", () => {
  const files = table(1);
  add(files, file(3, "a long path indeed"));
  files.detach(0);
  files.free(0);
  assertEquals(files.entry(add(files, file(4, "b"))!)!.path, "b");
});

// --- the target ---

Deno.test("the target file is described by its bytes, or whole, or as closed", () => {
  const files = table();
  const { slot, generation } = add(files, file(3, '/a "quoted" path'))!;
  const target = files.target();
  const data = new Int32Array(6);
  data[FILE_TARGET.slot] = slot;
  data[FILE_TARGET.slotGeneration] = generation;
  assertEquals(target.describeIdentity(data), 'file "/a \\"quoted\\" path"');
  data[FILE_TARGET.offsetLow] = 5;
  data[FILE_TARGET.offsetHigh] = 1;
  data[FILE_TARGET.length] = 10;
  assertEquals(
    target.describeIdentity(data),
    `bytes ${2 ** 32 + 5}..${2 ** 32 + 14} in file "/a \\"quoted\\" path"`,
  );
  data[FILE_TARGET.slotGeneration] = generation + 1;
  assertEquals(
    target.describeIdentity(data),
    `bytes ${2 ** 32 + 5}..${2 ** 32 + 14} in a file that was closed`,
  );
});

Deno.test("OpenFileTable leaves its lock free, also after a throw", () => {
  const options = effectiveOptions({ arenaBytes: 4096, maxBackends: 1 });
  const control = createControl(options, 0);
  const files = new OpenFileTable(control, THREAD_ID);
  add(files, file(3));
  assertThrows(() => files.detach(1), AioInvariantError);
  assertEquals(control.words[HEADER.filesLock], 0);
});

Deno.test("OpenFileTable does what a map does, over random steps", async () => {
  await withPrng((prng) => {
    const files = table(8);
    const model = new Map<number, { generation: number; users: number; fd: number }>();
    for (let step = 0; step < 2000; step++) {
      const slot = prng.below(8);
      const known = model.get(slot);
      if (known === undefined) {
        const added = add(files, file(step))!;
        model.set(added.slot, { generation: added.generation, users: 1, fd: step });
      } else if (prng.chance(1, 2)) {
        assert(files.tryAttach({ slot, generation: known.generation }));
        known.users++;
      } else {
        known.users--;
        assertEquals(files.detach(slot), known.users === 0);
        if (known.users > 0) continue;
        files.free(slot);
        model.delete(slot);
      }
      assertEquals(files.count, model.size);
      for (const [at, { generation, fd }] of model) {
        assertEquals(files.entry({ slot: at, generation })?.fd, fd);
      }
    }
  });
});
