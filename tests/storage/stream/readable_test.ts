/**
 * readable_test.ts: a file as a web stream: what readers of each kind get, how it ends, and that
 * nothing of it is left behind.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, AioFile, AioOptions, ReadableOptions } from "../../../mod.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";
import { POINT } from "../../support/flush_failures.ts";
import { openAio, testEachMethod, testSharedAios } from "../../support/methods.ts";
import { until } from "../../support/patience.ts";
import { contentAt, type Prng, withPrng } from "../../support/prng.ts";
import { errorOf } from "../../support/system_errors.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 11;
const FILE_BYTES = 1_000_003;
const EIO = 5;
/** For a log of each IO what is in the page cache is read by IO as well, and takes memory. */
const SMALL_ARENA: AioOptions = {
  arenaBytes: 512 * 1024,
  logLevel: "debug3",
  onLog: () => {},
};
const isDirectHere = (await directUnitHere() ?? Infinity) <= 65_536;

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
}

/** Registers a test for each method that gets a file, and must leave nothing in the arena. */
function testFile(
  name: string,
  use: (opened: Opened) => Promise<void>,
  { bytes = FILE_BYTES, direct = false, isPossible = true } = {},
): void {
  const options = { arenaBytes: 4 * 1024 * 1024 };
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await writeRandomFile(path, bytes, SEED);
    const { arena } = backendOf(aio);
    const free = arena.freeBytes;
    await using file = await aio.openFile(path, {
      read: true,
      write: true,
      direct: direct ? "required" : "off",
    });
    await use({ aio, file });
    await file.close();
    assertEquals([arena.freeBytes, aio.ios()], [free, []], "something is left");
  }, { options, isPossible });
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function checkPart(file: AioFile, options: ReadableOptions): Promise<void> {
  const { offset = 0, length = Infinity } = options;
  const bytes = Math.max(0, Math.min(length, FILE_BYTES - offset));
  const got = await bytesOf(file.readable(options));
  assertEquals(got.length, bytes, JSON.stringify(options));
  assertEquals(got, contentAt(SEED, offset, bytes));
}

const PARTS: readonly ReadableOptions[] = [
  {},
  { offset: 1 },
  { offset: 65_536, length: 65_536 },
  { offset: 65_535, length: 2 },
  { offset: 4095, length: 3 },
  { offset: 300_001, length: 200_001, chunkBytes: 1000 },
  { offset: FILE_BYTES - 1 },
  { offset: FILE_BYTES - 5, length: 100 },
  { offset: FILE_BYTES },
  { offset: FILE_BYTES + 10 },
  { length: 0 },
  { chunkBytes: 999_999 },
  { chunkBytes: 16 * 1024 * 1024 },
];

testFile("readable() gives the file, or a part of it", async ({ file }) => {
  for (const part of PARTS) await checkPart(file, part);
});

testFile(
  "readable() of a direct file gives the same",
  async ({ file }) => {
    for (const part of PARTS) await checkPart(file, part);
  },
  { direct: true, isPossible: isDirectHere },
);

testFile("readable() of an empty file ends at once", async ({ file }) => {
  assertEquals(await bytesOf(file.readable()), new Uint8Array(0));
  const reader = file.readable().getReader({ mode: "byob" });
  const { done, value } = await reader.read(new Uint8Array(10));
  assertEquals([done, value!.length], [true, 0]);
}, { bytes: 0 });

testFile("readable() gives chunks of the size that was asked for", async ({ file }) => {
  for (const [chunkBytes, expected] of [[undefined, 65_536], [100_000, 100_000]] as const) {
    const sizes: number[] = [];
    for await (const chunk of file.readable({ chunkBytes })) sizes.push(chunk.length);
    const count = Math.ceil(FILE_BYTES / expected);
    assertEquals(sizes.slice(0, -1), Array(count - 1).fill(expected));
    assertEquals(sizes.at(-1), FILE_BYTES - (count - 1) * expected);
  }
});

testFile("readable() fills buffers that readers bring, of any size", async ({ file }) => {
  await withPrng(async (prng: Prng) => {
    const reader = file.readable({ offset: 5 }).getReader({ mode: "byob" });
    let at = 5;
    for (;;) {
      const room = prng.pick([1, 7, 4096, 65_536, 70_000, 300_000]);
      const { done, value } = await reader.read(new Uint8Array(new ArrayBuffer(room + 8), 3, room));
      if (done) break;
      assertEquals(value, contentAt(SEED, at, value.length));
      assertEquals(value.length, Math.min(room, FILE_BYTES - at), "fewer only at the end");
      at += value.length;
    }
    assertEquals(at, FILE_BYTES);
  });
});

testFile("readable() goes through pipes", async ({ file }) => {
  const packed = file.readable().pipeThrough(new CompressionStream("gzip"));
  const unpacked = await bytesOf(packed.pipeThrough(new DecompressionStream("gzip")));
  assertEquals(unpacked, contentAt(SEED, 0, FILE_BYTES));
  await using dir = await tempDir();
  const copy = await Deno.open(dir.join("copy"), { write: true, create: true });
  await file.readable().pipeTo(copy.writable);
  assertEquals(await Deno.readFile(dir.join("copy")), contentAt(SEED, 0, FILE_BYTES));
  const [one, other] = file.readable({ length: 100_000 }).tee();
  const both = await Promise.all([bytesOf(one), bytesOf(other)]);
  assertEquals(both, [contentAt(SEED, 0, 100_000), contentAt(SEED, 0, 100_000)]);
});

testFile("readable() reads nothing before the first bytes are wanted", async ({ aio, file }) => {
  const { arena } = backendOf(aio);
  const free = arena.freeBytes;
  const stream = file.readable();
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals([aio.ios(), arena.freeBytes], [[], free]);
  await stream.cancel();
});

testFile("readable() that is canceled leaves nothing in flight", async ({ aio, file }) => {
  const { arena } = backendOf(aio);
  const free = arena.freeBytes;
  for await (const chunk of file.readable()) {
    assertEquals(chunk, contentAt(SEED, 0, chunk.length));
    break;
  }
  assertEquals([aio.ios(), arena.freeBytes], [[], free]);
  const reader = file.readable({ chunkBytes: 1000 }).getReader();
  await reader.read();
  const pending = reader.read();
  await reader.cancel("enough");
  assert((await pending).done);
  assertEquals([aio.ios(), arena.freeBytes], [[], free]);
});

testFile("readable() canceled at random moments leaves nothing", async ({ aio, file }) => {
  await withPrng(async (prng: Prng) => {
    const { arena } = backendOf(aio);
    const free = arena.freeBytes;
    const cancelOne = async () => {
      const chunkBytes = prng.pick([100, 10_000, 65_536, 200_000]);
      const reader = file.readable({ chunkBytes, offset: prng.below(FILE_BYTES) }).getReader();
      const reads = Array.from({ length: prng.below(6) }, () => reader.read());
      for (let i = prng.below(5); i > 0; i--) await new Promise((go) => setTimeout(go));
      await reader.cancel();
      await Promise.all(reads);
    };
    for (let round = 0; round < 10; round++) {
      await Promise.all(Array.from({ length: 5 }, cancelOne));
    }
    await until(() => arena.freeBytes === free, "all memory is given back");
  });
});

testEachMethod("readable() gets on any number of times with little memory", async (method) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), FILE_BYTES, SEED);
  await using aio = await openAio(method, SMALL_ARENA);
  await using file = await aio.openFile(dir.join("file"));
  await withPrng(async (prng: Prng) => {
    const readers = Array.from({ length: 30 }, () => file.readable().getReader());
    const at = readers.map(() => 0);
    const read = async (i: number): Promise<void> => {
      const { done, value } = await readers[i]!.read();
      if (done) return;
      assertEquals(value, contentAt(SEED, at[i]!, value.length));
      at[i]! += value.length;
    };
    // One after another, and none ends: each has to give its memory to the next.
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < readers.length; i++) await read(i);
    }
    // All at once, and some end while they wait.
    const ended = readers.filter(() => prng.chance(1, 3));
    const pending = readers.map((_, i) => read(i));
    await Promise.all(ended.map((reader) => reader.cancel()));
    await Promise.all(pending);
    const left = readers.keys().filter((i) => !ended.includes(readers[i]!));
    await Promise.all(left.map(async (i) => {
      while (at[i]! < FILE_BYTES) await read(i);
    }));
    await Promise.all(readers.map((reader) => reader.cancel()));
  });
});

testEachMethod("readable() that finds no memory which comes back says so", async (method) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), FILE_BYTES, SEED);
  await using aio = await openAio(method, SMALL_ARENA);
  await using file = await aio.openFile(dir.join("file"));
  const all = aio.alloc(512 * 1024);
  await assertRejects(() => bytesOf(file.readable()), Deno.errors.Busy, "arenaBytes");
  aio.free(all);
  assertEquals((await bytesOf(file.readable())).length, FILE_BYTES);
});

testEachMethod("readable() that gives up waiting for memory wakes the next one", async (method) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("small"), 3000, SEED);
  await writeRandomFile(dir.join("file"), FILE_BYTES, SEED);
  await using aio = await openAio(method, SMALL_ARENA);
  const { arena } = backendOf(aio);
  await using small = await aio.openFile(dir.join("small"));
  await using file = await aio.openFile(dir.join("file"));
  const free = arena.freeBytes;
  const readers = Array.from({ length: 9 }, () => file.readable({ chunkBytes: 10 }).getReader());
  // Each gives its memory to one of the next; those that have some at the end are canceled.
  for (const reader of readers) await reader.read();
  for (const reader of readers.splice(2)) await reader.cancel();
  await until(() => arena.freeBytes === free, "all memory is given back");
  // It is idle, and has a page: too little for the others, which wait for it all the same.
  const idle = small.readable({ chunkBytes: 10 }).getReader();
  await idle.read();
  const views: Uint8Array[] = [];
  assertThrows(() => {
    for (;;) views.push(aio.alloc(4096));
  }, Deno.errors.Busy);
  const refused = readers.map((reader) => assertRejects(() => reader.read(), Deno.errors.Busy));
  await Promise.all(refused);
  for (const view of views) aio.free(view);
  await idle.cancel();
});

testFile("readable() errors with the reason of its signal", async ({ file }) => {
  const reason = new Error("no more");
  assertThrows(() => file.readable({ signal: AbortSignal.abort(reason) }), Error, "no more");
  const end = new AbortController();
  const reader = file.readable({ signal: end.signal, chunkBytes: 1000 }).getReader();
  await reader.read();
  end.abort(reason);
  await assertRejects(() => reader.read(), Error, "no more");
  // An idle one hears of it, too.
  const idle = new AbortController();
  const other = file.readable({ signal: idle.signal }).getReader();
  idle.abort(reason);
  await assertRejects(() => other.closed, Error, "no more");
  // After the end the signal is nobody's.
  const late = new AbortController();
  await bytesOf(file.readable({ signal: late.signal }));
  late.abort(reason);
});

testFile("readable() bears a signal that a hook of its own IO aborts", async ({ aio, file }) => {
  const { arena } = backendOf(aio);
  const free = arena.freeBytes;
  const end = new AbortController();
  const reader = file.readable({ signal: end.signal }).getReader();
  aio.attachInjectionPoint(POINT, () => end.abort(new Error("no more")));
  await assertRejects(() => reader.read(), Error, "no more");
  aio.detachInjectionPoint(POINT);
  await until(() => arena.freeBytes === free, "its memory is given back");
});

testFile("readable() ends with its file", async ({ file }) => {
  const reader = file.readable({ chunkBytes: 1000 }).getReader();
  await reader.read();
  await file.close();
  const error = await reader.read().then(async () => {
    for (;;) await reader.read();
  }).catch((error) => error);
  assert(error instanceof Deno.errors.BadResource, String(error));
  assertThrows(() => file.readable(), Deno.errors.BadResource, "closed");
});

testFile("readable() that has read nothing yet ends with its file", async ({ aio, file }) => {
  const stream = file.readable();
  const pages = file.readStream();
  await file.close();
  // Its descriptor may be that of an empty file now, which would end a stream without an error.
  await using dir = await tempDir();
  await using _ = await aio.openFile(dir.join("empty"), { write: true, createNew: true });
  const read = () => stream.getReader().read();
  await assertRejects(read, Deno.errors.BadResource, "the file is closed");
  assertThrows(() => pages.nextBlock(), Deno.errors.BadResource, "the file is closed");
});

testSharedAios("readable() closes its file, if it is to, however it ends", async (aio) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), FILE_BYTES, SEED);
  const open = () => aio.openFile(dir.join("file"));
  const ends: readonly ((file: AioFile) => Promise<unknown>)[] = [
    (file) => bytesOf(file.readable({ close: true })),
    (file) => bytesOf(file.readable({ close: true, length: 0 })),
    (file) => file.readable({ close: true }).cancel(),
    async (file) => {
      for await (const _chunk of file.readable({ close: true })) break;
    },
    async (file) => {
      const end = new AbortController();
      const reader = file.readable({ close: true, signal: end.signal }).getReader();
      await reader.read();
      end.abort(new Error("no more"));
      await assertRejects(() => reader.read(), Error, "no more");
    },
  ];
  for (const end of ends) {
    const file = await open();
    await end(file);
    await until(() => file.isClosed, "it is closed");
    await file.close();
  }
  const file = await open();
  await bytesOf(file.readable({ close: false }));
  assert(!file.isClosed);
  await file.close();
});

testFile("readable() errors with what the system says", async ({ aio, file }) => {
  aio.attachInjectionPoint(POINT, ({ operation }) => operation === "readv" ? -EIO : undefined);
  const error = await errorOf(bytesOf(file.readable()));
  aio.detachInjectionPoint(POINT);
  assertEquals([error.code, error.path, error.offset], ["EIO", file.path, 0]);
});

testFile("readable() ends where the file ended when it began", async ({ file }) => {
  const reader = file.readable({ chunkBytes: 500_000 }).getReader();
  let bytes = (await reader.read()).value!.length;
  await file.append(new Uint8Array(100_000));
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.length;
  }
  assertEquals(bytes, FILE_BYTES);
});

testSharedAios("readable() refuses options that cannot be", async (aio) => {
  await using dir = await tempDir();
  await using file = await aio.openFile(dir.join("file"), { write: true, create: true });
  assertThrows(() => file.readable(), Deno.errors.BadResource, '"read"');
  await using other = await aio.openFile(dir.join("file"));
  const refused = (options: string, Class: ErrorConstructor, text: string) => {
    assertThrows(() => other.readable(JSON.parse(options)), Class, text);
  };
  refused('{ "ofset": 1 }', TypeError, 'unknown option "ofset"');
  refused("null", TypeError, "must be an object");
  refused('{ "signal": 1 }', TypeError, "AbortSignal");
  refused('{ "close": 1 }', TypeError, "boolean");
  for (const offset of ["-1", "1.5", '"1"', "9007199254740992"]) {
    refused(`{ "offset": ${offset} }`, RangeError, '"offset"');
    refused(`{ "length": ${offset} }`, RangeError, '"length"');
  }
  for (const bytes of ["0", "-1", "1.5", "16777217"]) {
    refused(`{ "chunkBytes": ${bytes} }`, RangeError, '"chunkBytes"');
  }
});
