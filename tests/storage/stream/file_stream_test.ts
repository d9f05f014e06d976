/**
 * file_stream_test.ts: `file.readStream()`: which pages come, with what in them, in which order,
 * whatever the system makes of the reads.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, AioFile, ReadStreamOptions, StreamPage } from "../../../mod.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";
import { POINT } from "../../support/flush_failures.ts";
import { type SharedAioNeeds, testSharedAios } from "../../support/methods.ts";
import { contentAt, Prng } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 11;
const PAGE = 4096;
const BLOCKS = 300;
/** The last page is short. */
const FILE_BYTES = BLOCKS * PAGE - 1000;
const EIO = 5;
const EINTR = 4;
const isDirectHere = (await directUnitHere() ?? Infinity) <= PAGE;

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
}

function testFile(
  name: string,
  use: (opened: Opened) => Promise<void>,
  { direct = false, ...needs }: SharedAioNeeds & { readonly direct?: boolean } = {},
): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await writeRandomFile(path, FILE_BYTES, SEED);
    const free = backendOf(aio).arena.freeBytes;
    {
      await using file = await aio.openFile(path, {
        read: true,
        write: true,
        direct: direct ? "required" : "off",
      });
      await use({ aio, file, path });
    }
    assertEquals(backendOf(aio).arena.freeBytes, free, "all space is given back");
    assertEquals(aio.ios(), []);
  }, { isPossible: !direct || isDirectHere, ...needs });
}

/** For buffered and for direct reads. */
function testBoth(name: string, use: (opened: Opened) => Promise<void>): void {
  testFile(`${name}, past the page cache`, use, { direct: true });
  testFile(name, use);
}

function checkPage({ block, bytes }: StreamPage<unknown>, expected: number): void {
  assertEquals(block, expected);
  const length = Math.min(PAGE, FILE_BYTES - block * PAGE);
  assertEquals(bytes.length, length);
  assertEquals(new Uint8Array(bytes), contentAt(SEED, block * PAGE, length), `block ${block}`);
}

/** Reads blocks in an order, awaiting or blocking, and checks them. */
async function checkBlocks(
  { file }: Opened,
  blocks: readonly number[],
  isBlocking: boolean,
  options: Omit<ReadStreamOptions, "next"> = {},
): Promise<void> {
  let next = 0;
  await using stream = file.readStream({
    pageSize: PAGE,
    next: () => blocks[next++] ?? null,
    ...options,
  });
  for (const [i, block] of blocks.entries()) {
    const page = isBlocking ? stream.nextSync() : await stream.next();
    assert(page !== null, `page ${i} of ${blocks.length}`);
    checkPage(page, block);
  }
  assertEquals(isBlocking ? stream.nextSync() : await stream.next(), null);
  assertEquals(await stream.next(), null);
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
const prng = new Prng(SEED);
const ORDERS: Readonly<Record<string, readonly number[]>> = {
  "forwards": upTo(BLOCKS),
  "backwards": upTo(BLOCKS).reverse(),
  "to and fro": upTo(BLOCKS / 2).flatMap((i) => i % 20 < 10 ? [i] : [i - (i % 20) * 2 + 29]),
  "there and back": [...upTo(40), ...upTo(40).reverse()],
  "zigzag": upTo(100).map((i) => i % 2 === 0 ? i / 2 : BLOCKS - (i + 1) / 2),
  "each block three times": upTo(60).flatMap((i) => [i, i, i]),
  "by chance": upTo(200).map(() => prng.below(BLOCKS)),
  "every third block": upTo(100).map((i) => i * 3),
  "one block": [7],
  "none": [],
};

for (const [name, blocks] of Object.entries(ORDERS)) {
  testBoth(`readStream() reads blocks ${name}`, async (opened) => {
    await checkBlocks(opened, blocks, false);
    await checkBlocks(opened, blocks, true);
    await checkBlocks(opened, blocks, false, { full: true, batching: true });
    await checkBlocks(opened, blocks, true, { maintenance: true, batching: true });
  });
}

for (const ioCombineLimit of [1, 3]) {
  for (const effectiveIoConcurrency of [0, 1, 2]) {
    testFile(
      `readStream() with ioCombineLimit ${ioCombineLimit} and effectiveIoConcurrency ${effectiveIoConcurrency}`,
      async (opened) => {
        for (const blocks of Object.values(ORDERS)) {
          await checkBlocks(opened, blocks, false);
          await checkBlocks(opened, blocks, true);
        }
      },
      { options: { ioCombineLimit, effectiveIoConcurrency } },
    );
  }
}

testBoth("readStream() reads the whole file by default", async ({ file }) => {
  let block = 0;
  for await (const page of file.readStream({ pageSize: PAGE })) checkPage(page, block++);
  assertEquals(block, BLOCKS);
  const stream = file.readStream({ pageSize: PAGE });
  for (let page; (page = stream.nextSync()) !== null; block++) checkPage(page, block - BLOCKS);
  assertEquals(block, 2 * BLOCKS);
});

testFile("readStream() takes the page size of the Aio", async ({ file }) => {
  const lengths: number[] = [];
  for await (const { bytes } of file.readStream()) lengths.push(bytes.length);
  const whole = Math.floor(FILE_BYTES / 16_384);
  assertEquals(lengths.length, whole + 1);
  assert(lengths.slice(0, whole).every((length) => length === 16_384));
  assertEquals(lengths[whole], FILE_BYTES % 16_384);
}, { options: { pageSize: 16_384 } });

testFile("readStream() reads a range", async ({ file }) => {
  let block = 17;
  for await (const page of file.readStream({ from: 17, until: 80, pageSize: PAGE })) {
    checkPage(page, block++);
  }
  assertEquals(block, 80);
  for await (const _ of file.readStream({ from: 5, until: 5 })) throw new Error("a page of none");
  for await (const _ of file.readStream({ from: BLOCKS })) throw new Error("a page behind the end");
});

testFile("readStream() of an empty file has no page", async ({ aio, path }) => {
  await Deno.truncate(path, 0);
  await using file = await aio.openFile(path);
  assertEquals(await file.readStream().next(), null);
  assertEquals(file.readStream().nextSync(), null);
});

testFile("readStream() hands out the data that the callback got", async ({ file }) => {
  let next = 0;
  let made = 0;
  const stream = file.readStream({
    pageSize: PAGE,
    pageData: () => ({ id: made++, note: "" }),
    next(data) {
      data.note = `block ${next}`;
      return next < 200 ? next++ : null;
    },
  });
  for await (const page of stream) assertEquals(page.data.note, `block ${page.block}`);
  assertEquals(made, stream.inspect().queueSize);
});

testBoth("the reads of a stream double, whoever executes them", async ({ file }) => {
  for (const isBlocking of [false, true]) {
    await using stream = file.readStream({ pageSize: PAGE, until: 63 });
    const stats = stream.enableStats();
    const combined: number[] = [];
    for (let block = 0; block < 63; block++) {
      const page = isBlocking ? stream.nextSync() : await stream.next();
      assertEquals(page?.block, block);
      const { combineDistance, readaheadDistance, maxPinnedBuffers } = stream.inspect();
      assert(readaheadDistance <= maxPinnedBuffers);
      if (combineDistance !== combined.at(-1)) combined.push(combineDistance);
    }
    // At the end both are 0.
    assertEquals(
      combined.slice(0, 4).filter((it) => it > 0),
      [2, 4, 8, 16].slice(0, combined.length - 1),
    );
    assertEquals([stats.ioCount, stats.ioNblocks, stats.prefetchCount], [7, 63, 63]);
    assert(stats.waitCount >= 0 && stats.waitCount <= 7);
    assert(stats.distanceMax <= stats.distanceCapacity);
  }
});

testFile("a stream without read-ahead waits for each read", async ({ file }) => {
  for (const isBlocking of [false, true]) {
    await using stream = file.readStream({ pageSize: PAGE, until: 63 });
    const stats = stream.enableStats();
    for (let block = 0; block < 63; block++) {
      assertEquals((isBlocking ? stream.nextSync() : await stream.next())?.block, block);
      assert(stream.inspect().iosInProgress <= 1);
    }
    assertEquals([stats.ioCount, stats.waitCount, stats.ioInProgress], [7, 7, 7]);
  }
}, { options: { effectiveIoConcurrency: 0 } });

testFile("a stream of maintenance goes by an option of its own", async ({ file }) => {
  await using stream = file.readStream({ maintenance: true });
  await using other = file.readStream();
  assertEquals([stream.inspect().maxIos, other.inspect().maxIos], [7, 3]);
  assertEquals((await stream.next())?.block, 0);
}, { options: { effectiveIoConcurrency: 3, maintenanceIoConcurrency: 7 } });

testFile("streams many at once share the arena", async ({ file }) => {
  const read = async () => {
    let block = 0;
    for await (const page of file.readStream({ pageSize: PAGE })) checkPage(page, block++);
    assertEquals(block, BLOCKS);
  };
  await Promise.all(upTo(6).map(read));
}, { options: { maxConcurrency: 4, arenaBytes: 4 * 1024 * 1024 } });

testFile("a stream makes do with the memory that there is, or says so", async (opened) => {
  const { aio, file } = opened;
  const views = [];
  for (let left = backendOf(aio).arena.freeBytes; left > 2 * PAGE; left -= PAGE) {
    views.push(aio.alloc(PAGE));
  }
  await checkBlocks(opened, ORDERS["forwards"]!, false);
  await checkBlocks(opened, ORDERS["backwards"]!, true);
  views.push(aio.alloc(PAGE));
  await assertRejects(() => file.readStream({ pageSize: PAGE }).next(), Deno.errors.Busy, "arena");
  for (const view of views) aio.free(view);
}, { options: { arenaBytes: 262_144 } });

// --- what goes wrong ---

/** Replaces the system's answers. */
function injecting(aio: Aio, hook: Parameters<Aio["attachInjectionPoint"]>[1]): Disposable {
  aio.attachInjectionPoint(POINT, hook);
  return { [Symbol.dispose]: () => aio.detachInjectionPoint(POINT) };
}

const BOUNDARIES = [1, 17, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE + 17];

for (const short of BOUNDARIES) {
  testBoth(`a read that is cut to ${short} bytes goes on`, async (opened) => {
    const cut = new Set<number>();
    using _point = injecting(opened.aio, (handle, result) => {
      const { offset } = handle.operationData;
      // Once for each place: what does not get on at the second try has met the end of the file.
      if (result <= short || offset % PAGE !== 0 || cut.has(offset)) return undefined;
      cut.add(offset);
      return short;
    });
    await checkBlocks(opened, ORDERS["forwards"]!.slice(0, 100), false, { full: true });
    cut.clear();
    await checkBlocks(opened, ORDERS["backwards"]!, true, { full: true });
    assert(cut.size > 0);
  });
}

testBoth("a read that was interrupted is repeated", async (opened) => {
  let calls = 0;
  using _point = injecting(opened.aio, () => calls++ % 3 !== 2 ? -EINTR : undefined);
  await checkBlocks(opened, ORDERS["forwards"]!, false);
  await checkBlocks(opened, ORDERS["backwards"]!, true);
});

testBoth("the pages before one that cannot be read come", async ({ aio, file, path }) => {
  for (const isBlocking of [false, true]) {
    using _point = injecting(aio, (handle, result) => {
      const { offset, length } = handle.operationData;
      const bad = 100 * PAGE;
      if (offset === bad) return -EIO;
      return offset < bad && offset + length > bad ? bad - offset : result;
    });
    await using stream = file.readStream({ pageSize: PAGE, full: true });
    const next = async () => isBlocking ? stream.nextSync() : await stream.next();
    for (let block = 0; block < 100; block++) checkPage((await next())!, block);
    const error = await assertRejects(next, Error, `Cannot read block 100 of "${path}"`);
    assertEquals(Reflect.get(error, "code"), "EIO");
    assertEquals(Reflect.get(error, "block"), 100);
    assertEquals(Reflect.get(error, "offset"), 100 * PAGE);
    assertEquals(await assertRejects(next), error, "until it is reset");
    assertEquals(backendOf(aio).arena.hasBounceRuns, false);
    aio.detachInjectionPoint(POINT);
    stream.reset();
    for (let block = 0; block < BLOCKS; block++) checkPage((await next())!, block);
    assertEquals(await next(), null);
  }
});

testFile("an IO that fails at once names its blocks", async ({ aio, file }) => {
  using _point = injecting(aio, (handle) => handle.operationData.offset > 0 ? -EIO : undefined);
  const stream = file.readStream({ pageSize: PAGE });
  checkPage((await stream.next())!, 0);
  await assertRejects(() => stream.next(), Error, "block 1 of");
  await assertRejects(() => stream.next(), Error, "read with blocks 1 to 2");
});

testBoth("a block behind the end of the file is an error that names it", async ({ file, path }) => {
  let block = BLOCKS - 3;
  const stream = file.readStream({ pageSize: PAGE, full: true, next: () => block++ });
  for (let i = BLOCKS - 3; i < BLOCKS; i++) checkPage((await stream.next())!, i);
  const error = await assertRejects(
    () => stream.next(),
    Deno.errors.UnexpectedEof,
    `Cannot read block ${BLOCKS} of "${path}": the file ends before it`,
  );
  assertEquals(Reflect.get(error, "block"), BLOCKS);
  const back = file.readStream({ pageSize: PAGE, next: () => block-- });
  await assertRejects(() => back.next(), Deno.errors.UnexpectedEof);
});

testFile("a file that is cut meanwhile ends with an error", async ({ file }) => {
  const stream = file.readStream({ pageSize: PAGE });
  checkPage((await stream.next())!, 0);
  await file.truncate(200 * PAGE + 50);
  let block = 1;
  for (; block < 200; block++) checkPage((await stream.next())!, block);
  const last = (await stream.next())!;
  assertEquals([last.block, last.bytes.length], [200, 50]);
  await assertRejects(() => stream.next(), Deno.errors.UnexpectedEof, "block 201");
}, { options: { ioCombineLimit: 4 } });

testFile("what the callback throws comes in its place", async ({ file }) => {
  for (const isBlocking of [false, true]) {
    let block = 0;
    const thrown = new Error("no more");
    const stream = file.readStream({
      pageSize: PAGE,
      full: true,
      next: () => {
        if (block === 37) throw thrown;
        return block++;
      },
    });
    const next = async () => isBlocking ? stream.nextSync() : await stream.next();
    for (let i = 0; i < 37; i++) checkPage((await next())!, i);
    assertEquals(await assertRejects(next), thrown);
    block = 40;
    stream.reset();
    checkPage((await next())!, 40);
    await stream.close();
  }
});

for (const wrong of [-1, 0.5, NaN, "7", 2 ** 53, true]) {
  testFile(`a callback that returns ${wrong} is refused`, async ({ file }) => {
    const stream = file.readStream({ next: () => wrong as number });
    await assertRejects(() => stream.next(), RangeError, `Cannot read block`);
  });
}

const REFUSED: readonly (readonly [unknown, typeof TypeError, string])[] = [
  [5, TypeError, "must be an object"],
  [{ pageSiez: 5 }, TypeError, 'unknown option "pageSiez"'],
  [{ next: 5 }, TypeError, '"next" must be of type function'],
  [{ next: () => null, from: 5 }, TypeError, 'either "next"'],
  [{ pageSize: 1000 }, RangeError, "a power of two from 512"],
  [{ pageSize: 256 }, RangeError, "a power of two from 512"],
  [{ from: -1 }, RangeError, "from block -1"],
  [{ from: 5, until: 4 }, RangeError, "from block 5 until 4"],
  [{ signal: {} }, TypeError, "must be an AbortSignal"],
];

for (const [options, Class, message] of REFUSED) {
  testFile(`readStream(${JSON.stringify(options)}) is refused: ${message}`, async ({ file }) => {
    await Promise.resolve();
    assertThrows(() => file.readStream(options as ReadStreamOptions), Class, message);
  });
}

testFile("readStream() of a file opened for writing is refused", async ({ aio, path }) => {
  await using file = await aio.openFile(path, { write: true });
  assertThrows(() => file.readStream(), Deno.errors.BadResource, 'opened without "read"');
});

testFile("readStream() past the page cache refuses pages that are too small", async ({ file }) => {
  await Promise.resolve();
  if (file.alignment.offset === 512 && file.alignment.memory === 512) return;
  assertThrows(() => file.readStream({ pageSize: 512 }), RangeError, "direct reads are multiples");
}, { direct: true });
