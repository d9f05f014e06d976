/**
 * pin_code_test.ts: the code of WebAssembly that finds and pins a page does what is written in
 * JavaScript for those who have the lock: it finds the same, whatever is in the chains.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { PAGE_SIZE_BYTES } from "../../../core/inside.ts";
import { effectiveOptions } from "../../../core/base/options.ts";
import { Arena } from "../../../core/memory/arena.ts";
import { createControl, createSharedMemory } from "../../../core/memory/shared_memory.ts";
import { empty, find, link } from "../../../storage/pool/mapping.ts";
import {
  bufferOf,
  lostBuffer,
  makePinCode,
  NOT_FOUND,
  type PinCode,
  stateOf,
  TOLD,
} from "../../../storage/pool/pin_code.ts";
import { Pins } from "../../../storage/pool/pins.ts";
import {
  BUFFER,
  BUFFER_STATE,
  initPool,
  NO_BUFFER,
  POOL,
  poolBytes,
  PoolMemory,
  type PoolShape,
} from "../../../storage/pool/pool_memory.ts";
import { Prng } from "../../support/prng.ts";

const BACKEND = 5;
const BIT = 1 << BACKEND;
/** Where the pool is in the arena: not at its beginning. */
const OFFSET = 3 * PAGE_SIZE_BYTES;
const FILES = 3;

function shapeOf(pages: number): PoolShape {
  return { pages, pageBytes: 4096, fileCount: FILES, verifier: 0, owner: -1, serial: 1 };
}

/** The memory of a pool, without an Aio. */
function makePool(pages: number, offset = OFFSET): PoolMemory {
  const shape = shapeOf(pages);
  const run = { offset, bytes: poolBytes(shape) };
  const arenaBytes = offset + Math.ceil(run.bytes / PAGE_SIZE_BYTES) * PAGE_SIZE_BYTES;
  const control = createControl(effectiveOptions({ arenaBytes }), 0, 0);
  const arena = new Arena(control, createSharedMemory(arenaBytes, "a test"), 0, BACKEND, 1);
  initPool(arena, run, shape);
  return new PoolMemory(arena, run);
}

function codeOf(memory: PoolMemory): PinCode {
  return makePinCode(memory.places, memory.arena.wasmMemory);
}

/** Looks for a block, and takes the pin away that this may have brought. */
function look(
  memory: PoolMemory,
  code: PinCode,
  file: number,
  block: number,
  bit = BIT,
): number {
  const pinned = code.pin(file + 1, block, bit);
  if (pinned < 0) {
    assertEquals(pinned, NOT_FOUND);
    return NO_BUFFER;
  }
  const buffer = bufferOf(pinned);
  const at = memory.at(buffer);
  assertEquals(memory.words[at + BUFFER.pins], bit);
  assertEquals(stateOf(pinned), memory.words[at + BUFFER.state]);
  assertEquals(code.unpin(buffer, bit), 0);
  assertEquals(memory.words[at + BUFFER.pins], 0);
  return buffer;
}

for (const [pages, blocks] of [[16, 40], [64, 2 ** 31 - 1], [4096, 6000]] as const) {
  Deno.test(`pin() finds what find() does, in a pool of ${pages} pages`, () => {
    const memory = makePool(pages);
    const code = codeOf(memory);
    const random = new Prng();
    const used: [number, number][] = [];
    for (let step = 0; step < 4 * pages; step++) {
      const buffer = random.below(pages);
      const [file, block] = [random.below(FILES), random.below(blocks)];
      if (memory.words[memory.at(buffer) + BUFFER.file] !== 0) empty(memory, buffer);
      if (find(memory, file, block) === NO_BUFFER) {
        link(memory, buffer, file, block);
        memory.words[memory.at(buffer) + BUFFER.state] = random.below(16);
        used.push([file, block]);
      }
      const [other, otherBlock] = random.pick(used);
      for (const [f, b] of [[file, block], [other, otherBlock], [file, random.below(blocks)]]) {
        assertEquals(look(memory, code, f!, b!), find(memory, f!, b!), `seed ${random.seed}`);
      }
    }
  });
}

const LARGE = 4096;
const LARGE_BYTES = poolBytes(shapeOf(LARGE));

for (
  const [where, offset] of [
    ["across the middle of 4 GiB", 2 ** 31 - PAGE_SIZE_BYTES * 20],
    ["behind it", 2 ** 31],
    ["at the end of them", 2 ** 32 - LARGE_BYTES],
  ] as const
) {
  Deno.test(`pin() and unpin() are right in a pool ${where}, for the last backend`, () => {
    const bit = 1 << 31;
    const memory = makePool(LARGE, offset);
    const { words } = memory;
    const code = codeOf(memory);
    for (let buffer = 0; buffer < LARGE; buffer++) link(memory, buffer, 1, 3 * buffer);
    for (let block = 0; block < 3 * LARGE; block += 7) {
      const found = look(memory, code, 1, block, bit);
      assertEquals(found, block % 3 === 0 ? block / 3 : NO_BUFFER);
      assertEquals(found, find(memory, 1, block));
    }
    // Those who wait are found there, too.
    assertEquals(bufferOf(code.pin(2, 3 * (LARGE - 1), bit)), LARGE - 1);
    words[POOL.unpinnedWaiters] = bit;
    words[memory.at(LARGE - 1) + BUFFER.waiters] = 1;
    assertEquals(code.unpin(LARGE - 1, bit), TOLD.buffer | TOLD.unpinned);
    words[memory.at(7) + BUFFER.pins] = ~bit;
    assertEquals(code.unpin(7, bit), 0);
    assertEquals(words[memory.at(7) + BUFFER.pins], ~bit);
  });
}

Deno.test("pin() canary: a file whose buffer is linked by another hash is not found", () => {
  const memory = makePool(16);
  link(memory, 3, 1, 7);
  assertEquals(look(memory, codeOf(memory), 1, 7), 3);
  memory.words[memory.at(3) + BUFFER.block] = 8;
  assertEquals(look(memory, codeOf(memory), 1, 7), NO_BUFFER);
  assertEquals(look(memory, codeOf(memory), 1, 8), NO_BUFFER);
});

Deno.test("pin() comes out of a chain that leads in a circle", () => {
  const memory = makePool(16);
  link(memory, 3, 1, 7);
  const { words } = memory;
  words[memory.nextsAt + 3] = words[memory.bucketsAt + words[memory.at(3) + BUFFER.bucket]! - 1]!;
  words[memory.at(3) + BUFFER.block] = 8;
  assertEquals(look(memory, codeOf(memory), 1, 7), NO_BUFFER);
});

Deno.test("unpin() tells of those who wait for that buffer, or for any that is free", () => {
  const memory = makePool(16);
  const { words } = memory;
  const code = codeOf(memory);
  const at = memory.at(9);
  for (const others of [0, 1, 1 << 31]) {
    for (const waiters of [0, 1 << 31]) {
      for (const unpinned of [0, 1, 1 << 31]) {
        words[at + BUFFER.pins] = others | BIT;
        words[at + BUFFER.waiters] = waiters;
        words[POOL.unpinnedWaiters] = unpinned;
        const told = (waiters === 0 ? 0 : TOLD.buffer) |
          (unpinned === 0 || others !== 0 ? 0 : TOLD.unpinned);
        assertEquals(code.unpin(9, BIT), told);
        assertEquals(words[at + BUFFER.pins], others);
      }
    }
  }
});

const NO_BELLS = { ring: () => {} } as never;

Deno.test("tryPinBlock() keeps no pin of a buffer that has another block by then", () => {
  const memory = makePool(16);
  const pinsAt = memory.at(15) + BUFFER.pins;
  const code = codeOf(memory);
  const late: PinCode = {
    unpin: code.unpin,
    pin(_tag, _block, bit) {
      Atomics.or(memory.words, pinsAt, bit);
      return lostBuffer(15);
    },
  };
  const pins = new Pins(memory, BACKEND, NO_BELLS, late);
  assertEquals(pins.tryPinBlock(1, 7), lostBuffer(15));
  assertEquals([memory.words[pinsAt], pins.pinned], [0, 0]);
  // One that the thread has pinned already stays pinned.
  assertEquals(pins.tryOwn(15), true);
  assertEquals(pins.tryPinBlock(1, 7), lostBuffer(15));
  assertEquals([memory.words[pinsAt], pins.pinned], [BIT, 1]);
});

Deno.test("tryPinBlock() pins as often as it is called, and counts the state in", () => {
  const memory = makePool(16);
  link(memory, 15, 2, 7);
  memory.words[memory.at(15) + BUFFER.state] = BUFFER_STATE.valid | BUFFER_STATE.torn;
  const pins = new Pins(memory, BACKEND, NO_BELLS);
  for (let count = 1; count <= 2; count++) {
    const pinned = pins.tryPinBlock(2, 7);
    assertEquals([bufferOf(pinned), stateOf(pinned)], [15, 5]);
    assertEquals([pins.countOf(15), pins.pinned], [count, 1]);
  }
  pins.unpin(15);
  assertEquals(memory.words[memory.at(15) + BUFFER.pins], BIT);
  pins.unpin(15);
  assertEquals(memory.words[memory.at(15) + BUFFER.pins], 0);
});
