/**
 * insert_code_test.ts: the code that inserts plain records, beside what JavaScript does: any place
 * in segment and ring, any length, and all that must keep it from inserting.
 *
 * @module
 */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { type Arena, positions } from "../../../core/inside_layers.ts";
import { type InsertCode, makeInsertCode } from "../../../storage/log/insert_code.ts";
import {
  FIGURE,
  initLog,
  INSERTING,
  LOG,
  logBytes,
  LogMemory,
  PLACE,
} from "../../../storage/log/log_memory.ts";
import {
  CrcSeed,
  FRAGMENT_BYTES_MAX,
  fragmentBytes,
  HEAD_BYTES,
  KIND,
  plainEndOf,
  segmentEndOf,
  startOf,
} from "../../../storage/log/record.ts";
import { RecordWriter } from "../../../storage/log/record_writer.ts";
import { recordOf, recordsOf, testLog } from "../../support/log/log_fixture.ts";
import { drawPlace } from "../../support/log/log_places.ts";
import { type Prng, withPrng } from "../../support/prng.ts";

const PAGE_BYTES = 65_536;
const BACKEND = 3;
const THREAD_ID = 77;
const OTHER_THREAD = 78;
const OPENING = 0x89abcdef | 0;

/** A log in memory of its own. */
interface Case {
  readonly memory: LogMemory;
  readonly code: InsertCode;
  readonly placeAt: number;
}

function drawCase(prng: Prng): Case {
  const { segmentBytes, ringBytes, from: end } = drawPlace(prng);
  const offset = PAGE_BYTES * prng.between(1, 3);
  const pages = Math.ceil((offset + logBytes(ringBytes, 512)) / PAGE_BYTES);
  const wasmMemory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const arena: Arena = Object.create({
    buffer: wasmMemory.buffer,
    wasmMemory,
    threadId: THREAD_ID,
    isThreadAlive: () => true,
  });
  const run = { offset, bytes: 0 };
  initLog(arena, run, {
    ringBytes,
    segmentBytes,
    blockBytes: 512,
    identity: [prng.uint32() | 0, prng.uint32() | 0],
    opening: OPENING,
    flags: 0,
    start: 0,
    end,
    prepared: 0,
    user: BACKEND,
    serial: 1,
  });
  const memory = new LogMemory(arena, run);
  const code = makeInsertCode(memory, BACKEND);
  assert(code !== null, "this machine has no such vectors");
  return { memory, code, placeAt: memory.placeOf(BACKEND) };
}

function drawLength(prng: Prng): number {
  const border = prng.pick([0, 8, 256, 512, 4096, FRAGMENT_BYTES_MAX - 20]);
  return Math.max(0, prng.pick([border + prng.between(-20, 20), prng.below(1000)]));
}

/** The end of the log, or a place from where the record reaches a border, or nearly. */
function drawPosition(prng: Prng, { inserted, ring, segmentBytes }: LogMemory, bytes: number) {
  const unit = prng.pick([ring.length, segmentBytes]);
  const border = (1 + Math.floor(inserted / unit)) * unit;
  const near = border - bytes + 8 * prng.between(-5, 5);
  return startOf(prng.pick([inserted, Math.max(inserted, near)]), segmentBytes);
}

/** Inserts a record at the end. @returns whether the code did */
function tryInsert({ memory, code, placeAt }: Case, data: Uint8Array, roomEnd: number): boolean {
  const { words, ring, figures, inserted, identity, segmentBytes } = memory;
  const { length } = data;
  const before = words.slice();
  const position = code.reserve(length, roomEnd);
  assertEquals(words[LOG.insertLock], 0);
  if (position < 0) {
    assertEquals(words.slice(), before);
    return false;
  }
  const end = inserted + fragmentBytes(length);
  assertEquals([position, memory.inserted], [inserted, end]);
  assertEquals([words[placeAt + PLACE.state], words[LOG.reserving]], [INSERTING.record, 0]);
  const place = [PLACE.from, PLACE.to, PLACE.done];
  assertEquals(place.map((at) => positions.positionAt(words, placeAt + at)), [
    position,
    end,
    position,
  ]);
  const at = position % ring.length;
  const expected = ring.slice();
  const durable = Math.floor(position / 16) * 8;
  const seed = new CrcSeed(identity);
  const [low, high] = [durable | 0, (durable / 2 ** 32) | 0];
  ring.set(data, at + HEAD_BYTES);
  const sum = seed.crc(position, length, OPENING, KIND.whole, low, high);
  assertEquals(code.finish(at, length, sum, low, high), words[LOG.insertionWaiters]);
  new RecordWriter({ bytes: expected }, segmentBytes, identity)
    .write(position, data, OPENING, durable);
  assertEquals(ring.slice(), expected);
  assertEquals(words[placeAt + PLACE.state], INSERTING.nothing);
  const records = FIGURE.backends + BACKEND * FIGURE.line + FIGURE.records;
  assert(figures[records]! > 0);
  figures[records] = 0;
  assertEquals(figures.every((one) => one === 0), true);
  return true;
}

Deno.test("insertCode inserts what the record writer writes, wherever that is plain", () =>
  withPrng((prng) => {
    let inserted = 0;
    for (let round = 0; round < 20; round++) {
      const it = drawCase(prng);
      const { memory } = it;
      const { ring, words, segmentBytes } = memory;
      ring.set(prng.bytes(ring.length));
      for (let record = 0; record < 30; record++) {
        const data = prng.bytes(drawLength(prng));
        const position = drawPosition(prng, memory, fragmentBytes(data.length));
        positions.setPosition(words, LOG.inserted, position);
        const end = position + fragmentBytes(data.length);
        const roomEnd = end + prng.pick([-8, 0, 8, 10_000]);
        const isPlain = roomEnd >= end &&
          end === plainEndOf(position, data.length, segmentEndOf(position, segmentBytes)) &&
          end <= position - position % ring.length + ring.length;
        words[LOG.insertionWaiters] = prng.pick([0, 1, 1 << 31]);
        assertEquals(tryInsert(it, data, Math.max(0, roomEnd)), isPlain, `${position}`);
        if (isPlain) inserted++;
      }
    }
    assert(inserted > 50, `only ${inserted} were plain`);
  }));

Deno.test("insertCode leaves alone what is not for it, and changes nothing", () =>
  withPrng((prng) => {
    const it = drawCase(prng);
    const { code, placeAt, memory: { words, inserted, segmentBytes } } = it;
    positions.setPosition(words, LOG.inserted, inserted - inserted % segmentBytes);
    const obstacles = [
      [LOG.insertLock, OTHER_THREAD],
      [LOG.insertLock, THREAD_ID],
      [LOG.reserving, 5],
      [placeAt + PLACE.state, INSERTING.record],
      [placeAt + PLACE.state, INSERTING.void],
    ] as const;
    for (const [at, value] of obstacles) {
      words[at] = value;
      const before = words.slice();
      assertEquals(code.reserve(10, inserted + 10_000), -1);
      assertEquals(words.slice(), before);
      words[at] = 0;
    }
    assertNotEquals(code.reserve(10, inserted + 10_000), -1);
  }));

testLog(
  "the log has what was written before there is code for it, and after",
  ({ log }) =>
    withPrng(async (prng) => {
      const written: Uint8Array[] = [];
      const placed: number[] = [];
      for (let i = 0; i < 1500; i++) {
        const record = recordOf(i, prng.pick([0, 1, 255, 256, prng.below(600), prng.below(9000)]));
        if (i % 20 === 0) await log.flush();
        placed.push(log.write(record));
        written.push(record);
      }
      await log.flush();
      assertEquals(log.stats().records, written.length);
      assertEquals(await recordsOf(log), { positions: placed, records: written });
    }),
);

testLog("the log goes without the code where it cannot be made", async ({ log }) => {
  const { validate } = WebAssembly;
  let asked = 0;
  WebAssembly.validate = () => {
    asked++;
    throw new RangeError("there is no memory");
  };
  try {
    const written = Array.from({ length: 600 }, (_, i) => recordOf(i, 100));
    for (const record of written) log.write(record);
    await log.flush();
    assertEquals((await recordsOf(log)).records, written);
    assertEquals(asked, 1);
  } finally {
    WebAssembly.validate = validate;
  }
});
