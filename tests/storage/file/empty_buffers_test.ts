/**
 * empty_buffers_test.ts: transfers of no bytes resolve with 0 and start no IO; they are refused
 * where other transfers would be.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { testSharedAios } from "../../support/methods.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const FILE_BYTES = 8192;

/** Registers a test for each method that gets a file. */
function testFile(
  name: string,
  use: (aio: Aio, file: AioFile, path: string) => Promise<void>,
): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("data");
    await writeRandomFile(path, FILE_BYTES, 1);
    await using file = await aio.openFile(path, { read: true, write: true });
    await use(aio, file, path);
  });
}

/** All the ways to pass no bytes. */
function nothings(aio: Aio): (Uint8Array | Uint8Array[])[] {
  const empty = new Uint8Array(0);
  return [empty, aio.alloc(4096).subarray(7, 7), [], [empty], [empty, empty]];
}

testFile(
  "readAt() and writeAt() of no bytes resolve with 0, and start no IO",
  async (aio, file, path) => {
    const before = await Deno.readFile(path);
    const issued = () => aio.backends()[0]!.counters.started;
    const count = issued();
    for (const nothing of nothings(aio)) {
      for (const offset of [0, 10, FILE_BYTES, 2 * FILE_BYTES]) {
        assertEquals(await file.readAt(nothing, offset), 0);
        assertEquals(await file.writeAt(nothing, offset), 0);
        assertEquals(file.readAtSync(nothing, offset), 0);
        assertEquals(file.writeAtSync(nothing, offset), 0);
      }
    }
    assertEquals(issued(), count);
    assertEquals(await Deno.readFile(path), before, "the file is as it was, and as long");
  },
);

testFile("readAt() and writeAt() pass over the empty ones of a list", async (aio, file) => {
  const empty = new Uint8Array(0);
  const parts = [empty, Uint8Array.of(1, 2), empty, aio.alloc(3), empty];
  parts[3]!.set([3, 4, 5]);
  assertEquals(await file.writeAt(parts, 10), 5);
  assertEquals(file.writeAtSync(parts, 20), 5);
  const read = [new Uint8Array(1), empty, aio.alloc(4), empty];
  for (const offset of [10, 20]) {
    assertEquals(await file.readAt(read, offset), 5);
    assertEquals([...read[0]!, ...read[2]!], [1, 2, 3, 4, 5]);
    read[2]!.fill(0);
    assertEquals(file.readAtSync(read, offset), 5);
    assertEquals([...read[0]!, ...read[2]!], [1, 2, 3, 4, 5]);
  }
});

testFile(
  "a list of many buffers, nearly all of them empty, is one transfer",
  async (_aio, file) => {
    const many = Array.from({ length: 1000 }, (_, i) => new Uint8Array(i === 500 ? 3 : 0));
    assertEquals(await file.readAt(many, 0), 3);
    assertEquals(await file.writeAt(many, 0), 3);
  },
);

testFile("transfers of no bytes are refused like others", async (aio, file, path) => {
  const empty = new Uint8Array(0);
  await assertRejects(() => file.readAt(empty, -1), RangeError, "offset -1");
  assertThrows(() => file.writeAtSync(empty, 0.5), RangeError, "offset 0.5");
  const reason = new Error("enough");
  const { signal } = new AbortController();
  assertEquals(await file.readAt(empty, 0, { signal }), 0);
  const aborted = { signal: AbortSignal.abort(reason) };
  await assertRejects(() => file.writeAt(empty, 0, aborted), Error, "enough");
  await using readOnly = await aio.openFile(path);
  await assertRejects(() => readOnly.writeAt(empty, 0), Deno.errors.BadResource, '"write"');
  await readOnly.close();
  await assertRejects(() => readOnly.readAt(empty, 0), Deno.errors.BadResource, "closed");
  assertThrows(() => readOnly.readAtSync(empty, 0), Deno.errors.BadResource, "closed");
});

testSharedAios(
  "an empty file can be read whole, by a buffer of its size",
  async (aio) => {
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("empty"), new Uint8Array(0));
    await using file = await aio.openFile(dir.join("empty"));
    assertEquals(await file.readAt(new Uint8Array(await file.size()), 0), 0);
  },
);

testFile(
  "direct transfers of no bytes resolve with 0, aligned or not",
  async (aio, _file, path) => {
    await using file = await aio.openFile(path, { read: true, write: true, direct: "optional" });
    for (const nothing of nothings(aio)) {
      for (const offset of [0, 3, 4096]) {
        assertEquals(await file.readAt(nothing, offset), 0);
        assertEquals(file.writeAtSync(nothing, offset), 0);
      }
    }
  },
);
