/**
 * refused_opening_test.ts: a refused openFile() leaves the file as it was, and removes what it
 * made. Refusals that come too late for these tests: tests/core/files/opening_test.ts.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, OpenFileOptions } from "../../../storage/mod.ts";
import { LIBC } from "../../support/libc.ts";
import { openAio, testEachMethod, testSharedAios } from "../../support/methods.ts";
import { LIBRARY_URL, runLackingDescriptors } from "../../support/program.ts";
import { runChild } from "../../support/temp.ts";
import { mountRamfs, type TempDir, tempDir, tmpfsAvailable } from "../../support/temp.ts";
import { Turns } from "../../support/turns.ts";

const CONTENT = "twelve years of data\n";

/** Ways to open that change or make the file, and whether it exists before. */
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
  const count = backendOf(aio).files.count;
  await assertRejects(() => aio.openFile(path, options), Class);
  assertEquals(await contentIn(dir), isThere ? CONTENT : null, "after openFile()");
  assertThrows(() => aio.openFileSync(path, options), Class);
  assertEquals(await contentIn(dir), isThere ? CONTENT : null, "after openFileSync()");
  assertEquals(backendOf(aio).files.count, count);
}

for (const [way, options, isThere] of WAYS) {
  testSharedAios(`openFile() with ${way} beyond maxFiles changes nothing`, async (aio) => {
    await using dir = await tempDir();
    await Deno.writeTextFile(dir.join("other"), "");
    await using _only = await aio.openFile(dir.join("other"));
    await assertRefused(aio, dir, options, isThere, Deno.errors.Busy);
  }, { options: { maxFiles: 1 } });

  testSharedAios(
    `openFile() with ${way} and direct I/O where there is none changes nothing`,
    async (aio) => {
      await using dir = await mountRamfs();
      const direct = { ...options, direct: "required" } as const;
      await assertRefused(aio, dir, direct, isThere, Deno.errors.NotSupported);
    },
    { isPossible: tmpfsAvailable() },
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

/**
 * Descriptors of a program that runs out of them: what Deno and an Aio need, and some to use up.
 */
const DESCRIPTORS_MAX = 96;

/** What a program has no descriptor left for, and the call that the system refuses. */
const LACKS = {
  "the file": "open",
  "the file, in a Worker": "open",
  "the duplicate that a Worker needs": "fcntl",
} as const;

type Lack = keyof typeof LACKS;

/**
 * How a program uses up the descriptors that an opening needs. It leaves one, which an opening
 * keeps in reserve until the file is open: with none Deno itself ends the program. Where only the
 * duplicate is to fail, it leaves one more for the file, and lowers the limit below the one in
 * reserve as soon as the file is open.
 */
const TAKINGS: Readonly<Record<Lack, string>> = {
  "the file": "leaveOne();",
  "the file, in a Worker": "leaveOne();",
  "the duplicate that a Worker needs": `
    leaveOne();
    const reserve = leaveOne();
    fs.open = (path, flags, mode, callback) => {
      open(path, flags, mode, (error, fd) => {
        if (error === null) limit(reserve);
        callback(error, fd);
      });
    };
    fs.openSync = (...args) => {
      const fd = openSync(...args);
      limit(reserve);
      return fd;
    };`,
};

/** What is opened, and how. */
type Opening = readonly [path: string, options: OpenFileOptions];

/** A program that prints what became of its openings, and how many descriptors they left behind. */
function exhaustedProgram(
  method: IoMethodName,
  openings: readonly Opening[],
  lack: Lack,
): string {
  return `
    import fs from "node:fs";
    const symbols = { setrlimit: { parameters: ["i32", "buffer"], result: "i32" } };
    const libc = Deno.dlopen(${JSON.stringify(LIBC)}, symbols);
    const RLIMIT_NOFILE = 7;
    const limit = (count) => {
      const words = new BigUint64Array([BigInt(count), ${DESCRIPTORS_MAX}n]);
      libc.symbols.setrlimit(RLIMIT_NOFILE, words);
    };
    const countOpen = () => fs.readdirSync("/proc/self/fd").length;
    const tell = ({ code, syscall, message }) => console.log(code, syscall, message);
    const aio = await Aio.open({ method: ${JSON.stringify(method)} });
    await (await aio.openFile(Deno.execPath())).close(); // From now on there is a doorbell.
    const before = countOpen();
    const { open, openSync } = fs;
    for (const [path, options] of ${JSON.stringify(openings)}) {
      const taken = [];
      try { for (;;) taken.push(openSync("/dev/null")); } catch { /* None is left. */ }
      const leaveOne = () => {
        const fd = taken.pop();
        fs.closeSync(fd);
        return fd;
      };
      ${TAKINGS[lack]}
      await aio.openFile(path, options).catch(tell);
      limit(${DESCRIPTORS_MAX});
      try { aio.openFileSync(path, options); } catch (error) { tell(error); }
      limit(${DESCRIPTORS_MAX});
      for (const fd of taken) fs.closeSync(fd);
      console.log("left behind:", countOpen() - before);
    }
    await aio.close();`;
}

/**
 * A program that executes another one in a Worker. The main thread sleeps meanwhile, as it might
 * need a descriptor.
 */
function inWorker(source: string): string {
  const program = `import { Aio } from ${JSON.stringify(LIBRARY_URL)};
    const isOver = await new Promise((resolve) => self.onmessage = ({ data }) => resolve(data));
    ${source}
    Atomics.store(isOver, 0, 1);
    Atomics.notify(isOver, 0);`;
  const url = `data:text/javascript,${encodeURIComponent(program)}`;
  return `const isOver = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(${JSON.stringify(url)}, { type: "module" });
    worker.postMessage(isOver);
    Atomics.wait(isOver, 0, 0);
    worker.terminate();`;
}

async function testExhausted(method: IoMethodName, lack: Lack): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const dirs: TempDir[] = [];
  const openings: Opening[] = [];
  for (const [, options, isThere] of WAYS) {
    const dir = stack.use(await tempDir());
    dirs.push(dir);
    openings.push([await prepare(dir, isThere), options]);
  }
  const program = exhaustedProgram(method, openings, lack);
  const source = lack === "the file" ? program : inWorker(program);
  const options = { shell: `ulimit -n ${DESCRIPTORS_MAX}` };
  const result = await runLackingDescriptors(source, options);
  assertEquals([result.code, result.stderr], [0, ""]);
  const expected = openings.flatMap(([path]) => {
    const why = `Cannot open ${JSON.stringify(path)}: Too many open files (EMFILE)`;
    const told = `EMFILE ${LACKS[lack]} ${why}`;
    return [told, told, "left behind: 0"];
  });
  assertEquals(result.stdout.trim().split("\n"), expected);
  for (const [i, [way, , isThere]] of WAYS.entries()) {
    assertEquals(await contentIn(dirs[i]!), isThere ? CONTENT : null, way);
  }
}

const turns = new Turns(Object.keys(LACKS).length);
for (const lack of Object.keys(LACKS) as Lack[]) {
  testEachMethod(
    `openFile() in each way with no descriptor left for ${lack} changes nothing`,
    (method) => testExhausted(method, lack),
    Deno.build.os === "linux",
    turns,
  );
}

testSharedAios(
  "openFile() with truncate or create of a pipe leaves the pipe",
  async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await runChild([path], { command: "mkfifo" });
    for (const [, options] of WAYS) {
      await assertRejects(() => aio.openFile(path, { read: true, ...options }));
      assertThrows(() => aio.openFileSync(path, options));
    }
    assertEquals((await Deno.lstat(path)).isFifo, true);
  },
  { isPossible: Deno.build.os === "linux" },
);

testSharedAios("openFile() with truncate cuts the file before it resolves", async (aio) => {
  await using dir = await tempDir();
  const path = await prepare(dir, true);
  const options = { read: true, write: true, truncate: true };
  await using file = await aio.openFile(path, options);
  assertEquals([file.sizeSync(), (await Deno.stat(path)).size], [0, 0]);
  await file.writeAt(new Uint8Array(10), 0);
  await using again = aio.openFileSync(path, options);
  assertEquals([again.sizeSync(), file.sizeSync()], [0, 0]);
});
