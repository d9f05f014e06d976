/**
 * read_stream_test.ts: how a read stream ends: early, by its signal, with its file, by an error;
 * and what it gives back then.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioApiError } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { readStreamOf } from "../../../storage/stream/read_stream.ts";
import { MadeUpSource } from "../../support/streams/made_up_source.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 3;
const PAGE = 4096;
const BLOCKS = 400;
const OPTIONS = { pageSize: PAGE, full: true } as const;

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
  /** Waits until nothing is in flight, and checks that the arena is as it was. */
  checkFree(): Promise<void>;
}

function testOpened(name: string, use: (opened: Opened) => Promise<void>): void {
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await writeRandomFile(path, BLOCKS * PAGE, SEED);
    await using aio = await openAio(method);
    await using file = await aio.openFile(path);
    const { arena } = backendOf(aio);
    const free = arena.freeBytes;
    const checkFree = async () => {
      while (backendOf(aio).inFlightCount > 0) await new Promise((done) => setTimeout(done));
      await new Promise((done) => setTimeout(done));
      assertEquals(arena.freeBytes, free);
    };
    await use({ aio, file, path, checkFree });
    await checkFree();
  });
}

testOpened("a loop over a stream that is left gives everything back", async ({ file }) => {
  for (const last of [0, 1, 50]) {
    const stream = file.readStream(OPTIONS);
    for await (const { block, bytes } of stream) {
      assertEquals(new Uint8Array(bytes), contentAt(SEED, block * PAGE, PAGE));
      if (block === last) break;
    }
    assert(stream.isClosed);
    assertEquals(await stream.next(), null);
    assertEquals(stream.nextSync(), null);
  }
});

testOpened("stream.close() resolves when its memory is free", async ({ aio, file }) => {
  const free = backendOf(aio).arena.freeBytes;
  for (const pages of [0, 1, 30]) {
    const stream = file.readStream(OPTIONS);
    for (let i = 0; i < pages; i++) await stream.next();
    await stream.close();
    assertEquals(backendOf(aio).arena.freeBytes, free);
    await stream.close();
    assertEquals(await stream.next(), null);
  }
});

testOpened("the end of a block closes a stream", async ({ file }) => {
  let first, second;
  {
    using stream = file.readStream(OPTIONS);
    stream.nextSync();
    await using other = file.readStream(OPTIONS);
    await other.next();
    [first, second] = [stream, other];
  }
  assert(first.isClosed);
  assert(second.isClosed);
});

testOpened(
  "a call that is pending resolves with null when the stream is closed",
  async (opened) => {
    const stream = opened.file.readStream(OPTIONS);
    const pending = stream.next();
    const closed = stream.close();
    assertEquals(await pending, null);
    await closed;
    await opened.checkFree();
  },
);

testOpened("two calls of a stream at once are refused", async ({ file }) => {
  await using stream = file.readStream(OPTIONS);
  const pending = stream.next();
  await assertRejects(() => stream.next(), AioApiError, "another call of it is pending");
  assertThrows(() => stream.nextSync(), AioApiError, "another call of it is pending");
  assertThrows(() => stream.reset(), AioApiError, "Cannot reset the stream while another call");
  assertEquals((await pending)?.block, 0);
  assertEquals((await stream.next())?.block, 1);
});

testOpened("a signal ends a stream, with its reason", async ({ file, checkFree }) => {
  const reason = new Error("not wanted");
  for (const pages of [0, 1, 40]) {
    const controller = new AbortController();
    const stream = file.readStream({ ...OPTIONS, signal: controller.signal });
    for (let i = 0; i < pages; i++) await stream.next();
    const pending = stream.next();
    controller.abort(reason);
    const outcome = await pending.catch((error) => error);
    // A page that was there already has won.
    if (outcome instanceof Error) assertStrictEquals(outcome, reason);
    assertStrictEquals(await assertRejects(() => stream.next()), reason);
    assertStrictEquals(assertThrows(() => stream.nextSync()), reason);
    assert(stream.isClosed);
    assertEquals(reason.message, "not wanted");
    await checkFree();
    assertStrictEquals(assertThrows(() => file.readStream({ signal: controller.signal })), reason);
  }
});

testOpened("a signal does not keep a stream that has ended", async ({ file }) => {
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  for await (const _ of file.readStream({ ...OPTIONS, signal }));
  for await (const _ of file.readStream({ ...OPTIONS, signal })) break;
  assertEquals(listeners, 0);
});

testOpened("file.close() ends the streams of the file", async ({ aio, path, checkFree }) => {
  for (const pages of [0, 1, 40]) {
    const file = await aio.openFile(path);
    const stream = file.readStream(OPTIONS);
    for (let i = 0; i < pages; i++) await stream.next();
    const pending = stream.next();
    const closing = file.close();
    const outcome = await pending.catch((error) => error);
    if (outcome instanceof Error) assert(outcome instanceof Deno.errors.BadResource);
    await closing;
    await assertRejects(() => stream.next(), Deno.errors.BadResource, "the file is closed");
    assertThrows(() => stream.nextSync(), Deno.errors.BadResource, "the file is closed");
    await stream.close();
    await checkFree();
  }
});

testOpened("file.closeSync() ends a stream that has nothing in flight", async ({ aio, path }) => {
  const file = await aio.openFile(path);
  const stream = file.readStream({ ...OPTIONS, until: 16 });
  stream.nextSync();
  file.closeSync();
  assertThrows(() => stream.nextSync(), Deno.errors.BadResource, "the file is closed");
});

testEachMethod("aio.close() ends streams", async (method) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), BLOCKS * PAGE, SEED);
  for (const pages of [0, 1, 40]) {
    const warnings: string[] = [];
    const aio = await openAio(method, { onWarning: (message) => warnings.push(message) });
    const file = await aio.openFile(dir.join("file"));
    const stream = file.readStream(OPTIONS);
    for (let i = 0; i < pages; i++) await stream.next();
    await aio.close();
    assertEquals(warnings.length, 1);
    await assertRejects(() => stream.next(), Deno.errors.BadResource);
    await stream.close();
  }
});

testOpened("stream.reset() begins anew, and waits for nothing", async ({ aio, file }) => {
  await using stream = file.readStream(OPTIONS);
  for (let round = 0; round < 20; round++) {
    for (let block = 0; block <= round * 3; block++) {
      const page = round % 2 === 0 ? await stream.next() : stream.nextSync();
      assertEquals(page?.block, block);
      assertEquals(new Uint8Array(page!.bytes), contentAt(SEED, block * PAGE, PAGE));
    }
    stream.reset();
    assertEquals(stream.inspect().pinnedBuffers, 0);
    assertEquals(stream.inspect().iosInProgress, 0);
  }
  assert(aio.backends()[0]!.counters.started > 20);
});

testOpened("a stream goes on after its end, if it is resumed", async ({ file }) => {
  let next = 0;
  let until = 10;
  await using stream = file.readStream({
    pageSize: PAGE,
    next: () => next < until ? next++ : null,
  });
  const blocks: number[] = [];
  for (; until <= 40; until += 10) {
    for (let page; (page = await stream.next()) !== null;) blocks.push(page.block);
    stream.resume();
  }
  assertEquals(blocks, Array.from({ length: 40 }, (_, i) => i));
});

testOpened("a stream at its end holds no memory", async ({ aio, file }) => {
  const free = backendOf(aio).arena.freeBytes;
  const stream = file.readStream(OPTIONS);
  while (await stream.next() !== null);
  assertEquals(backendOf(aio).arena.freeBytes, free);
  assert(!stream.isClosed);
});

testOpened("stream.nextBlock() takes a block that is not read", async ({ file }) => {
  await using stream = file.readStream({ pageSize: PAGE, until: 3 });
  assertEquals([0, 1, 2, 3].map(() => stream.nextBlock()), [0, 1, 2, null]);
  await using whole = file.readStream({ pageSize: PAGE, from: BLOCKS - 1 });
  assertEquals([0, 1].map(() => whole.nextBlock()), [BLOCKS - 1, null]);
  await using other = file.readStream({ pageSize: PAGE, next: (() => ((n) => () => n++)(5))() });
  assertEquals(other.nextBlock(), 5);
  assertEquals((await other.next())?.block, 6);
  assertEquals(other.enableStats(), other.enableStats());
  other.clearStrategy();
});

testOpened("a callback that calls its stream is refused, or ends it behind its back", async (
  { aio, path, checkFree },
) => {
  for (const isBlocking of [false, true]) {
    const file = await aio.openFile(path);
    const errors: unknown[] = [];
    let block = 0;
    const stream = file.readStream({
      ...OPTIONS,
      next(): number {
        for (const call of [() => stream.nextSync(), () => stream.reset()]) {
          try {
            call();
          } catch (error) {
            errors.push(error);
          }
        }
        return block++;
      },
    });
    const page = isBlocking ? stream.nextSync() : await stream.next();
    assertEquals(page?.block, 0);
    assertEquals(errors.length, 2 * block);
    assert(errors.every((error) => error instanceof AioApiError));
    await stream.close();
    for (
      const ends of [
        (one: AsyncDisposable) => void one[Symbol.asyncDispose](),
        () => void file.close(),
      ]
    ) {
      const ended = file.readStream({
        ...OPTIONS,
        next(): number {
          if (block++ === 5) ends(ended);
          return block;
        },
      });
      block = 0;
      const next = async () => isBlocking ? ended.nextSync() : await ended.next();
      let outcome: unknown;
      do outcome = await next().catch((error) => error); while (
        outcome !== null && !(outcome instanceof Error)
      );
      assert(ended.isClosed);
    }
    await file.close();
    await checkFree();
  }
});

testOpened("a stream of pages that are all there lets timers have their turn", async ({ aio }) => {
  let block = 0;
  const stream = readStreamOf({
    source: new MadeUpSource({ isCached: () => true }),
    home: { streams: new Set(), checkOpen() {} },
    backend: backendOf(aio),
    options: {
      maxIos: 16,
      ioCombineLimit: 16,
      sequential: true,
      full: false,
      batching: false,
      next: () => block++ & 0xff,
      makeData: null,
    },
    begin: null,
    restart: null,
    signal: undefined,
  });
  let isTime = false;
  const timer = setTimeout(() => isTime = true);
  let pages = 0;
  while (!isTime && pages < 300_000) {
    assertEquals(await stream.next(), pages & 0xff);
    pages++;
  }
  clearTimeout(timer);
  assert(isTime, `none in ${pages} pages`);
  await stream.close();
});
