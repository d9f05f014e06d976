/**
 * append_memory_test.ts: what becomes of an append whose memory its caller takes away before it is
 * written.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { FILE_BYTES as END } from "../../support/core.ts";
import { heldNow, withHeld } from "../../support/held_transfers.ts";
import { testSharedAios } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
}

/** Registers a test for each method that gets an empty file. */
function testFile(name: string, use: (opened: Opened) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("log");
    await using file = await aio.openFile(path, { read: true, write: true, create: true });
    await use({ aio, file, path });
    await file.close();
    assertEquals(aio.ios(), []);
  });
}

testFile("append() keeps its memory from free() until it is written", async (opened) => {
  const { aio, file, path } = opened;
  // The first asks for the file's end, the second is written as it is, the third is gathered.
  for (const list of [[], [], [new Uint8Array(50).fill(2)]]) {
    const view = aio.alloc(100).fill(1);
    const appended = file.append([view, ...list]);
    assertThrows(() => aio.free(view), Deno.errors.Busy, "while an IO uses it");
    await appended;
    aio.free(view);
  }
  const content = await Deno.readFile(path);
  assertEquals([content.length, content.lastIndexOf(1), content.indexOf(2)], [350, 299, 300]);
});

/** Changes a buffer of 8 bytes after the call that got it. */
const CHANGES: Record<string, (view: Uint8Array<ArrayBuffer>) => void> = {
  "was transferred": ({ buffer }) => void structuredClone(buffer, { transfer: [buffer] }),
  "became smaller": ({ buffer }) => buffer.resize(4),
  "became larger": ({ buffer }) => buffer.resize(16),
};

for (const [what, change] of Object.entries(CHANGES)) {
  testFile(`append() of a buffer that ${what} is refused alone`, async ({ aio, file, path }) => {
    const { arena } = backendOf(aio);
    for (let round = 0; round < 2; round++) {
      const { freeBytes } = arena;
      const view = new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 })).fill(1);
      const [before, changed, after] = [new Uint8Array(3).fill(2), view, new Uint8Array(3).fill(3)]
        .map((one) => file.append(one, { durable: true }));
      change(view);
      const refused = assertRejects(() => changed!, TypeError, "Cannot append as a buffer changed");
      assertEquals(await Promise.all([before, after]), [round * 6, round * 6 + 3]);
      await refused;
      // Alone it leaves nothing to write.
      const alone = new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 }));
      const lonely = file.append(alone);
      change(alone);
      await assertRejects(() => lonely, TypeError, "Cannot append as a buffer changed");
      assertEquals(arena.freeBytes, freeBytes);
    }
    assertEquals([...await Deno.readFile(path)], [2, 2, 2, 3, 3, 3, 2, 2, 2, 3, 3, 3]);
  });
}

Deno.test("held: append() of a buffer that became larger while it waits for room spoils no other", async () => {
  await withHeld(async (fixture) => {
    const { aio, file, held } = fixture;
    // All of the arena.
    const reads = [0, 1, 2, 3].map((i) => file.readAt(new Uint8Array(END / 4), i));
    const view = new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 })).fill(1);
    const appends = [view, new Uint8Array(3).fill(3)].map((one) => file.append(one));
    assertEquals((await heldNow(fixture)).length, 4);
    view.buffer.resize(16);
    held.letGo(aio);
    assertEquals(await Promise.all(appends), [END, END + 8]);
    await Promise.all(reads);
    const content = await Deno.readFile(file.path);
    assertEquals([...content.subarray(END)], [1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3]);
  }, { arenaBytes: END });
});
