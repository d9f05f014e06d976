/**
 * cached_copy_test.ts: reads into plain memory of what is in the page cache are copied at once,
 * with no handle and no room; all others are IO, and bring the same.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { isCopied } from "../../../core/files/copying_mark.ts";
import { backendOf } from "../../../core/inside.ts";
import { HEADER, PHASE_CLOSING, PHASE_OPEN } from "../../../core/memory/shared_memory.ts";
import type { AioOptions } from "../../../core/mod.ts";
import type { IoMethod } from "../../../core/io/method.ts";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import { DEFAULT_TUNING } from "../../../methods/io_uring/tuning.ts";
import { createLinuxAioMethod } from "../../../methods/linux_aio.ts";
import { METHODS } from "../../../methods/mod.ts";
import { createWorkerMethod } from "../../../methods/worker.ts";
import { Aio, type AioFile } from "../../../storage/mod.ts";
import { replace } from "../../support/bells/bells.ts";
import { METHODS_UNDER_TEST } from "../../support/methods.ts";
import { hangs } from "../../support/patience.ts";
import { CAN_READ_CACHED } from "../../support/page_cache.ts";
import { contentAt } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";
import { ONE_WORKER } from "../../support/workers/worker_pool.ts";

const SEED = 11;
const FILE_BYTES = 500_000;
const READ_BYTES = 4096;
const POINT = "aio-process-completion-before-shared";

interface Fixture {
  readonly aio: Aio;
  readonly file: AioFile;
  /** All that reads at an offset bring is what is in the file. */
  read(offset: number, bytes?: number): Promise<void>;
  /** How many IOs were handed to the method since the last call. */
  submitted(): number;
}

async function withFile(
  options: AioOptions,
  use: (fixture: Fixture) => Promise<void>,
  // As users have them: with the methods' tries for what is in the page cache.
  methods: readonly IoMethod[] = METHODS,
) {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), FILE_BYTES, SEED);
  await using aio = await Aio.open({ workers: ONE_WORKER, ...options }, methods);
  await using file = await aio.openFile(dir.join("file"), { read: true, write: true });
  let before = 0;
  await use({
    aio,
    file,
    async read(offset, bytes = READ_BYTES) {
      const buffer = new Uint8Array(bytes);
      const wanted = contentAt(SEED, offset, Math.min(bytes, FILE_BYTES - offset));
      assertEquals(await file.readAt(buffer, offset), wanted.length);
      assertEquals(buffer.subarray(0, wanted.length), wanted);
    },
    submitted() {
      const { submissions } = aio.backends()[0]!.counters;
      const more = submissions - before;
      before = submissions;
      return more;
    },
  });
}

/** For all methods that read what is cached in the issuer's thread. */
function testCopies(
  name: string,
  use: (fixture: Fixture) => Promise<void>,
  options: AioOptions = {},
): void {
  for (const { name: method, ignore } of METHODS_UNDER_TEST) {
    if (method === "sync") continue;
    Deno.test({
      name: `${method}: ${name}`,
      ignore: ignore || !CAN_READ_CACHED,
      fn: () => withFile({ method, ...options }, use),
    });
  }
}

testCopies("readAt() of plain memory takes no handle if all is cached", async (fixture) => {
  const { aio } = fixture;
  await fixture.read(5);
  await fixture.read(77, 65);
  await fixture.read(100, 256 * 1024);
  assertEquals(fixture.submitted(), 0);
  const { started, synchronousByMethod, completedBySelf, bytesRead } = aio.backends()[0]!.counters;
  const bytes = READ_BYTES + 65 + 256 * 1024;
  assertEquals([started, synchronousByMethod, completedBySelf, bytesRead], [3, 3, 3, bytes]);
});

testCopies(
  "readAt() of plain memory takes no room in the arena if all is cached",
  async (fixture) => {
    const { aio } = fixture;
    const all = aio.alloc(aio.options.arenaBytes);
    await fixture.read(5);
    aio.free(all);
  },
  { arenaBytes: 64 * 1024 },
);

testCopies("readAtMany() into plain memory is copied if all is cached", async (fixture) => {
  const { aio, file } = fixture;
  const plain = [new Uint8Array(100), new Uint8Array(4096)];
  const list = [...plain, aio.alloc(100)].map((buffer, i) => ({ buffer, offset: i * 1000 }));
  assertEquals(await file.readAtMany(list), [100, 4096, 100]);
  for (const { buffer, offset } of list) {
    assertEquals(new Uint8Array(buffer), contentAt(SEED, offset, buffer.length));
  }
  const { started, bytesRead } = aio.backends()[0]!.counters;
  assertEquals([started, bytesRead], [3, 4296]);
});

testCopies("readAt() is an IO if it is small, large, or over the end", async (fixture) => {
  for (const [offset, bytes] of [[0, 64], [9, 256 * 1024 + 1], [FILE_BYTES - 100, 200]] as const) {
    await fixture.read(offset, bytes);
    assert(fixture.submitted() > 0, `${bytes} bytes at ${offset}`);
  }
  const past = new Uint8Array(100);
  assertEquals(await fixture.file.readAt(past, FILE_BYTES), 0);
});

testCopies("readAt() is an IO if not all is cached, and so are some after it", async (fixture) => {
  const { libc } = backendOf(fixture.aio);
  let tries = 0;
  {
    const fails = () => (tries++, tries % 2 === 0 ? 10 : -1);
    using _ = replace(libc, "preadCachedInto", fails);
    for (let i = 0; i < 50; i++) await fixture.read(i * 1000);
  }
  // After each miss twice as many go without a try: 1, 3, 7, 15, 31.
  assertEquals([tries, fixture.submitted()], [5, 50]);
  for (let i = 0; i < 64; i++) await fixture.read(i * 1000);
  fixture.submitted();
  // Without a try at the end of a turn, wherever that is.
  const isHanging = hangs();
  do {
    await fixture.read(5);
  } while (fixture.submitted() > 0 && !isHanging());
  assert(!isHanging(), "tries do not begin again");
});

testCopies("readAt() is an IO for a hook that is to see it", async ({ aio, file }) => {
  let seen = 0;
  aio.attachInjectionPoint(POINT, () => (seen++, -5));
  await assertRejects(() => file.readAt(new Uint8Array(READ_BYTES), 0), "Input/output error");
  aio.detachInjectionPoint(POINT);
  assertEquals(seen, 1);
});

{
  const lines: string[] = [];
  const options: AioOptions = { onLog: (line) => void lines.push(line) };
  testCopies("readAt() is an IO for a log of each", async (fixture) => {
    lines.length = 0;
    await fixture.read(5);
    assert(lines.some((line) => line.includes("op readv")));
  }, options);
}

testCopies("reads are refused once the opener closes, though all is cached", async (fixture) => {
  const { aio, file } = fixture;
  const { control: { words } } = backendOf(aio);
  await fixture.read(5);
  const reader = file.readable({ chunkBytes: READ_BYTES }).getReader();
  await reader.read();
  words[HEADER.phase] = PHASE_CLOSING;
  try {
    const read = () => file.readAt(new Uint8Array(READ_BYTES), 0);
    await assertRejects(read, Deno.errors.BadResource, "aio is closed");
    await assertRejects(() => reader.read(), Deno.errors.BadResource, "aio is closed");
  } finally {
    words[HEADER.phase] = PHASE_OPEN;
  }
});

testCopies("readAt() is refused after closingFd(), though all is cached", async (fixture) => {
  const { aio, file } = fixture;
  await fixture.read(5);
  aio.closingFd(file.fd);
  const buffer = new Uint8Array(READ_BYTES);
  await assertRejects(() => file.readAt(buffer, 0), Deno.errors.BadResource, "it is closed");
  const list = [{ buffer, offset: 0 }];
  await assertRejects(() => file.readAtMany(list), Deno.errors.BadResource, "it is closed");
  assertEquals(buffer, new Uint8Array(READ_BYTES));
});

testCopies("readAt() tells those who close its descriptor of the copy", async ({ aio, file }) => {
  const { control, libc } = backendOf(aio);
  const seen: boolean[] = [];
  const { preadCachedInto } = libc;
  for (const isToFail of [false, true]) {
    using _ = replace(libc, "preadCachedInto", (...args) => {
      seen.push(isCopied(control, file.fd), isCopied(control, file.fd + 1));
      if (isToFail) throw new TypeError("refused");
      return preadCachedInto.apply(libc, args);
    });
    const read = file.readAt(new Uint8Array(READ_BYTES), 0);
    if (isToFail) await assertRejects(() => read, TypeError, "refused");
    else assertEquals(await read, READ_BYTES);
    assertEquals(seen.splice(0), [true, false]);
    assertEquals(isCopied(control, file.fd), false);
  }
});

testCopies("readAt() is an IO beside many others in flight", async (fixture) => {
  using _ = replace(backendOf(fixture.aio), "inFlightCount", 17);
  await fixture.read(5);
  assertEquals(fixture.submitted(), 1);
});

testCopies("readAt() with an option of its transfer is an IO", async (fixture) => {
  const buffer = new Uint8Array(READ_BYTES);
  assertEquals(await fixture.file.readAt(buffer, 3, { cache: "drop" }), READ_BYTES);
  assertEquals(buffer, contentAt(SEED, 3, READ_BYTES));
  assert(fixture.submitted() > 0);
});

testCopies("readAt() fills a view of resizable, shared or foreign memory", async ({ file }) => {
  const memories = [
    new ArrayBuffer(10_000, { maxByteLength: 20_000 }),
    new SharedArrayBuffer(10_000),
    new SharedArrayBuffer(10_000, { maxByteLength: 20_000 }),
    new WebAssembly.Memory({ initial: 1 }).buffer,
  ];
  for (const memory of memories) {
    const view = new Uint8Array(memory, 100, 5000);
    assertEquals(await file.readAt(view, 7), 5000);
    assertEquals(new Uint8Array(view), contentAt(SEED, 7, 5000));
    assert(new Uint8Array(memory, 0, 100).every((byte) => byte === 0));
    assert(new Uint8Array(memory, 5100, 100).every((byte) => byte === 0));
  }
});

testCopies("readAt() reads beyond 4 GiB what is cached", async ({ file }) => {
  const far = 2 ** 32 + 12_345;
  await file.writeAt(contentAt(SEED, 0, READ_BYTES), far);
  const buffer = new Uint8Array(READ_BYTES);
  assertEquals(await file.readAt(buffer, far), READ_BYTES);
  assertEquals(buffer, contentAt(SEED, 0, READ_BYTES));
});

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

testCopies(
  "readable() takes no room in the arena while all is cached",
  async ({ aio, file }) => {
    const all = aio.alloc(aio.options.arenaBytes);
    for (const chunkBytes of [1, 1000, 65_536, 300_000]) {
      const options = { offset: 77, length: chunkBytes === 1 ? 100 : FILE_BYTES, chunkBytes };
      const got = await bytesOf(file.readable(options));
      assertEquals(got, contentAt(SEED, 77, Math.min(options.length, FILE_BYTES - 77)));
    }
    aio.free(all);
  },
  { arenaBytes: 64 * 1024 },
);

for (const count of [0, 1, 4]) {
  testCopies(
    `readable() reads ahead from the first byte on that is not cached, after ${count} copies`,
    async ({ aio, file }) => {
      const { libc } = backendOf(aio);
      const original = libc.preadCachedInto.bind(libc);
      let calls = 0;
      using _ = replace(libc, "preadCachedInto", (fd, view, offset) => {
        // A part of it is there, and what is behind that was there before.
        return calls++ < count ? original(fd, view, offset) : view.fill(0).length - 1;
      });
      const chunks: Uint8Array[] = [];
      for await (const chunk of file.readable({ chunkBytes: 10_000 })) chunks.push(chunk);
      assertEquals(chunks.map(({ length }) => length), new Array(FILE_BYTES / 10_000).fill(10_000));
      const got = await bytesOf(new Blob(chunks as BlobPart[]).stream());
      assertEquals(got, contentAt(SEED, 0, FILE_BYTES));
      assertEquals(calls, count + 1, "one attempt that failed, and none after it");
    },
  );
}

testCopies("readable() that is copied fills buffers that readers bring", async ({ file }) => {
  const reader = file.readable({ offset: 5 }).getReader({ mode: "byob" });
  let at = 5;
  for (const bytes of [10, 64, 65, 4096, 200_000]) {
    const { value } = await reader.read(new Uint8Array(new ArrayBuffer(bytes + 9), 9), {
      min: bytes,
    });
    assertEquals(value, contentAt(SEED, at, bytes));
    at += bytes;
  }
  await reader.cancel();
});

testCopies("readable() that is copied lets timers in", async ({ file }) => {
  let isDue = false;
  const isHanging = hangs();
  setTimeout(() => isDue = true, 1);
  while (!isDue && !isHanging()) {
    for await (const chunk of file.readable({ chunkBytes: 200_000 })) assert(chunk.length > 0);
  }
  assert(isDue, "no timer comes");
});

testCopies("readable() that is copied ends with its file", async ({ file }) => {
  const reader = file.readable().getReader();
  assertEquals((await reader.read()).value?.length, 65_536);
  await file.close();
  // The next chunk may be there already.
  const rest = async () => {
    while (!(await reader.read()).done);
  };
  await assertRejects(rest, Deno.errors.BadResource, "the file is closed");
});

testCopies(
  "a timer and a socket get their turns while one task reads, after a pause as well",
  async ({ file }) => {
    const isHanging = hangs();
    const buffer = new Uint8Array(READ_BYTES);
    for (let round = 0; round < 2; round++) {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      let left = 3;
      setTimeout(() => left--, 1);
      const connected = Promise.all([
        listener.accept(),
        Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
      ].map(async (connection) => {
        (await connection).close();
        left--;
      }));
      while (left > 0 && !isHanging()) await file.readAt(buffer, 0);
      assertEquals(left, 0);
      await connected;
      await delay(20);
    }
  },
);

for (
  const method of [
    createWorkerMethod(false),
    createLinuxAioMethod(false),
    createIoUringMethod(null, { ...DEFAULT_TUNING, cachedReadsMin: Infinity }),
  ]
) {
  const ignore = !METHODS_UNDER_TEST.some(({ name, ignore }) => name === method.name && !ignore);
  Deno.test({
    name: `${method.name}: readAt() of plain memory is an IO where every read is to be one`,
    ignore: ignore || !CAN_READ_CACHED,
    fn: () =>
      withFile({ method: method.name }, async (fixture) => {
        await fixture.read(5);
        assertEquals(fixture.submitted(), 1);
      }, [method]),
  });
}
