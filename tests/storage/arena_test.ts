/**
 * arena_test.ts: alloc() and free(): where memory comes from, when there is none, and what is not
 * given back.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import type { IoMethodName } from "../../methods/mod.ts";
import { Aio } from "../../storage/mod.ts";
import { get, I32, loadWord, moduleBytes, OP } from "../../storage/wasm_code.ts";
import { openAio, testEachMethod } from "../support/methods.ts";
import { contentAt, testSeed, withPrng } from "../support/prng.ts";
import { tempDir, writeRandomFile } from "../support/temp.ts";
import { Turns } from "../support/turns.ts";

const PAGE_BYTES = 4096;
const ARENA_PAGES = 32;
const ARENA_BYTES = ARENA_PAGES * PAGE_BYTES;

/** `readWord(address)`, of the shared memory that is imported as "memory" of "aio". */
const WORD_READER = new WebAssembly.Module(moduleBytes([{
  name: "readWord",
  parameters: [I32],
  locals: [],
  code: [...get(0), ...loadWord(0), OP.end],
}]));

async function withArena(use: (aio: Aio) => void | Promise<void>): Promise<void> {
  await using aio = await Aio.open({ arenaBytes: ARENA_BYTES });
  await use(aio);
}

function noSpace(bytes: number, free: number): string {
  return `Cannot find ${bytes} bytes in a row in the arena of ${ARENA_BYTES} bytes (${free} free): ` +
    'free views with aio.free() or raise the option "arenaBytes"';
}

Deno.test("alloc() gives page-aligned views of shared memory, of the size that was asked for", () =>
  withArena((aio) => {
    for (const bytes of [1, 100, PAGE_BYTES, PAGE_BYTES + 1, 5 * PAGE_BYTES]) {
      const view = aio.alloc(bytes);
      assertEquals(view.byteLength, bytes);
      assertEquals(view.byteOffset % PAGE_BYTES, 0);
      assert(view.buffer instanceof SharedArrayBuffer);
      assertEquals(backendOf(aio).memory.addressOf(view) % PAGE_BYTES, 0);
    }
  }));

Deno.test("memory is what alloc() gives parts of, in each thread", async () => {
  await using aio = await Aio.open({ maxBackends: 2 });
  assertStrictEquals(aio.alloc(1).buffer, aio.memory.buffer);
  const worker = new Worker(import.meta.resolve("../support/memory_worker.ts"), { type: "module" });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.postMessage(aio.token);
  assert(await promise);
  worker.terminate();
});

Deno.test("memory is there for programs of WebAssembly, with what was read", async () => {
  await using dir = await tempDir();
  await Deno.writeFile(dir.join("file"), Uint8Array.of(1, 2, 3, 4));
  await using aio = await Aio.open();
  await using file = await aio.openFile(dir.join("file"));
  aio.alloc(PAGE_BYTES);
  const view = aio.alloc(4);
  await file.readAt(view, 0);
  const { exports } = new WebAssembly.Instance(WORD_READER, { aio: { memory: aio.memory } });
  const readWord = exports["readWord"] as (address: number) => number;
  assertEquals(readWord(view.byteOffset), 0x04030201);
});

Deno.test("alloc() gives views that do not overlap", () =>
  withArena((aio) => {
    const views = Array.from({ length: 10 }, (_, i) => aio.alloc(3 * PAGE_BYTES - 10).fill(i));
    for (const [i, view] of views.entries()) assert(view.every((byte) => byte === i));
  }));

Deno.test("alloc() hands out the lowest pages first, and those that were freed again", () =>
  withArena((aio) => {
    const views = Array.from({ length: 4 }, () => aio.alloc(2 * PAGE_BYTES));
    assertEquals(views.map((view) => view.byteOffset / PAGE_BYTES), [0, 2, 4, 6]);
    aio.free(views[2]!);
    aio.free(views[0]!);
    assertEquals(aio.alloc(1).byteOffset, 0);
    assertEquals(aio.alloc(2 * PAGE_BYTES).byteOffset, 4 * PAGE_BYTES, "does not fit in page 1");
    assertEquals(aio.alloc(1).byteOffset, PAGE_BYTES);
    assertEquals(aio.alloc(1).byteOffset, 8 * PAGE_BYTES);
  }));

Deno.test("alloc() can hand out the arena to the last page, at once and page by page", () =>
  withArena((aio) => {
    const all = aio.alloc(ARENA_BYTES);
    assertEquals([all.byteLength, backendOf(aio).arena.freeBytes], [ARENA_BYTES, 0]);
    aio.free(all);
    const pages = Array.from({ length: ARENA_PAGES }, () => aio.alloc(PAGE_BYTES));
    assertEquals(new Set(pages.map((page) => page.byteOffset)).size, ARENA_PAGES);
    assertEquals(backendOf(aio).arena.freeBytes, 0);
    for (const page of pages) aio.free(page);
    assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES);
  }));

Deno.test("alloc() with the arena full names the option arenaBytes", () =>
  withArena((aio) => {
    const pages = Array.from({ length: ARENA_PAGES }, () => aio.alloc(PAGE_BYTES));
    const full = assertThrows(() => aio.alloc(1), Deno.errors.Busy);
    assertEquals(full.message, noSpace(1, 0));
    aio.free(pages[3]!);
    aio.free(pages[5]!);
    const fragmented = assertThrows(() => aio.alloc(PAGE_BYTES + 1), Deno.errors.Busy);
    assertEquals(fragmented.message, noSpace(PAGE_BYTES + 1, 2 * PAGE_BYTES));
    assertEquals(aio.alloc(PAGE_BYTES).byteOffset, 3 * PAGE_BYTES);
  }));

for (const bytes of [0, -1, 1.5, NaN, Infinity, ARENA_BYTES + 1, 2 ** 53, "4096", undefined, 5n]) {
  const told = typeof bytes === "string" ? `"${bytes}"` : typeof bytes === "bigint" ? "5n" : bytes;
  Deno.test(`alloc() refuses ${told} bytes`, () =>
    withArena((aio) => {
      const error = assertThrows(() => aio.alloc(bytes as number), RangeError);
      assertEquals(
        error.message,
        `Cannot allocate ${told} bytes: an integer from 1 to ${ARENA_BYTES}, the option "arenaBytes"`,
      );
      assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES);
    }));
}

/** The refusal of a view that starts nothing. */
function nothingAt(byte: number): string {
  return `Cannot free the view at byte ${byte} of the arena: nothing was allocated there, ` +
    "or it was freed before";
}

Deno.test("free() twice is refused, and frees nothing of what has come there since", () =>
  withArena((aio) => {
    const view = aio.alloc(100);
    aio.free(view);
    assertEquals(assertThrows(() => aio.free(view), TypeError).message, nothingAt(0));
    assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES);
  }));

Deno.test("free() of a view that starts inside another is refused", () =>
  withArena((aio) => {
    const view = aio.alloc(3 * PAGE_BYTES);
    for (const offset of [1, PAGE_BYTES - 1, PAGE_BYTES, 2 * PAGE_BYTES]) {
      const error = assertThrows(() => aio.free(view.subarray(offset)), TypeError);
      assertEquals(error.message, nothingAt(offset));
    }
    assertThrows(() => aio.free(view.subarray(view.byteLength)), TypeError);
    aio.free(view);
  }));

Deno.test("free() of the beginning of a view is refused", () =>
  withArena((aio) => {
    const view = aio.alloc(3 * PAGE_BYTES);
    assertThrows(() => aio.free(view.subarray(0, 100)), TypeError, "Cannot free");
    assertEquals(backendOf(aio).arena.freeBytes, ARENA_BYTES - 3 * PAGE_BYTES);
    aio.free(view);
  }));

Deno.test("free() of the arena's memory that was never allocated is refused", () =>
  withArena((aio) => {
    const whole = new Uint8Array(aio.token.arena);
    assertEquals(assertThrows(() => aio.free(whole), TypeError).message, nothingAt(0));
    const end = whole.subarray(ARENA_BYTES);
    assertEquals(assertThrows(() => aio.free(end), TypeError).message, nothingAt(ARENA_BYTES));
  }));

Deno.test("free() of other memory is refused", async () => {
  await withArena(async (aio) => {
    await using other = await Aio.open({ arenaBytes: ARENA_BYTES });
    const foreign = other.alloc(100);
    const message =
      "Cannot free a view of other memory: pass the Uint8Array that alloc() of this aio returned";
    for (const view of [new Uint8Array(100), foreign, new Uint8Array(0)]) {
      assertEquals(assertThrows(() => aio.free(view), TypeError).message, message);
    }
    other.free(foreign);
  });
});

Deno.test("free() of what is no Uint8Array is refused", () =>
  withArena((aio) => {
    const cases: readonly (readonly [unknown, string])[] = [
      [null, "null"],
      [undefined, "undefined"],
      [5, "5"],
      [aio.alloc(5).buffer, "a SharedArrayBuffer"],
      [{}, "a Object"],
    ];
    for (const [value, told] of cases) {
      const error = assertThrows(() => aio.free(value as Uint8Array), TypeError);
      assertEquals(
        error.message,
        `Cannot free ${told}: pass the Uint8Array that aio.alloc() returned`,
      );
    }
  }));

Deno.test("memory of alloc() keeps what was written, over the lifetime of the view", () =>
  withArena((aio) => {
    const view = aio.alloc(10_000);
    view.set(contentAt(1, 0, 10_000));
    aio.free(aio.alloc(10_000));
    assertEquals(view.slice(), contentAt(1, 0, 10_000));
    assertStrictEquals(view.buffer, aio.token.arena);
  }));

for (const turn of [0, 1]) {
  Deno.test(`alloc() and free() at random do as a model does (${turn})`, () =>
    withPrng((prng) =>
      withArena((aio) => {
        const model = new Array<boolean>(ARENA_PAGES).fill(false);
        const taken = new Map<number, Uint8Array>();
        const findRun = (pages: number) => {
          for (let start = 0; start + pages <= ARENA_PAGES; start++) {
            if (model.slice(start, start + pages).every((used) => !used)) return start;
          }
          return -1;
        };
        const mark = (start: number, pages: number, used: boolean) => {
          for (let page = start; page < start + pages; page++) model[page] = used;
        };
        for (let step = 0; step < 5_000; step++) {
          if (taken.size > 0 && prng.chance(9, 20)) {
            const [start, view] = prng.pick([...taken]);
            aio.free(view);
            taken.delete(start);
            mark(start, Math.ceil(view.byteLength / PAGE_BYTES), false);
          } else {
            const bytes = prng.between(1, PAGE_BYTES * prng.pick([1, 4, 16]));
            const pages = Math.ceil(bytes / PAGE_BYTES);
            const expected = findRun(pages);
            if (expected < 0) {
              assertThrows(() => aio.alloc(bytes), Deno.errors.Busy, "arenaBytes");
            } else {
              const view = aio.alloc(bytes);
              assertEquals(view.byteOffset, expected * PAGE_BYTES, "the lowest that fits");
              taken.set(expected, view);
              mark(expected, pages, true);
            }
          }
          const free = model.filter((used) => !used).length * PAGE_BYTES;
          assertEquals(backendOf(aio).arena.freeBytes, free, `after step ${step}`);
        }
      }), (testSeed() + turn) >>> 0));
}

async function withReads(
  method: IoMethodName,
  use: (aio: Aio, path: string) => Promise<void>,
): Promise<void> {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), 100_000, 1);
  await using aio = await openAio(method, { maxConcurrency: 2, ioMaxCombineLimit: 4 });
  await use(aio, dir.join("file"));
}

const turns = new Turns(2);

testEachMethod(
  "free() of a view that a pending readAt() still needs is refused",
  (method) =>
    withReads(method, async (aio, path) => {
      await using file = await aio.openFile(path);
      const views = Array.from({ length: 40 }, () => aio.alloc(100));
      const pending = file.readAt(views, 0);
      const last = views.at(-1)!;
      const error = assertThrows(() => aio.free(last), Deno.errors.Busy);
      assertEquals(
        error.message,
        `Cannot free the view at byte ${last.byteOffset} of the arena while an IO uses it: ` +
          "wait for the IO first",
      );
      assertEquals(await pending, 4_000);
      assertEquals(last.slice(), contentAt(1, 3_900, 100));
      for (const view of views) aio.free(view);
      assertEquals(backendOf(aio).arena.freeBytes, aio.options.arenaBytes);
    }),
  true,
  turns,
);

testEachMethod(
  "free() of a view when its readAt() has resolved is fine, and when it has failed",
  (method) =>
    withReads(method, async (aio, path) => {
      await using file = await aio.openFile(path);
      const view = aio.alloc(100);
      await Promise.all(Array.from({ length: 20 }, () => file.readAt(view, 0)));
      await assertRejects(() => file.writeAt(view, 0), Deno.errors.BadResource);
      aio.free(view);
      assertEquals(backendOf(aio).arena.freeBytes, aio.options.arenaBytes);
    }),
  true,
  turns,
);

Deno.test("adoptMemory() refuses what is no shared memory of fixed length", () =>
  withArena((aio) => {
    const cases: readonly (readonly [unknown, string])[] = [
      [new ArrayBuffer(8), "Cannot adopt a ArrayBuffer: pass a SharedArrayBuffer"],
      [null, "Cannot adopt null: pass a SharedArrayBuffer"],
      [new SharedArrayBuffer(0), "Cannot adopt a SharedArrayBuffer of 0 bytes"],
      [
        new SharedArrayBuffer(8, { maxByteLength: 16 }),
        "Cannot adopt a growable SharedArrayBuffer: make one of fixed length",
      ],
    ];
    for (const [memory, message] of cases) {
      const error = assertThrows(() => aio.adoptMemory(memory as SharedArrayBuffer), TypeError);
      assertEquals(error.message, message);
    }
    const memory = new SharedArrayBuffer(8);
    aio.adoptMemory(memory);
    aio.adoptMemory(memory);
    aio.adoptMemory(aio.token.arena);
  }));
