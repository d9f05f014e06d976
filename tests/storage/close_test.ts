/**
 * close_test.ts: the end of files and of the Aio: what was started ends, nothing starts any more,
 * and nothing is kept.
 *
 * @module
 */

import fs from "node:fs";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import type { IoMethodName } from "../../methods/mod.ts";
import { AioApiError } from "../../core/mod.ts";
import { type Aio, AioFile, type Log } from "../../storage/mod.ts";
import { comes, replace } from "../support/bells/bells.ts";
import { BUFFER_BYTES, SEGMENT_BYTES } from "../support/log/log_fixture.ts";
import { openAio, testEachMethod, testSharedAios } from "../support/methods.ts";
import { contentAt } from "../support/prng.ts";
import { countDescriptorsOf } from "../support/program.ts";
import { tempDir, writeRandomFile } from "../support/temp.ts";
import { Turns } from "../support/turns.ts";

const isLinux = Deno.build.os === "linux";

const OPTIONS = { arenaBytes: 65_536, maxConcurrency: 4 };
const LOG_OPTIONS = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };

type Use = (file: AioFile, path: string, aio: Aio, method: IoMethodName) => Promise<void>;

async function withFile(aio: Aio, method: IoMethodName, use: Use): Promise<void> {
  await using dir = await tempDir();
  const path = dir.join("file");
  await writeRandomFile(path, 100_000, 1);
  await using file = await aio.openFile(path, { read: true, write: true });
  await use(file, path, aio, method);
  await file.close();
  if (isLinux) assertEquals(countDescriptorsOf(path), 0, "descriptors are kept");
}

/** Registers a test for each method that gets a file, and leaves the Aio open. */
function testFile(name: string, use: Use, isPossible = true): void {
  testSharedAios(name, (aio, method) => withFile(aio, method, use), {
    options: OPTIONS,
    isPossible,
  });
}

const turns = new Turns(7);

/** The same, which closes the Aio. */
function testEnd(name: string, use: Use): void {
  testEachMethod(
    name,
    async (method) => {
      await using aio = await openAio(method, OPTIONS);
      await withFile(aio, method, use);
    },
    true,
    turns,
  );
}

/** Every call that uses the file, with the verb of its refusal. */
const USES: readonly (readonly [string, string, (file: AioFile) => unknown])[] = [
  ["readAt()", "read", (file) => file.readAt(new Uint8Array(1), 0)],
  ["readAt() of a list", "read", (file) => file.readAt([new Uint8Array(1)], 0)],
  ["readAtSync()", "read", (file) => file.readAtSync(new Uint8Array(1), 0)],
  ["writeAt()", "write", (file) => file.writeAt(new Uint8Array(1), 0)],
  ["writeAtSync()", "write", (file) => file.writeAtSync(new Uint8Array(1), 0)],
  ["sync()", "sync", (file) => file.sync()],
  ["syncSync()", "sync", (file) => file.syncSync()],
  ["syncData()", "sync", (file) => file.syncData()],
  ["syncDataSync()", "sync", (file) => file.syncDataSync()],
  ["size()", "measure", (file) => file.size()],
  ["sizeSync()", "measure", (file) => file.sizeSync()],
  ["truncate()", "write", (file) => file.truncate(1)],
  ["truncateSync()", "write", (file) => file.truncateSync(1)],
  ["token", "share", (file) => file.token],
];

/** Whether a use of a closed file is refused. */
async function checkRefused(
  [name, verb, run]: (typeof USES)[number],
  file: AioFile,
  path: string,
): Promise<void> {
  // deno-lint-ignore require-await -- so that what it throws is a rejection, as with the others.
  const error = await assertRejects(async () => run(file), Deno.errors.BadResource);
  const message = `Cannot ${verb} ${JSON.stringify(path)}: the file is closed`;
  assertEquals(error.message, message, name);
}

for (const use of USES) {
  testFile(`${use[0]} of a closed file is BadResource`, async (file, path) => {
    const closing = file.close();
    await checkRefused(use, file, path);
    await closing;
    await checkRefused(use, file, path);
    assert(file.isClosed);
  });
}

testEnd("every call of a file that aio.close() closed is BadResource", async (file, path, aio) => {
  await aio.close();
  assert(file.isClosed);
  for (const use of USES) await checkRefused(use, file, path);
});

/** Every call of an Aio, with its name in the refusal. */
const AIO_USES: readonly (readonly [string, (aio: Aio, path: string) => unknown])[] = [
  ["openFile", (aio, path) => aio.openFile(path)],
  ["openFileSync", (aio, path) => aio.openFileSync(path)],
  ["attachFile", (aio) => aio.attachFile(JSON.parse("{}"))],
  ["alloc", (aio) => aio.alloc(1)],
  ["free", (aio) => aio.free(new Uint8Array(1))],
  ["adoptMemory", (aio) => aio.adoptMemory(new SharedArrayBuffer(8))],
  ["acquire", (aio) => aio.acquire()],
  ["acquire", (aio) => aio.tryAcquire()],
  ["enterBatchmode", (aio) => aio.enterBatchmode()],
  ["submitStaged", (aio) => aio.submitStaged()],
];

testEnd("every call of a closed Aio is BadResource by its name", async (_file, path, aio) => {
  await aio.close();
  assert(aio.isClosed);
  for (const [name, run] of AIO_USES) {
    // deno-lint-ignore require-await -- so that what it throws is a rejection, as with the others.
    const error = await assertRejects(async () => run(aio, path), Deno.errors.BadResource);
    assertEquals(error.message, `Cannot call ${name}(): aio is closed`);
  }
});

testFile("close() lets what was started end", async (file, path) => {
  const buffers = Array.from({ length: 50 }, () => new Uint8Array(20_000));
  const reads = buffers.map((buffer, i) => file.readAt(buffer, i));
  const write = file.writeAt(new Uint8Array(50_000).fill(9), 100_000);
  const others = [file.sync(), file.truncate(200_000)];
  const closing = file.close();
  assert(file.isClosed);
  const done = await Promise.all([...reads, write, ...others, closing]);
  assertEquals(done.slice(0, 51), [...new Array(50).fill(20_000), 50_000]);
  for (const [i, buffer] of buffers.entries()) assertEquals(buffer, contentAt(1, i, 20_000));
  const content = await Deno.readFile(path);
  assertEquals(content.length, 200_000);
  assertEquals(content.slice(100_000, 150_000), new Uint8Array(50_000).fill(9));
});

testFile("close() keeps the descriptor until the last operation ends", async (file, path) => {
  const reads = Array.from({ length: 20 }, () => file.readAt(new Uint8Array(60_000), 0));
  const closing = file.close();
  const isOpen = countDescriptorsOf(path) === 1;
  await Promise.all([...reads, closing]);
  assert(isOpen);
  assertEquals(countDescriptorsOf(path), 0);
}, isLinux);

testEnd("close() twice does nothing more, at once or later", async (file, path) => {
  const { fd } = file;
  await Promise.all([file.close(), file.close()]);
  const successor = fs.openSync(path, "r"); // Takes the same number.
  assertEquals(successor, fd);
  await file.close();
  file.closeSync();
  await file[Symbol.asyncDispose]();
  assertEquals(fs.readSync(successor, new Uint8Array(5)), 5);
  fs.closeSync(successor);
});

testFile("closeSync() closes, and again does nothing", async (file, path) => {
  file.closeSync();
  assert(file.isClosed);
  if (isLinux) assertEquals(countDescriptorsOf(path), 0);
  file.closeSync();
  await file.close();
});

testFile(
  "closeSync() with operations pending is Busy, and works when they are done",
  async (file, path) => {
    const pending = [file.size(), file.size()];
    const error = assertThrows(() => file.closeSync(), Deno.errors.Busy);
    assertEquals(
      error.message,
      `Cannot close ${JSON.stringify(path)} at once while 2 operations are pending: ` +
        "await close() instead",
    );
    assert(!file.isClosed);
    await Promise.all(pending);
    file.closeSync();
  },
);

testEnd("aio.close() closes files, and settles all that is pending", async (file, path, aio) => {
  const other = await aio.openFile(path);
  const pending = [
    ...Array.from({ length: 30 }, (_, i) => file.readAt(new Uint8Array(30_000), i)),
    ...Array.from({ length: 30 }, (_, i) => file.writeAt(new Uint8Array(30_000), i)),
    file.sync(),
    file.size(),
    file.truncate(50),
    other.readAt(new Uint8Array(5), 0),
  ];
  const settled = Promise.allSettled(pending);
  const closing = aio.close();
  assert(aio.isClosed);
  await closing;
  assert(file.isClosed && other.isClosed);
  for (const outcome of await settled) {
    if (outcome.status === "fulfilled") continue;
    assert(outcome.reason instanceof Deno.errors.BadResource, `${outcome.reason}`);
  }
  assertEquals([backendOf(aio).idleCount, backendOf(aio).arena.freeBytes], [4, 65_536]);
});

testEnd("aio.close() while a file is being opened lets go of it", async (_file, path, aio) => {
  const opening = aio.openFile(path);
  const outcome = assertRejects(() => opening, Deno.errors.BadResource, "aio");
  await Promise.all([aio.close(), outcome]);
});

testEnd(
  "aio.close() twice is the same close, and several may wait for it",
  async (file, _path, aio) => {
    const closings = [aio.close(), aio.close(), aio[Symbol.asyncDispose]()];
    assert(aio.isClosed);
    await Promise.all(closings);
    assert(file.isClosed);
    await aio.close();
  },
);

testEnd(
  "aio.close() with a handle handed out is refused, and works afterwards",
  async (file, _path, aio) => {
    const handle = aio.acquire();
    const error = await assertRejects(() => aio.close(), AioApiError);
    assertEquals(
      error.message,
      "Cannot close aio while a handle is handed out: start or release it first",
    );
    assert(!aio.isClosed);
    handle.release();
    assertEquals(await file.readAt(new Uint8Array(5), 0), 5);
    await aio.close();
  },
);

testFile(
  "one Aio's close() leaves another's files alone",
  async (otherFile, path, _other, method) => {
    await using aio = await openAio(method);
    await using file = await aio.openFile(path);
    await aio.close();
    assert(file.isClosed);
    const buffer = new Uint8Array(10);
    assertEquals(await otherFile.readAt(buffer, 7), 10);
    assertEquals(buffer, contentAt(1, 7, 10));
  },
);

testEachMethod("aio.close() closes a log that is being opened, once it is open", async (method) => {
  await using dir = await tempDir();
  const directory = dir.join("log");
  const aio = await openAio(method);
  const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const { rename } = Deno;
  let opening: Promise<Log>;
  let closing: Promise<void>;
  {
    // The control file takes its time.
    using _rename = replace(Deno, "rename", async (...paths) => {
      begun.resolve();
      await gate.promise;
      return await rename(...paths);
    });
    opening = aio.openLog(directory, LOG_OPTIONS);
    await begun.promise;
    closing = aio.close();
    assert(!await comes(closing, false));
    const uses = [() => aio.openLog(directory, LOG_OPTIONS), () => aio.openPool({ pages: 16 })];
    for (const use of uses) await assertRejects(use, Deno.errors.BadResource, "aio is closed");
    gate.resolve();
    await closing;
  }
  assert((await opening).isClosed);
  await using again = await openAio(method);
  await using log = await again.openLog(directory, LOG_OPTIONS);
  assertEquals(log.recovery, { end: 0, stop: "closed" });
});

testEachMethod("aio.openLog() that fails at its end keeps no memory", async (method) => {
  await using dir = await tempDir();
  await using aio = await openAio(method);
  const { arena } = backendOf(aio);
  const open = () => aio.openLog(dir.join("log"), LOG_OPTIONS);
  // What opening takes for IO stays.
  await (await open()).close();
  const { freeBytes } = arena;
  // A log is made of that at last.
  const get = () => assert(false, "no token");
  Object.defineProperty(AioFile.prototype, "token", { configurable: true, get });
  try {
    await assertRejects(open, Error, "no token");
  } finally {
    Reflect.deleteProperty(AioFile.prototype, "token");
  }
  assertEquals(arena.freeBytes, freeBytes);
  await (await open()).close();
});
