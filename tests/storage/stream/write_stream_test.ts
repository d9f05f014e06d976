/**
 * write_stream_test.ts: write streams, and web streams over them: what arrives in the file, how
 * much is under way, and how errors come out.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, AioFile, WriteStreamOptions } from "../../../mod.ts";
import { POINT } from "../../support/flush_failures.ts";
import { FILE_BYTES as END } from "../../support/core.ts";
import { complete, heldNow, perform, withHeld } from "../../support/held_transfers.ts";
import { testSharedAios } from "../../support/methods.ts";
import { contentAt, type Prng, withPrng } from "../../support/prng.ts";
import { errorOf } from "../../support/system_errors.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 5;
const ENOSPC = 28;

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
}

/** Registers a test for each method that gets an empty file, and must leave nothing behind. */
function testFile(name: string, use: (opened: Opened) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    const { arena } = backendOf(aio);
    const free = arena.freeBytes;
    await using file = await aio.openFile(path, { read: true, write: true, create: true });
    await use({ aio, file, path });
    await file.close();
    assertEquals([arena.freeBytes, aio.ios()], [free, []], "something is left");
  }, { options: { arenaBytes: 4 * 1024 * 1024 } });
}

testFile("writeStream() puts one byte after another, however they come", async (opened) => {
  const { file, path } = opened;
  await withPrng(async (prng: Prng) => {
    const parts: WriteStreamOptions[] = [{}, { bufferBytes: 5000, buffers: 1 }, { buffers: 9 }];
    for (const options of parts) {
      const offset = prng.below(10_000);
      const stream = file.writeStream({ ...options, offset });
      let at = 0;
      while (at < 600_000) {
        const bytes = prng.pick([0, 1, 100, 4095, 70_000, 300_000]);
        const written = stream.write(contentAt(SEED, at, bytes));
        at += bytes;
        if (prng.chance(1, 3)) await written;
        if (prng.chance(1, 20)) {
          await stream.flush({ durable: prng.chance(1, 2) });
          assertEquals(stream.bytesWritten, at);
        }
      }
      await stream.close();
      assertEquals([stream.position, stream.bytesWritten], [offset + at, at]);
      const content = await Deno.readFile(path);
      assertEquals(content.length, offset + at);
      assertEquals(content.subarray(offset), contentAt(SEED, 0, at));
      await file.truncate(0);
    }
  });
});

testFile("writeStream() copies what it takes", async ({ file, path }) => {
  const stream = file.writeStream();
  const data = new Uint8Array(10).fill(1);
  await stream.write(data);
  data.fill(2);
  await stream.write(data);
  await stream.close();
  assertEquals(await Deno.readFile(path), new Uint8Array([...Array(10).fill(1), ...data]));
});

Deno.test("held: writeStream() writes full buffers, and as many at once as it may", async () => {
  await withHeld(async (fixture) => {
    const stream = fixture.file.writeStream({ offset: 100, bufferBytes: 4096, buffers: 2 });
    for (let i = 0; i < 40; i++) await stream.write(new Uint8Array(100));
    assertEquals(await heldNow(fixture), []);
    let isTaken = false;
    const large = stream.write(new Uint8Array(5000)).then(() => isTaken = true);
    assertEquals(await heldNow(fixture), ["writev 100 4096", "writev 4196 4096"]);
    assertEquals([isTaken, stream.position, stream.bytesWritten], [false, 8292, 0]);
    await perform(fixture);
    await large;
    assertEquals([stream.position, stream.bytesWritten], [9100, 4096]);
    const flushed = stream.flush({ durable: true });
    assertEquals(await heldNow(fixture), ["writev 4196 4096", "writev 8292 808"]);
    const [, last] = fixture.held.held(fixture.aio);
    fixture.held.perform(fixture.aio, last!);
    assertEquals(stream.bytesWritten, 4096, "what is before it counts first");
    await perform(fixture);
    assertEquals(await heldNow(fixture), ["fdatasync 0 0"]);
    await complete(fixture, 0);
    await flushed;
    await stream.close();
    assertEquals(stream.bytesWritten, 9000);
  }, { arenaBytes: END });
});

Deno.test("held: writeStream() keeps memory from free() that it has still to copy", async () => {
  await withHeld(async (fixture) => {
    const { aio, file } = fixture;
    const stream = file.writeStream({ bufferBytes: 4096, buffers: 1 });
    const memory = aio.alloc(8192);
    const written = stream.write(memory);
    assertEquals(await heldNow(fixture), ["writev 0 4096"]);
    assertThrows(() => aio.free(memory), Deno.errors.Busy, "while an IO uses it");
    await perform(fixture);
    assertEquals(await heldNow(fixture), ["writev 4096 4096"]);
    await written;
    aio.free(memory);
    await perform(fixture);
    await stream.close();
  }, { arenaBytes: END });
});

Deno.test("held: writeStream() keeps its file from closeSync() while a write waits for room", async () => {
  await withHeld(async (fixture) => {
    const { aio, file } = fixture;
    await using other = await aio.openFile(file.path);
    // All of the arena.
    const reads = [0, 1, 2, 3].map((i) => other.readAt(new Uint8Array(END / 4), i));
    const stream = file.writeStream();
    const written = stream.write(new Uint8Array(10));
    assertEquals((await heldNow(fixture)).length, 4);
    assertThrows(() => file.closeSync(), Deno.errors.Busy, "1 operations are pending");
    for (const _ of reads) await perform(fixture);
    await Promise.all([...reads, written]);
    const closed = stream.close();
    await perform(fixture);
    await closed;
    assertEquals(stream.bytesWritten, 10);
  }, { arenaBytes: END });
});

testFile("writeStream() refuses data that is transferred before it is copied", async ({ file }) => {
  const stream = file.writeStream();
  const others = [stream.write(new Uint8Array(1_000_000))];
  const data = new Uint8Array(1000);
  const written = stream.write(data);
  others.push(stream.write(Uint8Array.of(2)));
  structuredClone(data.buffer, { transfer: [data.buffer] });
  await assertRejects(() => written, TypeError, "was transferred");
  await Promise.all(others);
  await stream.close();
});

testFile("writeStream() that is idle leaves its buffer to whoever waits", async (opened) => {
  const { file, path } = opened;
  const options = { bufferBytes: 1_048_576 };
  const streams = Array.from(
    { length: 10 },
    (_, i) => file.writeStream({ ...options, offset: i * 100 }),
  );
  // There is room for four of their buffers.
  for (const [i, stream] of streams.entries()) await stream.write(contentAt(SEED, i * 100, 40));
  assertEquals(await file.readAt(new Uint8Array(2_000_000), 0) >= 540, true);
  await Promise.all(streams.map((stream, i) => stream.write(contentAt(SEED, i * 100 + 40, 60))));
  await Promise.all(streams.map((stream) => stream.close()));
  assertEquals(await Deno.readFile(path), contentAt(SEED, 0, 1000));
});

Deno.test("held: writeStream() writes early what fills for longest, and no more than is needed", async () => {
  await withHeld(async (fixture) => {
    const open = (i: number) => fixture.file.writeStream({ offset: i * 100_000 });
    // There is room for four of their buffers.
    const streams = [0, 1, 2, 3].map(open);
    for (const stream of streams) await stream.write(new Uint8Array(10));
    assertEquals(await heldNow(fixture), []);
    const more = [4, 5].map(open);
    const written = more.map((stream) => stream.write(new Uint8Array(10)));
    assertEquals(await heldNow(fixture), ["writev 0 10"]);
    await perform(fixture);
    await written[0];
    assertEquals(await heldNow(fixture), ["writev 100000 10"]);
    await perform(fixture);
    await written[1];
    assertEquals(await heldNow(fixture), []);
    assertEquals(streams.map((stream) => stream.bytesWritten), [10, 10, 0, 0]);
    await Promise.all([...streams, ...more].map((stream) => stream.abort()));
  }, { arenaBytes: END });
});

testFile("writeStream() tells of an error at every later call", async ({ aio, file, path }) => {
  const stream = file.writeStream({ bufferBytes: 4096, buffers: 1 });
  await stream.write(new Uint8Array(4096).fill(1));
  await stream.flush();
  aio.attachInjectionPoint(POINT, ({ operation }) => operation === "writev" ? -ENOSPC : undefined);
  await stream.write(new Uint8Array(4096).fill(2));
  const check = async (call: Promise<unknown>) => {
    const { code, offset, bytesWritten, message } = await errorOf(call);
    assertEquals([code, offset, bytesWritten], ["ENOSPC", 4096, 4096]);
    assert(message.startsWith("Bytes from 4096 on, of "), message);
  };
  await check(stream.flush());
  aio.detachInjectionPoint(POINT);
  await check(stream.write(new Uint8Array(1)));
  await check(stream.flush({ durable: true }));
  await check(stream.close());
  await stream.close();
  assertEquals((await Deno.readFile(path)).subarray(0, 4096), new Uint8Array(4096).fill(1));
});

testFile(
  "close() and flush() of writeStream() are durable when the file is closed",
  async (opened) => {
    const { aio, file, path } = opened;
    const other = await aio.openFile(path, { write: true });
    for (const [one, end] of [[file, "close"], [other, "flush"]] as const) {
      const stream = one.writeStream();
      await stream.write(new Uint8Array(100));
      const { started } = aio.backends()[0]!.counters;
      const ended = stream[end]({ durable: true });
      assertThrows(() => one.closeSync(), Deno.errors.Busy, "pending");
      const closing = one.close();
      await ended;
      // The write, and the flush.
      assertEquals(aio.backends()[0]!.counters.started - started, 2);
      await closing;
    }
  },
);

testFile("writeStream() writes what is buffered when its file closes", async (opened) => {
  const { file, path } = opened;
  const stream = file.writeStream();
  await stream.write(new Uint8Array(100));
  assertThrows(() => file.closeSync(), Deno.errors.Busy, "pending");
  const other = await opened.aio.openFile(path, { write: true });
  const second = other.writeStream({ offset: 100 });
  await second.write(new Uint8Array(50));
  await other.close();
  assertEquals((await Deno.stat(path)).size, 150);
  await assertRejects(() => second.write(new Uint8Array(1)), Deno.errors.BadResource, "closed");
  await stream.close();
  await assertRejects(() => stream.flush(), Deno.errors.BadResource, "closed");
});

testFile("writeStream() that has failed keeps no other one from its end", async (opened) => {
  const { aio, path } = opened;
  const file = await aio.openFile(path, { write: true });
  const failed = file.writeStream();
  const second = file.writeStream({ offset: 100 });
  const third = file.writeStream({ offset: 200 });
  await failed.write(new Uint8Array(10));
  aio.attachInjectionPoint(POINT, ({ operation }) => operation === "writev" ? -ENOSPC : undefined);
  await errorOf(failed.flush());
  aio.detachInjectionPoint(POINT);
  await second.write(new Uint8Array(50));
  await third.write(new Uint8Array(50));
  const { code, offset } = await errorOf(file.close());
  assertEquals([code, offset], ["ENOSPC", 0]);
  assertEquals([second.bytesWritten, third.bytesWritten], [50, 50]);
  assertEquals((await Deno.stat(path)).size, 250);
});

testFile("writeStream() that is aborted leaves out what is buffered", async ({ file, path }) => {
  const stream = file.writeStream({ bufferBytes: 4096 });
  await stream.write(new Uint8Array(5000));
  await stream.abort();
  assertEquals([stream.bytesWritten, (await Deno.stat(path)).size], [4096, 4096]);
});

testSharedAios("writeStream() and writable() refuse what cannot be", async (aio) => {
  await using dir = await tempDir();
  await using file = await aio.openFile(dir.join("file"), { write: true, create: true });
  for (const options of ['{ "ofset": 1 }', "null", "5"]) {
    assertThrows(() => file.writeStream(JSON.parse(options)), TypeError, "Cannot stream to ");
  }
  for (const options of ['{ "offset": -1 }', '{ "bufferBytes": 100 }', '{ "buffers": 0.5 }']) {
    assertThrows(() => file.writeStream(JSON.parse(options)), RangeError, "must be an integer");
    assertThrows(() => file.writable(JSON.parse(options)), RangeError, "must be an integer");
  }
  await using readOnly = await aio.openFile(dir.join("file"));
  assertThrows(() => readOnly.writeStream(), Deno.errors.BadResource, '"write"');
  await using stream = file.writeStream();
  await assertRejects(() => stream.write(JSON.parse('"text"')), TypeError, "pass a Uint8Array");
  await using direct = await aio.openFile(dir.join("file"), { write: true, direct: "optional" });
  if (!direct.direct) return;
  assertThrows(() => direct.writeStream(), Deno.errors.NotSupported, "whole blocks");
});

testFile("writable() takes what is piped into it", async ({ aio, file, path }) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("source"), 1_000_003, SEED);
  await using source = await aio.openFile(dir.join("source"));
  for (const durable of [false, true]) {
    const writable = file.writable({ offset: 5, durable });
    await source.readable().pipeTo(writable);
    assertEquals(writable.bytesWritten, 1_000_003);
    assertEquals((await Deno.readFile(path)).subarray(5), contentAt(SEED, 0, 1_000_003));
    await file.truncate(0);
  }
});

testFile("writable() that is aborted says how much was written", async ({ file }) => {
  const writable = file.writable({ bufferBytes: 4096 });
  const writer = writable.getWriter();
  await writer.write(new Uint8Array(10_000));
  await writer.abort("enough");
  assertEquals([writable.bytesWritten, await file.size()], [8192, 8192]);
});

testFile("writable() errors with what the system says", async ({ aio, file }) => {
  const writer = file.writable({ bufferBytes: 4096, buffers: 1 }).getWriter();
  aio.attachInjectionPoint(POINT, ({ operation }) => operation === "writev" ? -ENOSPC : undefined);
  await writer.write(new Uint8Array(4096));
  const error = await errorOf(writer.close());
  aio.detachInjectionPoint(POINT);
  assertEquals([error.code, error.offset, error.bytesWritten], ["ENOSPC", 0, 0]);
});

testFile(
  "writable() whose write has failed leaves nothing, and its error to itself",
  async (opened) => {
    const { aio, path } = opened;
    const { arena } = backendOf(aio);
    const free = arena.freeBytes;
    const file = await aio.openFile(path, { write: true });
    const writer = file.writable({ bufferBytes: 4096, buffers: 1 }).getWriter();
    aio.attachInjectionPoint(
      POINT,
      ({ operation }) => operation === "writev" ? -ENOSPC : undefined,
    );
    // The write of the first buffer fails while the second one waits for it.
    const error = await errorOf(writer.write(new Uint8Array(5000)));
    aio.detachInjectionPoint(POINT);
    assertEquals([error.code, error.offset], ["ENOSPC", 0]);
    assertEquals(arena.freeBytes, free);
    await assertRejects(() => writer.closed);
    await file.close();
  },
);

testFile(
  "writable() that is given no Uint8Array ends, and leaves nothing",
  async ({ aio, path }) => {
    const { arena } = backendOf(aio);
    const free = arena.freeBytes;
    const file = await aio.openFile(path, { write: true });
    const writer = file.writable().getWriter();
    await writer.write(new Uint8Array(10));
    await assertRejects(() => writer.write(JSON.parse('"text"')), TypeError, "pass a Uint8Array");
    assertEquals(arena.freeBytes, free);
    await assertRejects(() => writer.closed);
    await file.close();
  },
);
