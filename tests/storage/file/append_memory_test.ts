/**
 * append_memory_test.ts: what becomes of an append whose memory its caller takes away before it is
 * written.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import type { Aio, AioFile } from "../../../mod.ts";
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
