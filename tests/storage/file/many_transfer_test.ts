/**
 * many_transfer_test.ts: `readAtMany` and `writeAtMany`: many transfers, one promise, whatever
 * each of them is like.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { TURNS_TO_LOOK } from "../../../core/waiting/event_loop.ts";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, AioFile, FileTransfer, ManyTransfersError } from "../../../mod.ts";
import {
  openAio,
  type SharedAioNeeds,
  testEachMethod,
  testSharedAios,
} from "../../support/methods.ts";
import { POINT } from "../../support/flush_failures.ts";
import { contentAt, Prng } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";

const SEED = 7;
const FILE_BYTES = 1_000_000;
const EIO = 5;

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
}

async function withFile(aio: Aio, use: (opened: Opened) => Promise<void>): Promise<void> {
  await using dir = await tempDir();
  const path = dir.join("file");
  await writeRandomFile(path, FILE_BYTES, SEED);
  await using file = await aio.openFile(path, { read: true, write: true });
  const free = backendOf(aio).arena.freeBytes;
  await use({ aio, file, path });
  assertEquals(backendOf(aio).arena.freeBytes, free, "all space is given back");
  assertEquals(aio.ios(), []);
}

function testFile(
  name: string,
  use: (opened: Opened) => Promise<void>,
  needs: SharedAioNeeds = {},
): void {
  testSharedAios(name, (aio) => withFile(aio, use), needs);
}

function checkReads(list: readonly FileTransfer[], results: readonly number[]): void {
  for (const [i, { buffer, offset }] of list.entries()) {
    const expected = Math.max(0, Math.min(buffer.length, FILE_BYTES - offset));
    assertEquals(results[i], expected, `transfer ${i}`);
    assertEquals(new Uint8Array(buffer.subarray(0, expected)), contentAt(SEED, offset, expected));
  }
}

testFile("readAtMany() fills all buffers, of the arena and plain", async ({ aio, file }) => {
  const memory = aio.alloc(8192);
  const list = Array.from({ length: 32 }, (_, i) => ({
    buffer: i % 2 === 0 ? memory.subarray(i * 256, i * 256 + 256) : new Uint8Array(300),
    offset: i * 7_777,
  }));
  checkReads(list, await file.readAtMany(list));
  aio.free(memory);
});

testFile("readAtMany() and writeAtMany() keep all memory from free()", async ({ aio, file }) => {
  const memory = aio.alloc(4096);
  const { maxConcurrency } = aio.options;
  // The last one is started when another one has ended; a list goes through the arena.
  const list = Array.from({ length: maxConcurrency + 1 }, (_, i) => ({
    buffer: i < maxConcurrency ? new Uint8Array(16) : memory,
    offset: i * 16,
  }));
  const free = () => aio.free(memory);
  for (const many of [() => file.writeAtMany(list), () => file.readAtMany(list)]) {
    const done = many();
    assertThrows(free, Deno.errors.Busy, "while an IO uses it");
    await done;
  }
  const wrong = [{ buffer: memory, offset: 0 }, { buffer: memory, offset: -1 }];
  await assertRejects(() => file.readAtMany(wrong), RangeError);
  free();
});

/** More than are started at once, of buffers that can become larger, and smaller. */
function changing(aio: Aio): { buffer: Uint8Array<ArrayBuffer>; offset: number }[] {
  return Array.from({ length: aio.options.maxConcurrency + 3 }, (_, i) => ({
    buffer: new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 })).fill(1),
    offset: i * 1000,
  }));
}

testFile(
  "writeAtMany() of buffers that grow writes what they were",
  async ({ aio, file, path }) => {
    const list = changing(aio);
    const writing = file.writeAtMany(list);
    for (const { buffer } of list) buffer.buffer.resize(16);
    assertEquals(await writing, list.map(() => 8));
    const content = await Deno.readFile(path);
    for (const { offset } of list) {
      assertEquals(content.subarray(offset, offset + 8), new Uint8Array(8).fill(1));
      assertEquals(content.slice(offset + 8, offset + 16), contentAt(SEED, offset + 8, 8));
    }
  },
);

testFile("writeAtMany() of buffers that shrink before they are written rejects", async (opened) => {
  const { aio, file, path } = opened;
  const list = changing(aio);
  const writing = file.writeAtMany(list);
  for (const { buffer } of list) buffer.buffer.resize(4);
  const error = await assertRejects(() => writing, TypeError, "a buffer became smaller");
  const { results } = error as ManyTransfersError;
  assertEquals(results[list.length - 1], null);
  const content = await Deno.readFile(path);
  for (const [i, { offset }] of list.entries()) {
    const old = contentAt(SEED, offset, 8);
    assertEquals(content.slice(offset, offset + 8), results[i] === 8 ? old.fill(1) : old);
  }
});

testFile("readAtMany() has its own list of transfers", async ({ aio, file }) => {
  const { maxConcurrency } = aio.options;
  // More than are started at once.
  const wanted = Array.from({ length: maxConcurrency + 3 }, (_, i) => ({
    buffer: new Uint8Array(16),
    offset: i * 1000,
  }));
  const other = { buffer: new Uint8Array(16), offset: 5 };
  const changes: ((list: FileTransfer[]) => void)[] = [
    (list) => list.splice(0),
    (list) => list.fill(other),
    (list) => list.push(other),
    (list) => list.forEach((one) => Object.assign(one, other)),
  ];
  for (const change of changes) {
    const list = wanted.map((one) => ({ ...one }));
    const reading = file.readAtMany(list);
    change(list);
    checkReads(wanted, await reading);
  }
  assertEquals(other.buffer, new Uint8Array(16));
});

testFile("readAtMany() of an empty list resolves with one", async ({ file }) => {
  assertEquals(await file.readAtMany([]), []);
  assertEquals(await file.writeAtMany([]), []);
});

testFile("readAtMany() tells which reads met the end of the file", async ({ file }) => {
  const at = (offset: number) => ({ buffer: new Uint8Array(100), offset });
  const list = [at(0), at(FILE_BYTES - 40), at(FILE_BYTES), at(FILE_BYTES + 5), at(50)];
  const results = await file.readAtMany(list);
  assertEquals(results, [100, 40, 0, 0, 100]);
  checkReads(list, results);
});

testFile(
  "readAtMany() takes empty buffers, and what is larger than a bounce piece",
  async ({ file }) => {
    const list = [
      { buffer: new Uint8Array(0), offset: 5 },
      { buffer: new Uint8Array(600_000), offset: 1_000 },
      { buffer: new Uint8Array(10), offset: 3 },
    ];
    checkReads(list, await file.readAtMany(list));
  },
);

testFile(
  "readAtMany() reads more than there are handles and room for",
  async ({ file }) => {
    const prng = new Prng(SEED);
    const list = Array.from({ length: 500 }, () => ({
      buffer: new Uint8Array(prng.between(1, 2_000)),
      offset: prng.below(FILE_BYTES),
    }));
    checkReads(list, await file.readAtMany(list));
  },
  { options: { maxConcurrency: 4, arenaBytes: 65_536 } },
);

testFile("readAtMany() many times at once, and one after another", async ({ file }) => {
  for (let round = 0; round < 3; round++) {
    const lists = Array.from({ length: 20 }, (_, i) =>
      Array.from({ length: i }, (_, j) => ({
        buffer: new Uint8Array(50),
        offset: (i * 100 + j) * 50 + round,
      })));
    const results = await Promise.all(lists.map((list) => file.readAtMany(list)));
    for (const [i, list] of lists.entries()) checkReads(list, results[i]!);
  }
});

testFile(
  "writeAtMany() writes all, and readAtMany() reads them back",
  async ({ aio, file, path }) => {
    const memory = aio.alloc(4096);
    memory.set(contentAt(1, 0, 4096));
    const list = Array.from({ length: 40 }, (_, i) => ({
      buffer: i % 3 === 0 ? memory.subarray(i * 100, i * 100 + 100) : contentAt(i, 0, 100),
      offset: 2_000_000 + i * 100,
    }));
    assertEquals(await file.writeAtMany(list), list.map(() => 100));
    const content = await Deno.readFile(path);
    for (const { buffer, offset } of list) {
      assertEquals(content.subarray(offset, offset + 100), new Uint8Array(buffer));
    }
    aio.free(memory);
  },
);

testFile("32 transfers of readAtMany() are one submit", async ({ aio, file }) => {
  const memory = aio.alloc(4096);
  const list = Array.from({ length: 32 }, (_, i) => ({
    buffer: memory.subarray(i * 128, i * 128 + 128),
    offset: i * 5_000,
  }));
  const counters = () => aio.backends()[0]!.counters;
  const before = counters();
  checkReads(list, await file.readAtMany(list));
  assertEquals(counters().started - before.started, 32);
  // A method that executes each IO in its start call makes no submission.
  assert(counters().submissions - before.submissions <= 1);
  aio.free(memory);
});

const GOOD: FileTransfer = { buffer: new Uint8Array(10), offset: 0 };
const WRONG:
  readonly (readonly [what: string, transfer: unknown, Class: typeof TypeError, text: string])[] = [
    ["no object", 5, TypeError, "a transfer is { buffer, offset }: got 5"],
    ["no buffer", { offset: 0 }, TypeError, "undefined"],
    ["a buffer that is none", { buffer: [1], offset: 0 }, TypeError, "Array"],
    ["a negative offset", { buffer: new Uint8Array(1), offset: -1 }, RangeError, "-1"],
    ["an offset that is none", { buffer: new Uint8Array(1) }, TypeError, "undefined"],
  ];

for (const [what, transfer, Class, text] of WRONG) {
  testFile(`readAtMany() with ${what} is refused before anything starts`, async ({ aio, file }) => {
    const before = aio.backends()[0]!.counters.started;
    const list = [GOOD, transfer, GOOD] as FileTransfer[];
    const error = await assertRejects(() => file.readAtMany(list), Class, text);
    assert(error.message.endsWith(" (transfer 1 of 3)"), error.message);
    assertEquals(aio.backends()[0]!.counters.started, before);
  });
}

testFile("readAtMany() of no list is refused", async ({ file }) => {
  const list: unknown = GOOD;
  await assertRejects(
    () => file.readAtMany(list as FileTransfer[]),
    TypeError,
    "pass a list of { buffer, offset }",
  );
});

testFile(
  "readAtMany() of a closed file is refused, with an empty list too",
  async ({ aio, path }) => {
    const file = await aio.openFile(path);
    await file.close();
    await assertRejects(() => file.readAtMany([]), Deno.errors.BadResource, "the file is closed");
    await assertRejects(() => file.readAtMany([GOOD]), Deno.errors.BadResource, "is closed");
  },
);

testFile(
  "writeAtMany() of a file that was opened for reading is refused",
  async ({ aio, path }) => {
    await using file = await aio.openFile(path);
    await assertRejects(() => file.writeAtMany([GOOD]), Deno.errors.BadResource, 'without "write"');
  },
);

testFile(
  "the error of readAtMany() tells the first that failed, and of the others",
  async ({ aio, file }) => {
    const list = Array.from({ length: 6 }, (_, i) => ({
      buffer: new Uint8Array(100),
      offset: i * 1_000,
    }));
    aio.attachInjectionPoint(POINT, (handle) => {
      const { offset = 0 } = handle.operationData ?? {};
      return offset === 2_000 || offset === 4_000 ? -EIO : undefined;
    });
    using _point = { [Symbol.dispose]: () => aio.detachInjectionPoint(POINT) };
    const error = await assertRejects(() => file.readAtMany(list)) as ManyTransfersError;
    assertEquals(Reflect.get(error, "code"), "EIO");
    assert(error.message.endsWith(": transfer 2 of 6, of which 4 were done"), error.message);
    assertEquals([error.index, error.results], [2, [100, 100, null, 100, null, 100]]);
    assertEquals(Reflect.get(error, "offset"), 2_000);
  },
);

testFile("readAtMany() with a signal rejects with its reason, as it is", async ({ file }) => {
  const list = Array.from({ length: 3 }, () => ({ buffer: new Uint8Array(10), offset: 0 }));
  const controller = new AbortController();
  assertEquals(await file.readAtMany(list, { signal: controller.signal }), [10, 10, 10]);
  const reason = new Error("not wanted");
  const reading = file.readAtMany(list, { signal: controller.signal });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => reading), reason);
  assertEquals([reason.message, Object.keys(reason)], ["not wanted", []]);
  const again = file.readAtMany(list, { signal: controller.signal });
  assertStrictEquals(await assertRejects(() => again), reason);
});

testFile(
  "readAtMany() of a direct file reads over its end, and refuses what is misaligned",
  async ({ aio, path }) => {
    await using file = await aio.openFile(path, { direct: "required" });
    const { offset: unit } = file.alignment;
    const last = FILE_BYTES - FILE_BYTES % unit;
    const at = (offset: number, bytes = unit) => ({ buffer: new Uint8Array(bytes), offset });
    const list = [at(0), at(4 * unit), at(last, 2 * unit), { buffer: aio.alloc(4096), offset: 0 }];
    checkReads(list, await file.readAtMany(list));
    aio.free(list[3]!.buffer);
    const wrong = [at(0), at(unit + 1)];
    const error = await assertRejects(() => file.readAtMany(wrong), RangeError, "offset");
    assert(error.message.endsWith(" (transfer 1 of 2)"), error.message);
  },
  { isPossible: (await directUnitHere() ?? 1) > 1 },
);

testEachMethod("file.close() waits for the transfers of readAtMany()", async (method) => {
  await using aio = await openAio(method);
  await withFile(aio, async ({ path }) => {
    const file = await aio.openFile(path);
    const list = Array.from({ length: 100 }, (_, i) => ({
      buffer: new Uint8Array(1_000),
      offset: i * 1_000,
    }));
    const reading = file.readAtMany(list);
    const closing = file.close();
    checkReads(list, await reading);
    await closing;
  });
});

testFile("readAtMany() of more than there are handles starts one for each that ends", async ({
  aio,
  file,
}) => {
  const memory = aio.alloc(4096);
  const list = Array.from({ length: 1000 }, (_, i) => ({
    buffer: i % 2 === 0 ? memory.subarray(0, 100) : new Uint8Array(100),
    offset: i * 100,
  }));
  const before = aio.backends()[0]!.counters;
  assertEquals(await file.readAtMany(list), list.map(() => 100));
  const { started, handleWaits } = aio.backends()[0]!.counters;
  assertEquals([started - before.started, handleWaits], [1000, before.handleWaits]);
  checkReads(list.filter((_, i) => i % 2 === 1), list.filter((_, i) => i % 2 === 1).map(() => 100));
  assertEquals(aio.ios(), []);
  aio.free(memory);
});

testFile("readAtMany() of a long list leaves turns to the event loop", async ({ aio, file }) => {
  const memory = aio.alloc(4096);
  const list = Array.from({ length: 50_000 }, (_, i) => ({
    buffer: memory.subarray(0, 100),
    offset: i % 1000,
  }));
  let turns = 0;
  let isOver = false;
  const count = () => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  assertEquals(await file.readAtMany(list), list.map(() => 100));
  isOver = true;
  // As many belong to one look for sockets, which a list that is done at once would have, too.
  assert(turns > 2 * TURNS_TO_LOOK, `${turns} turns`);
  aio.free(memory);
});
