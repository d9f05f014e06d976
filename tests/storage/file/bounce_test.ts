/**
 * bounce_test.ts: what happens to buffers that go away or change while a transfer is pending, and
 * to transfers for which the arena has no room.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { Arena } from "../../../core/memory/arena.ts";
import type { SystemError } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { openAio, testEachMethod, testSharedAios } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 3;
const FILE_BYTES = 200_000;
const ARENA_BYTES = 65_536;
/** With so small an arena, this is more than one piece. */
const LARGE_BYTES = 100_000;

/** For a log of each IO reads from the page cache are IO as well, and take room. */
const OPTIONS = {
  arenaBytes: ARENA_BYTES,
  maxConcurrency: 4,
  logLevel: "debug3",
  onLog: () => {},
} as const;

type Use = (aio: Aio, file: AioFile, path: string) => Promise<void>;

async function withFile(aio: Aio, use: Use): Promise<void> {
  await using dir = await tempDir();
  const path = dir.join("file");
  await writeRandomFile(path, FILE_BYTES, SEED);
  await using file = await aio.openFile(path, { read: true, write: true });
  await use(aio, file, path);
  await file.close();
  assertEquals(backendOf(aio).idleCount, 4);
}

function testFile(name: string, use: Use): void {
  testSharedAios(name, (aio) => withFile(aio, use), { options: OPTIONS });
}

/** Fills the turn with other work, so that what starts now is not done at once. */
function crowd(file: AioFile): Promise<unknown> {
  return Promise.all(Array.from({ length: 200 }, () => file.readAt(new Uint8Array(4096), 0)));
}

function transferAway(view: Uint8Array): void {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  assertEquals(view.byteLength, 0);
}

for (const bytes of [100, LARGE_BYTES]) {
  testFile(
    `readAt() of ${bytes} bytes whose buffer is transferred meanwhile rejects`,
    async (aio, file) => {
      const busy = crowd(file);
      const buffer = new Uint8Array(bytes);
      const pending = file.readAt(buffer, 0);
      transferAway(buffer);
      await assertRejects(() => pending, TypeError);
      await busy;
      assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES);
      assertEquals(await file.readAt(new Uint8Array(10), 0), 10, "the file is still good");
    },
  );

  testFile(
    `writeAt() of ${bytes} bytes whose buffer is transferred writes nothing else`,
    async (aio, file, path) => {
      const busy = crowd(file);
      const buffer = new Uint8Array(bytes).fill(0xee);
      const pending = file.writeAt(buffer, 0);
      transferAway(buffer);
      const isWritten = await pending.then((done) => done === bytes, (error) => {
        assert(error instanceof TypeError, `${error}`);
        return false;
      });
      await busy;
      const content = await Deno.readFile(path);
      const before = contentAt(SEED, 0, FILE_BYTES);
      for (let i = 0; i < FILE_BYTES; i++) {
        const isFine = i < bytes && content[i] === 0xee ||
          !isWritten && content[i] === before[i] ||
          i >= bytes && content[i] === before[i];
        assert(isFine, `byte ${i} is ${content[i]}`);
      }
      assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES);
    },
  );
}

testFile(
  "writeAt() of a buffer that shrinks never writes what was not in it",
  async (aio, file, path) => {
    await file.writeAt(new Uint8Array(ARENA_BYTES).fill(0x55), 0); // The arena's pages hold this.
    await file.truncate(0);
    const memory = new ArrayBuffer(LARGE_BYTES, { maxByteLength: 2 * LARGE_BYTES });
    const pending = file.writeAt(new Uint8Array(memory).fill(0xee), 0);
    memory.resize(10_000);
    await assertRejects(() => pending, Error);
    const content = await Deno.readFile(path);
    assert(content.every((byte) => byte === 0xee), "bytes of somebody else");
    assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES);
  },
);

testFile(
  "readAt() into a buffer that shrinks does not say that all was read",
  async (aio, file) => {
    const memory = new ArrayBuffer(LARGE_BYTES, { maxByteLength: 2 * LARGE_BYTES });
    const pending = file.readAt(new Uint8Array(memory), 0);
    memory.resize(10_000);
    await assertRejects(() => pending, Error);
    assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES);
  },
);

testFile("readAt() into a buffer that grows fills what it was asked to", async (_aio, file) => {
  for (const bytes of [100, LARGE_BYTES]) {
    const busy = crowd(file);
    const memory = new ArrayBuffer(bytes, { maxByteLength: 2 * bytes });
    const view = new Uint8Array(memory, 0, bytes);
    const pending = file.readAt(view, 5);
    memory.resize(2 * bytes);
    assertEquals(await pending, bytes);
    assertEquals(view, contentAt(SEED, 5, bytes));
    assert(new Uint8Array(memory, bytes).every((byte) => byte === 0));
    await busy;
  }
});

const NO_SPACE = (bytes: number, free: number) =>
  `Cannot find ${bytes} bytes in a row in the arena of ${ARENA_BYTES} bytes (${free} free): ` +
  'free views with aio.free() or raise the option "arenaBytes"';

testFile(
  "readAt() of a plain buffer with the arena full of views names the option",
  async (aio, file) => {
    const all = aio.alloc(ARENA_BYTES);
    const buffer = new Uint8Array(100);
    const read = await assertRejects(() => file.readAt(buffer, 0), Deno.errors.Busy);
    assertEquals(read.message, NO_SPACE(100, 0));
    const write = await assertRejects(() => file.writeAt(buffer, 0), Deno.errors.Busy);
    assertEquals(write.message, NO_SPACE(100, 0));
    assertEquals(await file.readAt(all.subarray(0, 100), 0), 100, "arena views need no room");
    assertEquals(file.readAtSync(buffer, 0), 100, "the blocking call needs none");
    aio.free(all);
    assertEquals(await file.readAt(buffer, 0), 100);
  },
);

testFile("readAt() that waits for room goes on when views are freed", async (aio, file) => {
  const views = Array.from({ length: 12 }, () => aio.alloc(4096));
  const buffers = Array.from({ length: 10 }, () => new Uint8Array(LARGE_BYTES));
  const pending = Promise.all(buffers.map((buffer, i) => file.readAt(buffer, i)));
  for (const view of views) aio.free(view);
  await pending;
  for (const [i, buffer] of buffers.entries()) {
    assertEquals(buffer, contentAt(SEED, i, LARGE_BYTES));
  }
  assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES);
});

testFile(
  "a large plain transfer goes on in smaller pieces where the arena is in use",
  async (aio, file, path) => {
    const views = Array.from({ length: ARENA_BYTES / 4096 }, () => aio.alloc(4096));
    aio.free(views[5]!);
    const buffer = new Uint8Array(LARGE_BYTES);
    assertEquals(await file.readAt(buffer, 7), LARGE_BYTES);
    assertEquals(buffer, contentAt(SEED, 7, LARGE_BYTES));
    assertEquals(await file.writeAt(buffer, 0), LARGE_BYTES);
    assertEquals((await Deno.readFile(path)).slice(0, LARGE_BYTES), buffer);
    assertEquals(backendOf(aio).arena.freeBytes, 4096);
  },
);

testFile(
  "writeAt() that finds no more room half-way tells what it wrote",
  async (aio, file, path) => {
    const pending = file.writeAt(new Uint8Array(LARGE_BYTES).fill(0xee), 10);
    // The write holds its first piece now; the thief takes all the rest, and then that piece, too.
    const thief = (async () => {
      for (let i = 0; i < 1000; i++) {
        try {
          aio.alloc(4096);
        } catch (error) {
          assert(error instanceof Deno.errors.Busy);
        }
        await null;
      }
    })();
    const [outcome] = await Promise.all([
      pending.then((bytes) => bytes, (error: SystemError) => error),
      thief,
    ]);
    if (typeof outcome === "number") {
      assertEquals(outcome, LARGE_BYTES, "it was quicker than the thief");
      return;
    }
    assert(outcome instanceof Deno.errors.Busy, `${outcome}`);
    assertEquals([outcome.path, outcome.offset, outcome.length], [path, 10, LARGE_BYTES]);
    const written = (await Deno.readFile(path)).filter((byte, i) => i >= 10 && byte === 0xee);
    assert(outcome.bytesWritten !== undefined && written.length >= outcome.bytesWritten);
    assert(outcome.bytesWritten > 0);
  },
);

function transferred(): Uint8Array {
  const view = new Uint8Array(8);
  view.buffer.transfer();
  return view;
}

/** What is no buffer, with the words that follow "Cannot read" or "Cannot write". */
const WRONG_BUFFERS: readonly (readonly [string, unknown, ErrorConstructor, string])[] = [
  [
    "a buffer whose memory was transferred",
    transferred(),
    TypeError,
    " as the memory of the buffer was transferred: pass one that still has its memory",
  ],
  [
    "a list with memory that was transferred",
    [new Uint8Array(1), transferred()],
    TypeError,
    " as the memory of buffer 1 of 2 was transferred: pass one that still has its memory",
  ],
  ["a string", "text", TypeError, ' as the buffer is "text": pass a Uint8Array'],
  ["undefined", undefined, TypeError, " as the buffer is undefined: pass a Uint8Array"],
  ["a number", 100, TypeError, " as the buffer is 100: pass a Uint8Array"],
  [
    "an ArrayBuffer",
    new ArrayBuffer(8),
    TypeError,
    " as the buffer is a ArrayBuffer: pass a Uint8Array",
  ],
  [
    "another view",
    new Float64Array(8),
    TypeError,
    " as the buffer is a Float64Array: pass a Uint8Array",
  ],
  [
    "a list with null",
    [new Uint8Array(1), null, new Uint8Array(1)],
    TypeError,
    " as buffer 1 of 3 is null: pass a Uint8Array",
  ],
];

for (const [what, buffers, Class, why] of WRONG_BUFFERS) {
  testFile(`readAt() and writeAt() refuse ${what}`, async (_aio, file, path) => {
    const wrong = buffers as Uint8Array;
    const read = await assertRejects(() => file.readAt(wrong, 0), Class);
    assertEquals(read.message, `Cannot read${why}`);
    const write = await assertRejects(() => file.writeAt(wrong, 0), Class);
    assertEquals(write.message, `Cannot write${why}`);
    assertEquals(assertThrows(() => file.readAtSync(wrong, 0), Class).message, read.message);
    assertEquals(assertThrows(() => file.writeAtSync(wrong, 0), Class).message, write.message);
    assertEquals(await Deno.readFile(path), contentAt(SEED, 0, FILE_BYTES));
  });
}

const RANGE = `offsets are integers from 0 to ${Number.MAX_SAFE_INTEGER}`;
const WRONG_OFFSETS: readonly (readonly [unknown, ErrorConstructor, string])[] = [
  [-1, RangeError, `offset -1: ${RANGE}`],
  [0.5, RangeError, `offset 0.5: ${RANGE}`],
  [NaN, RangeError, `offset NaN: ${RANGE}`],
  [Infinity, RangeError, `offset Infinity: ${RANGE}`],
  [2 ** 53, RangeError, `offset 9007199254740992: ${RANGE}`],
  [5n, TypeError, `offset 5n: ${RANGE}; pass a number`],
  ["5", TypeError, `offset "5": ${RANGE}`],
  [undefined, TypeError, `offset undefined: ${RANGE}`],
  [null, TypeError, `offset null: ${RANGE}`],
];

for (const [offset, Class, why] of WRONG_OFFSETS) {
  testFile(
    `readAt() and writeAt() refuse ${why.split(":")[0]} (${typeof offset})`,
    async (aio, file) => {
      const wrong = offset as number;
      for (const buffer of [new Uint8Array(5), aio.alloc(5), [new Uint8Array(1), aio.alloc(1)]]) {
        const read = await assertRejects(() => file.readAt(buffer, wrong), Class);
        assertEquals(read.message, `Cannot read at ${why}`);
        const write = await assertRejects(() => file.writeAt(buffer, wrong), Class);
        assertEquals(write.message, `Cannot write at ${why}`);
        assertEquals(
          assertThrows(() => file.readAtSync(buffer, wrong), Class).message,
          read.message,
        );
        assertThrows(() => file.writeAtSync(buffer, wrong), Class, write.message);
      }
    },
  );
}

testFile(
  "readAt() and writeAt() refuse a transfer that ends beyond 2^53 - 1",
  async (aio, file) => {
    const offset = Number.MAX_SAFE_INTEGER - 4;
    const why = `10 bytes at offset ${offset}: the end is beyond ${Number.MAX_SAFE_INTEGER}`;
    const forms = [new Uint8Array(10), aio.alloc(10), [new Uint8Array(6), new Uint8Array(4)]];
    for (const buffer of forms) {
      const read = await assertRejects(() => file.readAt(buffer, offset), RangeError);
      assertEquals(read.message, `Cannot read ${why}`);
      const write = await assertRejects(() => file.writeAt(buffer, offset), RangeError);
      assertEquals(write.message, `Cannot write ${why}`);
      assertThrows(() => file.readAtSync(buffer, offset), RangeError, `Cannot read ${why}`);
      assertThrows(() => file.writeAtSync(buffer, offset), RangeError, `Cannot write ${why}`);
    }
  },
);

testFile("readAt() waits for space that another thread holds, and gets it", async (aio, file) => {
  const { arena, control } = backendOf(aio);
  // The same arena, as another thread sees it.
  const other = new Arena(control, arena.buffer, arena.address, 1, -1);
  const held = other.tryTake(ARENA_BYTES, "bounce")!;
  const buffer = new Uint8Array(1000);
  let isRead = false;
  const pending = file.readAt(buffer, 5).then(() => isRead = true);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals(isRead, false);
  other.giveBack(held);
  await pending;
  assertEquals(buffer, contentAt(SEED, 5, 1000));
  assertEquals(arena.freeBytes, ARENA_BYTES);
});

testEachMethod(
  "close() refuses whoever waits for space that another thread holds",
  async (method) => {
    await using closed = await openAio(method, OPTIONS);
    await withFile(closed, async (aio, file) => {
      const { arena, control } = backendOf(aio);
      const other = new Arena(control, arena.buffer, arena.address, 1, -1);
      const held = other.tryTake(ARENA_BYTES, "bounce")!;
      const refused = assertRejects(
        () => file.readAt(new Uint8Array(9), 0),
        Deno.errors.BadResource,
      );
      await aio.close();
      await refused;
      other.giveBack(held);
    });
  },
);
