/** whole_reads_test.ts: `readAll()` and `readExactAt()`: all of it, or an error. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { AioFile } from "../../../mod.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";
import { testSharedAios } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 3;
const SIZES = [0, 1, 4095, 4096, 65_536, 3_000_001];
const isDirectHere = await directUnitHere() !== null;

function testFiles(name: string, use: (file: AioFile, bytes: number) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    for (const bytes of SIZES) {
      await writeRandomFile(path, bytes, SEED);
      for (const direct of isDirectHere ? ["off", "optional"] as const : ["off"] as const) {
        await using file = await aio.openFile(path, { direct });
        await use(file, bytes);
      }
      await Deno.remove(path);
    }
    assertEquals(aio.ios(), []);
  });
}

testFiles("readAll() and readAllSync() give the whole file", async (file, bytes) => {
  const expected = contentAt(SEED, 0, bytes);
  for (
    const all of [await file.readAll(), file.readAllSync(), await file.readAll({ cache: "drop" })]
  ) {
    assertEquals(all, expected);
    assertEquals(all.buffer.byteLength, bytes, "the buffer is the caller's own, and no larger");
  }
});

testFiles("readAll() goes on when its file is closed", async (file, bytes) => {
  const reading = file.readAll();
  const closing = file.close();
  assertEquals(await reading, contentAt(SEED, 0, bytes));
  await closing;
  await assertRejects(() => file.readAll(), Deno.errors.BadResource, "Cannot read");
});

testSharedAios("readAll() reads files that say they have no bytes", async (aio) => {
  const path = "/proc/self/maps";
  await using file = await aio.openFile(path);
  const text = new TextDecoder().decode(await file.readAll());
  assert(text.length > 1000 && text.endsWith("\n"), `${text.length} characters`);
  assert(text.includes("[stack]") || text.includes("deno"), text.slice(0, 200));
});

testFiles("readExactAt() fills its buffers, or tells how much there was", async (file, bytes) => {
  const unit = file.alignment.offset;
  const offset = Math.floor(bytes / 2 / unit) * unit;
  const rest = bytes - offset;
  if (rest > 0) {
    for (const isBlocking of [false, true]) {
      const into = new Uint8Array(rest);
      if (isBlocking) file.readExactAtSync(into, offset);
      else await file.readExactAt(into, offset);
      assertEquals(into, contentAt(SEED, offset, rest));
    }
  }
  const tooMany = [new Uint8Array(rest), new Uint8Array(7)];
  const error = await assertRejects(
    () => file.readExactAt(tooMany, offset),
    Deno.errors.UnexpectedEof,
    `the file ends after ${rest} of them`,
  );
  const { path } = file;
  const fields = { syscall: "preadv", path, offset, length: rest + 7, bytesRead: rest };
  assertEquals(JSON.parse(JSON.stringify(error)), { name: "UnexpectedEof", ...fields });
  assertThrows(() => file.readExactAtSync(tooMany, offset), Deno.errors.UnexpectedEof);
  await file.readExactAt(new Uint8Array(0), 0);
});

testFiles("readExactAt() has its own list of buffers", async (file, bytes) => {
  const { offset: unit } = file.alignment;
  if (bytes < 2 * unit) return;
  const [one, other] = [new Uint8Array(unit), new Uint8Array(unit)];
  const list = [one];
  const reading = file.readExactAt(list, unit);
  list.push(other);
  await reading;
  assertEquals([one, other], [contentAt(SEED, unit, unit), new Uint8Array(unit)]);
});

testSharedAios("readAll() and readExactAt() refuse as readAt() does", async (aio) => {
  await using dir = await tempDir();
  await using written = await aio.openFile(dir.join("file"), { write: true, create: true });
  await written.append(new Uint8Array(10));
  await assertRejects(() => written.readAll(), Deno.errors.BadResource, '"read"');
  await assertRejects(() => written.readExactAt(new Uint8Array(1), 0), Deno.errors.BadResource);
  assertThrows(() => written.readAllSync(), Deno.errors.BadResource, '"read"');
  const file = await aio.openFile(dir.join("file"));
  await assertRejects(() => file.readExactAt(new Uint8Array(1), -1), RangeError);
  assertThrows(() => file.readExactAtSync(new Uint8Array(1), 0.5), RangeError);
  const signal = AbortSignal.abort(new Error("no more"));
  await assertRejects(() => file.readAll({ signal }), Error, "no more");
  await assertRejects(() => file.readExactAt(new Uint8Array(1), 0, { signal }), Error, "no more");
  await file.close();
  await assertRejects(() => file.readAll(), Deno.errors.BadResource, "closed");
  assertThrows(() => file.readExactAtSync(new Uint8Array(1), 0), Deno.errors.BadResource, "closed");
});
