/**
 * refused_opening_test.ts: openFile() that is refused leaves the file as it was, and what it made is
 * gone. What is refused later than these can show is in tests/core/opening_test.ts.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { IoMethodName } from "../../methods/mod.ts";
import type { Aio, OpenFileOptions } from "../../storage/mod.ts";
import { openAio, testEachMethod } from "../support/methods.ts";
import { runChild } from "../support/temp.ts";
import { mountRamfs, type TempDir, tempDir, tmpfsAvailable } from "../support/temp.ts";

const CONTENT = "twelve years of data\n";

/** Ways to open that change the file, or make one, with whether it is there before. */
const WAYS: readonly (readonly [string, OpenFileOptions, boolean])[] = [
  ["truncate", { write: true, truncate: true }, true],
  ["create", { write: true, create: true }, false],
  ["createNew", { write: true, createNew: true }, false],
];

type ErrorClass = new (...args: never[]) => Error;

/** The content of the only file that there may be; null if there is none. */
async function contentIn(dir: TempDir): Promise<string | null> {
  const names = Array.from(Deno.readDirSync(dir.path), ({ name }) => name);
  return names.includes("file") ? await Deno.readTextFile(dir.join("file")) : null;
}

async function prepare(dir: TempDir, isThere: boolean): Promise<string> {
  if (isThere) await Deno.writeTextFile(dir.join("file"), CONTENT);
  return dir.join("file");
}

/** Both ways to open are refused, and nothing has changed. */
async function assertRefused(
  aio: Aio,
  dir: TempDir,
  options: OpenFileOptions,
  isThere: boolean,
  Class: ErrorClass,
): Promise<void> {
  const path = await prepare(dir, isThere);
  const count = aio.backend.files.count;
  await assertRejects(() => aio.openFile(path, options), Class);
  assertEquals(await contentIn(dir), isThere ? CONTENT : null, "after openFile()");
  assertThrows(() => aio.openFileSync(path, options), Class);
  assertEquals(await contentIn(dir), isThere ? CONTENT : null, "after openFileSync()");
  assertEquals(aio.backend.files.count, count);
}

for (const [way, options, isThere] of WAYS) {
  testEachMethod(`openFile() with ${way} beyond maxFiles changes nothing`, async (method) => {
    await using dir = await tempDir();
    await using aio = await openAio(method, { maxFiles: 1 });
    await Deno.writeTextFile(dir.join("other"), "");
    await using _only = await aio.openFile(dir.join("other"));
    await assertRefused(aio, dir, options, isThere, Deno.errors.Busy);
  });

  testEachMethod(
    `openFile() with ${way} and direct I/O where there is none changes nothing`,
    async (method) => {
      await using dir = await mountRamfs();
      await using aio = await openAio(method);
      const direct = { ...options, direct: "required" } as const;
      await assertRefused(aio, dir, direct, isThere, Deno.errors.NotSupported);
    },
    tmpfsAvailable(),
  );

  testEachMethod(
    `openFile() with ${way} of an Aio closed meanwhile changes nothing`,
    (method) => testClosedMeanwhile(method, options, isThere),
  );
}

async function testClosedMeanwhile(
  method: IoMethodName,
  options: OpenFileOptions,
  isThere: boolean,
): Promise<void> {
  await using dir = await tempDir();
  await using aio = await openAio(method);
  const path = await prepare(dir, isThere);
  const opening = assertRejects(() => aio.openFile(path, options), Deno.errors.BadResource);
  await aio.close();
  await opening;
  assertEquals(await contentIn(dir), isThere ? CONTENT : null);
}

testEachMethod(
  "openFile() with truncate or create of a pipe leaves the pipe",
  async (method) => {
    await using dir = await tempDir();
    await using aio = await openAio(method);
    const path = dir.join("file");
    await runChild([path], { command: "mkfifo" });
    for (const [, options] of WAYS) {
      await assertRejects(() => aio.openFile(path, { read: true, ...options }));
      assertThrows(() => aio.openFileSync(path, options));
    }
    assertEquals((await Deno.lstat(path)).isFifo, true);
  },
  Deno.build.os === "linux",
);

testEachMethod("openFile() with truncate cuts the file before it resolves", async (method) => {
  await using dir = await tempDir();
  await using aio = await openAio(method);
  const path = await prepare(dir, true);
  const options = { read: true, write: true, truncate: true };
  await using file = await aio.openFile(path, options);
  assertEquals([file.sizeSync(), (await Deno.stat(path)).size], [0, 0]);
  await file.writeAt(new Uint8Array(10), 0);
  await using again = aio.openFileSync(path, options);
  assertEquals([again.sizeSync(), file.sizeSync()], [0, 0]);
});
