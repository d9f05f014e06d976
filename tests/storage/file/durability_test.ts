/**
 * durability_test.ts: sync, syncData, size and truncate, and their blocking twins.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioSystemError, type SystemError } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { testSharedAios } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const isLinux = Deno.build.os === "linux";
const PROC_FILE = "/proc/self/status";

const OPTIONS = { maxConcurrency: 4 };

/** Registers a test for each method that gets a file. */
function testFile(
  name: string,
  use: (file: AioFile, path: string, aio: Aio) => Promise<void>,
  isPossible = true,
): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await writeRandomFile(path, 10_000, 1);
    await using file = await aio.openFile(path, { read: true, write: true });
    await use(file, path, aio);
    assertEquals(backendOf(aio).idleCount, 4);
  }, { options: OPTIONS, isPossible });
}

testFile("sync(), syncData() and their twins succeed after writes", async (file) => {
  await file.writeAt(new Uint8Array(100), 0);
  assertEquals(await file.sync(), undefined);
  await file.writeAt(new Uint8Array(100), 0);
  assertEquals(await file.syncData(), undefined);
  file.writeAtSync(new Uint8Array(100), 0);
  assertEquals(file.syncSync(), undefined);
  assertEquals(file.syncDataSync(), undefined);
});

testFile("sync() 50 times at once with 4 handles, among reads", async (file) => {
  const buffer = new Uint8Array(100);
  await Promise.all(
    Array.from({ length: 50 }, (_, i) => i % 2 === 0 ? file.sync() : file.readAt(buffer, i)),
  );
});

testFile("sync() of a file opened for reading only is fine", async (_file, path, aio) => {
  await using file = await aio.openFile(path);
  await file.sync();
  file.syncDataSync();
});

for (const [name, call] of [["sync", "fsync"], ["syncData", "fdatasync"]] as const) {
  testSharedAios(`${name}() that fails tells the system's error of ${call}`, async (aio) => {
    // A file of /proc has nothing to make durable, and says so.
    await using file = await aio.openFile(PROC_FILE);
    const outcome = await file[name]().then(() => null, (error: SystemError) => error);
    assert(outcome instanceof AioSystemError, `${outcome}`);
    const why = `Cannot sync ${JSON.stringify(PROC_FILE)}: Invalid argument (EINVAL)`;
    assertEquals([outcome.message, outcome.code, outcome.errno], [why, "EINVAL", 22]);
    assertEquals([outcome.syscall, outcome.path], [call, PROC_FILE]);
    const thrown = assertThrows(() => file[`${name}Sync`](), AioSystemError);
    assertEquals(thrown.message, why);
  }, { options: OPTIONS, isPossible: isLinux });
}

testFile("size() and sizeSync() follow writes and truncations of others", async (file, path) => {
  const check = async (bytes: number) => {
    assertEquals(await file.size(), bytes);
    assertEquals(file.sizeSync(), bytes);
  };
  await check(10_000);
  await file.writeAt(new Uint8Array(10), 20_000);
  await check(20_010);
  await Deno.truncate(path, 5);
  await check(5);
  await file.truncate(2 ** 33 + 3);
  await check(2 ** 33 + 3);
});

testFile("truncate() and truncateSync() cut and extend, with zeros", async (file, path) => {
  await file.truncate(100);
  assertEquals(await Deno.readFile(path), contentAt(1, 0, 100));
  file.truncateSync(50);
  assertEquals(await Deno.readFile(path), contentAt(1, 0, 50));
  await file.truncate(60);
  file.truncateSync(70);
  assertEquals(
    await Deno.readFile(path),
    Uint8Array.from([...contentAt(1, 0, 50), ...new Uint8Array(20)]),
  );
  await file.truncate(0);
  assertEquals(await file.readAt(new Uint8Array(5), 0), 0);
});

for (const bytes of [-1, 1.5, NaN, Infinity, 2 ** 53, "5", 5n, undefined]) {
  const told = typeof bytes === "string" ? `"${bytes}"` : typeof bytes === "bigint" ? "5n" : bytes;
  testFile(`truncate() refuses ${told} bytes`, async (file, path) => {
    const message = `Cannot truncate ${JSON.stringify(path)} to ${told} bytes: ` +
      "an integer from 0 to 2^53 - 1";
    const error = await assertRejects(() => file.truncate(bytes as number), RangeError);
    assertEquals(error.message, message);
    const thrown = assertThrows(() => file.truncateSync(bytes as number), RangeError);
    assertEquals(thrown.message, message);
    assertEquals(await file.size(), 10_000);
  });
}

testFile("truncate() of a file opened for reading only is refused", async (_file, path, aio) => {
  await using file = await aio.openFile(path);
  const message = `Cannot write ${JSON.stringify(path)}: it was opened without "write"`;
  const error = await assertRejects(() => file.truncate(5), Deno.errors.BadResource);
  assertEquals(error.message, message);
  assertThrows(() => file.truncateSync(5), Deno.errors.BadResource, message);
});

testFile(
  "truncate() beyond what the file system takes tells the system's error",
  async (file, path) => {
    const bytes = Number.MAX_SAFE_INTEGER;
    const outcome = await file.truncate(bytes).then(() => null, (error: SystemError) => error);
    if (outcome === null) return; // tmpfs takes it.
    assert(outcome instanceof AioSystemError, `${outcome}`);
    assertEquals(
      outcome.message,
      `Cannot truncate ${JSON.stringify(path)} to ${bytes} bytes: File too large (EFBIG)`,
    );
    assertEquals([outcome.code, outcome.errno, outcome.syscall, outcome.path], [
      "EFBIG",
      27,
      "ftruncate",
      path,
    ]);
    const thrown = assertThrows(() => file.truncateSync(bytes), AioSystemError);
    assertEquals(thrown.message, outcome.message);
    assertEquals(await file.size(), 10_000);
  },
  isLinux,
);

testFile("truncate() 20 times at once ends with one of the sizes", async (file) => {
  await Promise.all(Array.from({ length: 20 }, (_, i) => file.truncate(i)));
  assert(await file.size() < 20);
});
