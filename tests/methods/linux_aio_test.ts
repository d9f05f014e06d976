/**
 * linux_aio_test.ts: what goes to the kernel's native AIO, what it refuses and the pool executes,
 * and what is left of it at the end.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import { LinuxAioCalls } from "../../ffi/linux_aio_calls.ts";
import { EAGAIN } from "../../ffi/errno.ts";
import { Aio, type AioFile } from "../../mod.ts";
import { replace } from "../support/bells/bells.ts";
import { countNativeAio } from "../support/belongings.ts";
import { directUnitHere } from "../support/disks/direct_io.ts";
import { METHODS_UNDER_TEST, openAio } from "../support/methods.ts";
import { contentAt } from "../support/prng.ts";
import { METHODS_URL, openDescriptors, runProgram } from "../support/program.ts";
import { DOCKER_CALLS, NATIVE_AIO_CALLS, refusingCalls, URING_CALLS } from "../support/seccomp.ts";
import { tempDir } from "../support/temp.ts";

const SEED = 77;
const BLOCK_BYTES = 4096;
const BLOCKS = 64;
const EPERM = 1;

const isMissing = METHODS_UNDER_TEST.some(({ name, ignore }) => name === "linux_aio" && ignore);

const ignore = isMissing || await directUnitHere() === null;
const isX86 = Deno.build.arch === "x86_64";

/** What is there, from a block on. */
function assertBlock(view: Uint8Array, block: number): void {
  assertEquals(view, contentAt(SEED, block * BLOCK_BYTES, view.byteLength));
}

/** Counts IOs handed to the kernel, by call. */
function countSubmits(): Disposable & { readonly counts: number[] } {
  const counts: number[] = [];
  const submit = LinuxAioCalls.prototype.submit;
  const replaced = replace(
    LinuxAioCalls.prototype,
    "submit",
    function (this: LinuxAioCalls, context, count, list) {
      counts.push(count);
      return submit.call(this, context, count, list);
    },
  );
  return { counts, [Symbol.dispose]: () => replaced[Symbol.dispose]() };
}

/** Writes random blocks past the page cache: the kernel refuses direct writes of what is there. */
async function writeBlocks(path: string, blocks: number): Promise<void> {
  await using aio = await Aio.open({ method: "sync" });
  const options = { write: true, create: true, direct: "required" } as const;
  await using file = await aio.openFile(path, options);
  using view = aio.alloc(blocks * BLOCK_BYTES);
  view.set(contentAt(SEED, 0, view.byteLength));
  await file.writeAt(view, 0);
  await file.sync();
}

/** Registers a test with a direct file of {@linkcode BLOCKS} blocks. */
function testDirect(
  name: string,
  fn: (aio: Aio, file: AioFile) => Promise<void>,
): void {
  Deno.test({
    name: `linux_aio: ${name}`,
    ignore,
    async fn() {
      await using dir = await tempDir();
      await writeBlocks(dir.join("file"), BLOCKS);
      await using aio = await openDirect();
      const options = { read: true, write: true, direct: "required" } as const;
      await using file = await aio.openFile(dir.join("file"), options);
      await fn(aio, file);
    },
  });
}

/** As users have it: no Worker runs before any is needed. */
function openDirect(options: Parameters<typeof Aio.open>[0] = {}): Promise<Aio> {
  return Aio.open({ method: "linux_aio", arenaBytes: 4 * 1024 * 1024, ...options });
}

testDirect("direct reads and writes and flushes need no Worker", async (aio, file) => {
  const view = aio.alloc(BLOCK_BYTES);
  for (let i = 0; i < BLOCKS; i++) {
    await file.readAt(view, i * BLOCK_BYTES);
    assertBlock(view, i);
  }
  await file.writeAt(view.fill(1), 0);
  await file.syncData();
  await file.sync();
  await file.readAt(view.fill(0), 0);
  assertEquals([view[0], view.at(-1), aio.workers()], [1, 1, []]);
});

testDirect("32 reads go to the kernel by one call", async (aio, file) => {
  using submits = countSubmits();
  const views = Array.from({ length: 32 }, () => aio.alloc(BLOCK_BYTES));
  await Promise.all(views.map((view, i) => file.readAt(view, i * BLOCK_BYTES)));
  assertEquals(submits.counts, [32]);
  for (const [i, view] of views.entries()) {
    assertBlock(view, i);
  }
});

testDirect("several buffers by one transfer are several ranges of memory", async (aio, file) => {
  const views = [aio.alloc(BLOCK_BYTES), aio.alloc(2 * BLOCK_BYTES)];
  assertEquals(await file.readAt(views, BLOCK_BYTES), 3 * BLOCK_BYTES);
  for (const view of views) assertBlock(view, view === views[0] ? 1 : 2);
  assertEquals(aio.workers(), []);
});

testDirect("a read that the kernel has ends as usual though it is given up", async (aio, file) => {
  const handle = aio.acquire();
  const ref = handle.waitRef();
  const view = aio.alloc(BLOCK_BYTES);
  handle.setIovec(view);
  file.startReadv(handle, 0);
  aio.cancel(ref);
  await aio.wait(ref);
  assertBlock(view, 0);
});

testDirect(
  "a write that makes the file longer is whole, whoever executes it",
  async (aio, file) => {
    const view = aio.alloc(4 * BLOCK_BYTES).fill(9);
    for (let i = 0; i < 10; i++) await file.writeAt(view, (BLOCKS + 4 * i) * BLOCK_BYTES);
    assertEquals(await file.size(), (BLOCKS + 40) * BLOCK_BYTES);
    const read = aio.alloc(4 * BLOCK_BYTES);
    await file.readAt(read, (BLOCKS + 36) * BLOCK_BYTES);
    assertEquals(read, view);
  },
);

/** Has the kernel refuse, for a while, whatever comes. @returns how many calls there were */
function refuseAll(): Disposable & { count: number } {
  const refused = { count: 0, [Symbol.dispose]: () => replaced[Symbol.dispose]() };
  const replaced = replace(LinuxAioCalls.prototype, "submit", () => {
    refused.count++;
    return -EAGAIN;
  });
  return refused;
}

testDirect("after refusals ever more IOs of the file skip the kernel", async (aio, file) => {
  const view = aio.alloc(BLOCK_BYTES);
  {
    using refused = refuseAll();
    for (let i = 0; i < 64; i++) {
      await file.readAt(view, i * BLOCK_BYTES);
      assertBlock(view, i);
    }
    // One each, after pauses of 1, 3, 7, 15, 31.
    assertEquals(refused.count, 6);
  }
  using submits = countSubmits();
  await file.writeAt(view, 0);
  assertEquals(submits.counts, [1], "writes are counted apart");
});

testDirect("a flush that is taken has no refused write tried again", async (aio, file) => {
  const view = aio.alloc(BLOCK_BYTES);
  const submit = LinuxAioCalls.prototype.submit;
  let refuses = true;
  let calls = 0;
  using _submit = replace(
    LinuxAioCalls.prototype,
    "submit",
    function (this: LinuxAioCalls, context, count, list) {
      calls++;
      return refuses ? -EAGAIN : submit.call(this, context, count, list);
    },
  );
  for (let i = 0; i < 8; i++) {
    refuses = true;
    await file.writeAt(view, 0);
    refuses = false;
    await file.syncData();
  }
  // Eight flushes; the first, third and seventh write.
  assertEquals(calls, 8 + 3);
});

testDirect(
  "once a transfer of the file was taken the next ones are tried, too",
  async (aio, file) => {
    const view = aio.alloc(BLOCK_BYTES);
    {
      using refused = refuseAll();
      for (let i = 0; i < 2; i++) await file.readAt(view, 0);
      assertEquals(refused.count, 1);
    }
    using submits = countSubmits();
    for (let i = 0; i < 10; i++) await file.readAt(view, 0);
    assertEquals(submits.counts.length, 10);
  },
);

Deno.test({
  name: "linux_aio: buffered reads and writes go to the pool",
  ignore: isMissing,
  async fn() {
    await using dir = await tempDir();
    await using aio = await openAio("linux_aio");
    using submits = countSubmits();
    const options = { read: true, write: true, create: true };
    await using file = await aio.openFile(dir.join("file"), options);
    await using own = await openDirect();
    await using other = await own.openFile(dir.join("file"), options);
    await other.writeAt(new Uint8Array(100).fill(3), 0);
    assertEquals([submits.counts, own.workers().length], [[], 1]);
    const bytes = new Uint8Array(100);
    assertEquals([await file.readAt(bytes, 0), bytes[99]], [100, 3]);
  },
});

testDirect(
  "the context is made by the first direct IO, and gone after close()",
  async (aio, file) => {
    assertEquals([countNativeAio(), backendOf(aio).method.pollFd!(backendOf(aio))], [0, -1]);
    const before = openDescriptors().size;
    await file.readAt(aio.alloc(BLOCK_BYTES), 0);
    assertEquals(countNativeAio(), 1);
    await file.close();
    await aio.close();
    assertEquals(countNativeAio(), 0);
    assert(openDescriptors().size <= before);
  },
);

Deno.test({
  name: "linux_aio: without a context to be had Workers execute direct IO, and a warning says why",
  ignore,
  async fn() {
    await using dir = await tempDir();
    await writeBlocks(dir.join("file"), 1);
    const warnings: string[] = [];
    await using aio = await openDirect({ onWarning: (message) => warnings.push(message) });
    using _setup = replace(LinuxAioCalls.prototype, "setup", () => -EAGAIN);
    await using file = await aio.openFile(dir.join("file"), { direct: "required" });
    const view = aio.alloc(BLOCK_BYTES);
    for (let i = 0; i < 3; i++) assertEquals(await file.readAt(view, 0), BLOCK_BYTES);
    assertBlock(view, 0);
    assertEquals(warnings, [
      "IO Workers execute direct I/O and flushes of this thread, too: the system has no native " +
      "AIO left (EAGAIN): raise the sysctl fs.aio-max-nr",
    ]);
  },
});

const READ_DIRECT = `
  const { availableMethods } = await import(${JSON.stringify(METHODS_URL)});
  await using aio = await Aio.open();
  await using file = await aio.openFile(Deno.args[0], { direct: "required" });
  const view = aio.alloc(4096);
  await file.readAt(view, 4096);
  const reasons = availableMethods().map(({ name, reason }) => name + ": " + reason);
  console.log(aio.method, aio.workers().length, view.join());
  console.log(reasons.join("\\n"));
`;

/** Reads a block in a process that refuses itself some calls. */
async function readRefusing(calls: readonly number[]): Promise<[string, string]> {
  await using dir = await tempDir();
  await writeBlocks(dir.join("file"), 2);
  const source = `${refusingCalls(calls, EPERM)}\n${READ_DIRECT}`;
  const { code, stdout, stderr } = await runProgram(source, { args: [dir.join("file")] });
  assertEquals([code, stderr], [0, ""]);
  const [first, ...reasons] = stdout.split("\n");
  return [first!, reasons.join("\n")];
}

Deno.test({
  name: "linux_aio: auto takes it under a seccomp filter like Docker's, without any Worker",
  ignore: ignore || !isX86,
  async fn() {
    const [line] = await readRefusing(DOCKER_CALLS);
    assertEquals(line, `linux_aio 0 ${contentAt(SEED, BLOCK_BYTES, BLOCK_BYTES).join()}`);
  },
});

Deno.test({
  name: "linux_aio: a seccomp filter that refuses it is named, and worker taken",
  ignore: ignore || !isX86,
  async fn() {
    const [line, reasons] = await readRefusing([...URING_CALLS, ...NATIVE_AIO_CALLS]);
    assertStringIncludes(line, "worker ");
    assertStringIncludes(
      reasons,
      "linux_aio: native AIO is refused (EPERM) by a seccomp filter: allow io_setup, io_submit, " +
        "io_getevents and io_destroy in its profile",
    );
  },
});
