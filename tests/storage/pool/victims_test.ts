/**
 * victims_test.ts: a buffer that is about to get another block, and that another thread uses at the
 * last moment.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { Pins } from "../../../storage/pool/pins.ts";
import { giveFileBack, takeFile, unlink } from "../../../storage/pool/mapping.ts";
import { BUFFER, BUFFER_STATE, POOL, type PoolMemory } from "../../../storage/pool/pool_memory.ts";
import { replace } from "../../support/bells/bells.ts";
import { until } from "../../support/patience.ts";
import {
  BLOCKS,
  bufferOf,
  change,
  forgetUses,
  memoryOf,
  onDisk,
  type PoolFixture,
  testPool,
} from "../../support/pool/pool_fixture.ts";

/** Blocks of which none is in the pool at first. */
const OTHERS = [30, 31, 32, 33];

/** What another thread does with a buffer that it has pinned. */
type Use = (memory: PoolMemory, buffer: number) => void;

/** Has another thread use a buffer right before its block is taken away: once. */
class LastMoment implements Disposable {
  /** The block of the buffer. */
  block = -1;
  buffer = -1;
  readonly #memory: PoolMemory;
  readonly #replaced: Disposable;

  constructor({ aio, pool }: PoolFixture, use: Use) {
    const memory = this.#memory = memoryOf(aio, pool);
    const backend = backendOf(aio);
    const pins = new Pins(memory, backend.id + 1, backend.doorbells);
    const store = Atomics.store;
    this.#replaced = replace(Atomics, "store", (array, index, value) => {
      const buffer = this.block < 0 && value === 0 && array.buffer === memory.words.buffer
        ? this.#bufferOfFile(array, index)
        : -1;
      if (buffer >= 0) {
        const at = memory.at(buffer);
        const [file, block] = [
          memory.words[at + BUFFER.file]! - 1,
          memory.words[at + BUFFER.block]!,
        ];
        this.block = block;
        this.buffer = buffer;
        assert(pins.tryPin(buffer, file, block));
        use(memory, buffer);
        pins.unpin(buffer);
      }
      return Reflect.apply(store, Atomics, [array, index, value]);
    });
  }

  /** The buffer whose file a word is; -1: it is none's. */
  #bufferOfFile(array: ArrayBufferView, index: number): number {
    const memory = this.#memory;
    if (array.byteOffset !== memory.words.byteOffset) return -1;
    for (let buffer = 0; buffer < memory.pages; buffer++) {
      if (memory.at(buffer) + BUFFER.file === index && memory.words[index] !== 0) return buffer;
    }
    return -1;
  }

  [Symbol.dispose](): void {
    this.#replaced[Symbol.dispose]();
  }
}

async function fill({ aio, pool, file }: PoolFixture): Promise<void> {
  for (let block = 0; block < 16; block++) (await pool.read(file, block)).release();
  forgetUses(aio, pool);
}

testPool("a page that another thread changes at the last moment keeps its place", async (it) => {
  await fill(it);
  using moment = new LastMoment(it, (memory, buffer) => {
    memory.bytes(buffer).fill(99);
    Atomics.or(memory.words, memory.at(buffer) + BUFFER.state, BUFFER_STATE.dirty);
  });
  for (const block of OTHERS) (await it.pool.read(it.file, block)).release();
  assert(moment.block >= 0, "a buffer got another block");
  {
    using page = await it.pool.read(it.file, moment.block);
    assertEquals(page.bytes[0], 99);
  }
  await it.pool.flush();
  assertEquals(await onDisk(it.path, moment.block), [99, 99]);
});

testPool(
  "a page that another thread begins to write at the last moment keeps its place",
  async (it) => {
    await fill(it);
    const word = 0x7fff;
    using moment = new LastMoment(it, (memory, buffer) => {
      Atomics.store(memory.words, memory.at(buffer) + BUFFER.io, word);
    });
    for (const block of OTHERS) (await it.pool.read(it.file, block)).release();
    assert(moment.block >= 0, "a buffer got another block");
    const memory = memoryOf(it.aio, it.pool);
    const at = memory.at(moment.buffer);
    const { words } = memory;
    assertEquals([words[at + BUFFER.block], words[at + BUFFER.io]], [moment.block, word]);
    Atomics.store(words, at + BUFFER.io, 0);
  },
);

/** A thread id that no system has. */
const DEAD_THREAD = 0x3fff_fff0;

/** As if a thread held the pool's lock and had taken the file of a block's buffer away. */
function takeAway(it: PoolFixture, block: number): PoolMemory {
  const memory = memoryOf(it.aio, it.pool);
  const buffer = bufferOf(it.pool, block);
  Atomics.store(memory.words, POOL.lock, DEAD_THREAD);
  takeFile(memory, buffer);
  return memory;
}

testPool("pool.flush() writes a page whose block another thread gives back", async (it) => {
  await change(it.pool, it.file, 5, 77);
  const buffer = bufferOf(it.pool, 5);
  const memory = takeAway(it, 5);
  let waits = 0;
  {
    // That thread goes on while this one waits for the lock.
    const wait = Atomics.wait;
    using _wait = replace(Atomics, "wait", (array, index, ...more) => {
      if (array.byteOffset !== memory.words.byteOffset || index !== POOL.lock) {
        return Reflect.apply(wait, Atomics, [array, index, ...more]);
      }
      waits++;
      giveFileBack(memory, buffer);
      Atomics.store(memory.words, POOL.lock, 0);
      return "ok";
    });
    assertEquals(it.pool.flushSync(it.file), 1);
  }
  assertEquals(waits, 1);
  assertEquals(await onDisk(it.path, 5), [77, 77]);
});

testPool("a block that a dead thread had taken away is there again", async (it) => {
  await change(it.pool, it.file, 5, 77);
  const buffer = bufferOf(it.pool, 5);
  takeAway(it, 5);
  using page = await it.pool.read(it.file, 5);
  assertEquals([page.bytes[0], bufferOf(it.pool, 5)], [77, buffer]);
});

testPool("a block that a dead thread was forgetting is forgotten", async (it) => {
  (await it.pool.read(it.file, 5)).release();
  const buffer = bufferOf(it.pool, 5);
  const memory = takeAway(it, 5);
  // It died within that, once the block was out of its chain.
  memory.words[POOL.forgetting] = -(buffer + 1);
  unlink(memory, buffer);
  using page = await it.pool.read(it.file, 5);
  assertEquals([page.bytes[0], it.pool.pages().filter(({ block }) => block === 5).length], [6, 1]);
  assertEquals(memory.words[POOL.forgetting], 0);
});

testPool("pool.invalidate() forgets a page whose block another thread gives back", async (it) => {
  (await it.pool.read(it.file, 5)).release();
  const memory = memoryOf(it.aio, it.pool);
  const fileAt = memory.at(bufferOf(it.pool, 5)) + BUFFER.file;
  let isTaken = false;
  const load = Atomics.load;
  using _load = replace(Atomics, "load", (array, index) => {
    const value = Reflect.apply(load, Atomics, [array, index]);
    const isLook = array.byteOffset === memory.words.byteOffset && index === fileAt;
    if (isLook && !isTaken) {
      isTaken = true;
      takeAway(it, 5);
    }
    return value;
  });
  assertEquals(await it.pool.invalidate(it.file, 5), 1);
  assert(isTaken);
});

testPool("pool.invalidate() has no page pinned while it waits for another thread", async (it) => {
  (await it.pool.read(it.file, 5)).release();
  const memory = memoryOf(it.aio, it.pool);
  const { id, doorbells } = backendOf(it.aio);
  const pins = new Pins(memory, id + 1, doorbells);
  const buffer = bufferOf(it.pool, 5);
  assert(pins.tryPin(buffer, memory.words[memory.at(buffer) + BUFFER.file]! - 1, 5));
  const invalidated = it.pool.invalidate(it.file, 5);
  // Two threads that had it pinned while they wait for each other would wait for ever.
  assertEquals(memory.words[memory.at(buffer) + BUFFER.pins], 1 << (id + 1));
  pins.unpin(buffer);
  assertEquals(await invalidated, 1);
});

/** As if another thread had some buffers pinned. @returns its pins */
function pinBuffers({ aio, pool }: PoolFixture, buffers: readonly number[]): Pins {
  const memory = memoryOf(aio, pool);
  const { id, doorbells } = backendOf(aio);
  const pins = new Pins(memory, id + 1, doorbells);
  for (const buffer of buffers) assert(pins.tryOwn(buffer));
  return pins;
}

testPool("pool.extend() has no page pinned while it waits for several", async (it) => {
  await fill(it);
  const others = [0, 1, 2, 3, 4, 5, 6, 7];
  const pins = pinBuffers(it, others);
  const extending = it.pool.extend(it.file, 12);
  await until(() => it.pool.stats().waits > 0, "it waits for pages");
  // Two threads that extend files and each had eight of the sixteen would wait for ever.
  const { id } = backendOf(it.aio);
  assertEquals(it.pool.pages().filter((row) => row.pinningBackends.includes(id)), []);
  for (const buffer of others) pins.unpin(buffer);
  const pages = await extending;
  assertEquals(pages.map(({ block }) => block - BLOCKS), Array.from({ length: 12 }, (_, i) => i));
  const message = "Cannot extend a file by 8 pages while 12 of the 16 pages of the pool are pinned";
  await assertRejects(() => it.pool.extend(it.file, 8), Deno.errors.Busy, message);
  for (const page of pages) page.release();
});

/** As if a thread had died that had changed a page. */
function tear({ aio, pool }: PoolFixture, block: number): void {
  const memory = memoryOf(aio, pool);
  const at = memory.at(bufferOf(pool, block)) + BUFFER.state;
  Atomics.or(memory.words, at, BUFFER_STATE.dirty | BUFFER_STATE.torn);
}

testPool("pool.read() refuses where all pages are torn or pinned by this thread", async (it) => {
  await fill(it);
  tear(it, 9);
  const blocks = Array.from({ length: 16 }, (_, block) => block).filter((block) => block !== 9);
  const pages = await Promise.all(blocks.map((block) => it.pool.read(it.file, block)));
  const error = await assertRejects(() => it.pool.read(it.file, 20), Deno.errors.Busy);
  assertEquals(
    error.message,
    "Cannot read a page while 15 of the 16 pages of the pool are pinned by this thread and 1 " +
      'are torn: release some, invalidate() or repair() those, or give openPool() more "pages"',
  );
  for (const page of pages) page.release();
  (await it.pool.read(it.file, 20)).release();
});

testPool("pool.read() waits until a torn page is forgotten", async (it) => {
  await fill(it);
  tear(it, 9);
  const torn = bufferOf(it.pool, 9);
  const others = Array.from({ length: 16 }, (_, buffer) => buffer).filter((one) => one !== torn);
  const pins = pinBuffers(it, others);
  const reading = it.pool.read(it.file, 20);
  await until(() => it.pool.stats().waits > 0, "it waits for a page");
  assertEquals(await it.pool.invalidate(it.file, 9), 1);
  (await reading).release();
  for (const buffer of others) pins.unpin(buffer);
});

testPool("pool.repair() finds a page whose place another thread looks at", async (it) => {
  (await it.pool.read(it.file, 3)).release();
  const memory = memoryOf(it.aio, it.pool);
  const buffer = bufferOf(it.pool, 3);
  Atomics.or(memory.words, memory.at(buffer) + BUFFER.state, BUFFER_STATE.torn);
  // It is given back under the lock.
  takeFile(memory, buffer);
  await it.pool.repair(it.file, 3, (bytes) => void bytes.fill(77));
  using page = await it.pool.read(it.file, 3);
  assertEquals([page.isDirty, page.bytes[0]], [true, 77]);
});
