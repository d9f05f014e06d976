/**
 * record_io_test.ts: a recording has what a program had its files told, in the order of that, and
 * is the same on every method; what it has not seen is an error.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { Aio } from "../../mod.ts";
import type { IoMethod } from "../../methods/mod.ts";
import { crashStates, recordIo } from "../../testing/mod.ts";
import { HeldMethod } from "../support/held_method.ts";
import { testEachMethod } from "../support/methods.ts";
import { METHODS_FOR_TESTS, ONE_WORKER } from "../support/workers/worker_pool.ts";

const SMALL = { arenaBytes: 1024 * 1024, workers: ONE_WORKER } as const;
const ZEROS = new Uint8Array(10);

/** Everything that can be recorded, one after the other. */
async function writeAll(aio: Aio, directory: string): Promise<void> {
  const path = (name: string) => `${directory}/${name}`;
  {
    await using file = await aio.openFile(path("a"), { read: true, write: true, create: true });
    await aio.syncDirectory(directory);
    await file.writeAt([ZEROS, ZEROS], 100);
    file.writeAtSync(ZEROS, 0);
    await file.sync();
    file.syncDataSync();
    await file.append(ZEROS, { durable: true });
    await file.writeAt(ZEROS, 5, { durable: true });
    await file.truncate(50);
    await file.allocate(0, 4096);
    await file.punchHole(10, 10);
  }
  {
    await using file = await aio.openFile(path("a"), { write: true, truncate: true, dsync: true });
    await file.writeAt(ZEROS, 0);
  }
  await aio.replaceFile(path("b"), "content");
  {
    await using file = await aio.openTemporary(directory);
    await file.writeAt(ZEROS, 0);
    await file.publish(path("c"));
    await using copy = await aio.openFile(path("d"), { write: true, createNew: true });
    await file.copyRangeTo(copy, 0, 3, 4);
  }
  await Deno.mkdir(path("e"));
  await Deno.rename(path("c"), path("e/c"));
  Deno.linkSync(path("e/c"), path("f"));
  Deno.removeSync(path("b"));
  await Deno.remove(path("e"), { recursive: true });
  {
    using file = await Deno.open(path("a"), { write: true, truncate: true });
    await file.syncData();
    using _made = Deno.openSync(path("g"), { write: true, createNew: true });
  }
}

/** What {@linkcode writeAll} is recorded as; each but a flush by both its beginning and its end. */
const WRITTEN = [
  'making of "a"',
  'flush of the directory ""',
  'write of 20 bytes at 100 to "a"',
  'write of 10 bytes at 0 to "a"',
  'flush of "a"',
  'flush of "a"',
  'write of 10 bytes at 120 to "a"',
  'flush of "a"',
  'durable write of 10 bytes at 5 to "a"',
  'truncation of "a" to 50 bytes',
  'allocation of "a" to 4096 bytes',
  'zeroing of "a" from 10 to 20',
  'truncation of "a" to 0 bytes',
  'durable write of 10 bytes at 0 to "a"',
  'making of ".b.tmp"',
  'write of 7 bytes at 0 to ".b.tmp"',
  'flush of ".b.tmp"',
  'renaming of ".b.tmp" to "b"',
  'flush of the directory ""',
  'write of 10 bytes at 0 to "c"',
  'flush of "c"',
  'making of "c"',
  'flush of the directory ""',
  'making of "d"',
  'write of 4 bytes at 3 to "d"',
  'making of "e"',
  'renaming of "c" to "e/c"',
  'making of "f"',
  'removal of "b"',
  'removal of "e/c"',
  'removal of "e"',
  'truncation of "a" to 0 bytes',
  'flush of "a"',
  'making of "g"',
];

testEachMethod("recordIo() records the same on every method", async (method) => {
  const recording = await recordIo(writeAll, {
    aio: { ...SMALL, method },
    methods: METHODS_FOR_TESTS,
  });
  const steps = recording.steps.map((step) => step.replaceAll(/\.b\.[-\da-f]+\.tmp/g, ".b.tmp"));
  assertEquals(steps.filter((step) => !step.startsWith("end of ")), WRITTEN);
  assertEquals(steps.length, 2 * WRITTEN.length);
});

testEachMethod(
  "recordIo(): the states after the last flush have what the program left",
  async (method) => {
    const recording = await recordIo(async (aio, directory) => {
      await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
      await aio.syncDirectory(directory);
      const writes = Array.from({ length: 20 }, (_, i) => {
        return file.writeAt(new Uint8Array(700).fill(i), 700 * i);
      });
      await Promise.all(writes);
      await file.syncData();
    }, { aio: { ...SMALL, method }, methods: METHODS_FOR_TESTS });
    const expected = Uint8Array.from({ length: 14_000 }, (_, i) => Math.floor(i / 700));
    const last = [...crashStates(recording, { count: 500 })].at(-1)!;
    assertEquals(last.files.get("a"), expected);
  },
);

Deno.test("recordIo() takes the bytes of a write when it begins", async () => {
  const held = new HeldMethod();
  const methods: IoMethod[] = [held];
  const recording = recordIo(async (aio, directory) => {
    await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
    using page = aio.alloc(4);
    page.fill(1);
    const write = file.writeAt(page, 0);
    await Promise.resolve();
    page.fill(2);
    held.letGo(aio);
    await write;
  }, { aio: { ...SMALL, method: "held" as never }, methods });
  // The program must not do this; what it then has is not what the recording says.
  await assertRejects(() => recording, Error, 'all that happened to "a": byte 0 is another one');
});

const UNSEEN: Record<string, (directory: string) => Promise<void>> = {
  "it was not seen to be made": (directory) => Deno.writeTextFile(`${directory}/x`, ""),
  "it has 5 bytes, not 0": (directory) => Deno.writeTextFile(`${directory}/a`, "hello"),
};

for (const [why, doUnseen] of Object.entries(UNSEEN)) {
  Deno.test(`recordIo() refuses what it has not seen: ${why}`, async () => {
    const recording = recordIo(async (aio, directory) => {
      await using _file = await aio.openFile(`${directory}/a`, { write: true, create: true });
      await doUnseen(directory);
    }, { aio: { ...SMALL, method: "sync" } });
    await assertRejects(() => recording, Error, why);
  });
}

Deno.test("recordIo() leaves the functions of Deno as they were, and no directory", async () => {
  const before = [Deno.rename, Deno.open, Deno.FsFile.prototype.sync];
  let made = "";
  const failed = recordIo((_aio, directory) => {
    made = directory;
    throw new RangeError("as planned");
  }, { aio: { ...SMALL, method: "sync" } });
  await assertRejects(() => recordIo(() => {}), Deno.errors.Busy, "under way");
  await assertRejects(() => failed, RangeError, "as planned");
  assertEquals([Deno.rename, Deno.open, Deno.FsFile.prototype.sync], before);
  await assertRejects(() => Deno.stat(made), Deno.errors.NotFound);
});

Deno.test("recorder.watch() records an Aio that the program opens itself", async () => {
  const recording = await recordIo(async (_aio, directory, recorder) => {
    await using own = await Aio.open({ ...SMALL, method: "sync" });
    recorder.watch(own);
    await using file = await own.openFile(`${directory}/a`, { write: true, create: true });
    await file.writeAt(ZEROS, 0);
  }, { aio: { ...SMALL, method: "sync" } });
  assertEquals(recording.steps.at(-1), 'end of write of 10 bytes at 0 to "a"');
});
