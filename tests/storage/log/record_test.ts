/**
 * record_test.ts: records in the log, as they are written into a ring, against a model that knows
 * neither rings nor steps; and read again, whole, damaged, cut off, at another place.
 *
 * @module
 */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { AioInvariantError } from "../../../core/mod.ts";
import {
  endOf,
  FRAGMENT_BYTES_MAX,
  HEAD_BYTES,
  KIND,
  type LogIdentity,
  startOf,
  voidEnd,
} from "../../../storage/log/record.ts";
import { FragmentReader, RecordAssembler } from "../../../storage/log/record_reader.ts";
import { RecordWriter, writeVoid } from "../../../storage/log/record_writer.ts";
import { type LogShape, modelFragment, ModelLog } from "../../support/log/log_model.ts";
import { drawPlace, FAR, type LogPlace } from "../../support/log/log_places.ts";
import { contentAt, type Prng, withPrng } from "../../support/prng.ts";

const KIB = 1024;
const IDENTITY: LogIdentity = [0xdecade, 0xfedcba98];

type Case = LogShape & LogPlace;

function drawCase(prng: Prng): Case {
  return { ...drawPlace(prng), identity: IDENTITY };
}

/** Sizes at which something changes, and any. */
function drawLength(prng: Prng, at: number, { segmentBytes, ringBytes }: Case): number {
  const rest = segmentBytes - at % segmentBytes;
  const border = prng.pick([0, 1, 7, 8, rest - HEAD_BYTES, FRAGMENT_BYTES_MAX, ringBytes, rest]);
  const near = border + prng.between(-40, 40);
  return Math.max(0, prng.pick([border, near, prng.below(300), prng.below(100 * KIB)]));
}

/** A ring with rubbish in it. */
function makeRing(prng: Prng, bytes: number): { readonly bytes: Uint8Array } {
  return { bytes: new Uint8Array(new SharedArrayBuffer(bytes)).fill(prng.between(1, 255)) };
}

/** Copies a part of the log out of the ring. */
function takeOut(ring: Uint8Array, from: number, to: number): Uint8Array<ArrayBuffer> {
  const taken = new Uint8Array(to - from);
  for (let i = 0; i < taken.length; i++) taken[i] = ring[(from + i) % ring.length]!;
  return taken;
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Reads all fragments; each must be valid. */
function* readAll(it: LogShape, bytes: Uint8Array, from: number): Generator<FragmentReader> {
  const reader = new FragmentReader(it.segmentBytes, it.identity);
  for (let at = from; at < from + bytes.length; at = reader.end) {
    assertEquals(reader.read(bytes, at - from, at, 1, 9), "valid", `at ${at}`);
    assertEquals([reader.position, reader.bytes], [at, bytes]);
    yield reader;
  }
}

/** The records that an assembler makes of all fragments. */
function assemble(it: LogShape, bytes: Uint8Array, from: number): [number, Uint8Array][] {
  const assembler = new RecordAssembler();
  const records: [number, Uint8Array][] = [];
  for (const fragment of readAll(it, bytes, from)) {
    if (assembler.push(fragment)) records.push([assembler.position, assembler.data]);
  }
  assertEquals(assembler.openAt, -1);
  return records;
}

Deno.test("startOf() skips the end of a segment that has no room for a head and 8 bytes", () => {
  const segmentBytes = 64 * KIB;
  for (const rest of [8, 16, 24]) assertEquals(startOf(segmentBytes - rest, segmentBytes), 65536);
  for (const rest of [32, 40]) assertEquals(startOf(65536 - rest, segmentBytes), 65536 - rest);
  for (const at of [0, 65536, FAR]) assertEquals(startOf(at, segmentBytes), at);
  assertEquals(startOf(FAR - 8, segmentBytes), FAR);
});

Deno.test("endOf() is where the model's records end", () =>
  withPrng((prng) => {
    for (let round = 0; round < 300; round++) {
      const it = drawCase(prng);
      const model = new ModelLog(it, it.from);
      const length = drawLength(prng, it.from, it);
      model.append(new Uint8Array(length), 1, 0);
      const context = `${length} bytes at ${it.from} in ${it.segmentBytes}`;
      assertEquals(endOf(it.from, length, it.segmentBytes), model.end, context);
    }
  }));

Deno.test("recordWriter.writeNext() writes what the model writes, a fragment at a time", () =>
  withPrng((prng) => {
    for (let round = 0; round < 40; round++) {
      const it = drawCase(prng);
      const ring = makeRing(prng, it.ringBytes);
      const writer = new RecordWriter(ring, it.segmentBytes, it.identity);
      const model = new ModelLog(it, it.from);
      const parts: Uint8Array[] = [];
      for (let record = 0; record < 12; record++) {
        const data = contentAt(prng.uint32(), 0, drawLength(prng, model.end, it));
        const durable = prng.pick([0, it.from, model.end]);
        writer.begin(model.append(data, record + 1, durable), data, record + 1);
        for (let isMore = true; isMore;) {
          const { position } = writer;
          const end = writer.nextEnd();
          assert(end - position <= it.ringBytes, "a ring holds any fragment");
          isMore = writer.writeNext(durable);
          assertEquals(writer.position, end);
          parts.push(takeOut(ring.bytes, position, end));
        }
        assertEquals(writer.position, model.end);
      }
      assertEquals(concat(parts), model.bytes());
    }
  }));

Deno.test("recordWriter.write() writes records that read as they were", () =>
  withPrng((prng) => {
    for (let round = 0; round < 40; round++) {
      const it = { ...drawCase(prng), ringBytes: 512 * KIB };
      const ring = makeRing(prng, it.ringBytes);
      const writer = new RecordWriter(ring, it.segmentBytes, it.identity);
      const written: [number, Uint8Array][] = [];
      let end = it.from;
      for (;;) {
        const data = contentAt(prng.uint32(), 0, drawLength(prng, end, it));
        const next = endOf(end, data.length, it.segmentBytes);
        if (next - it.from > it.ringBytes) break;
        written.push([end, data]);
        assertEquals(writer.write(end, data, 3, it.from), next);
        end = next;
      }
      const bytes = takeOut(ring.bytes, it.from, end);
      assertEquals(assemble(it, bytes, it.from), written);
      // The same at an odd place in memory, where no words can be read.
      const odd = new Uint8Array(bytes.length + 1).subarray(1);
      odd.set(bytes);
      assertEquals(assemble(it, odd, it.from), written);
      if (written.length === 0) continue;
      const reader = new FragmentReader(it.segmentBytes, it.identity);
      assertEquals(reader.read(concat([Uint8Array.of(1), bytes]), 1, it.from, 3, 3), "valid");
    }
  }));

Deno.test("recordWriter.write() writes over the end of the ring, wherever that is", () => {
  const it = { segmentBytes: 192 * KIB, identity: IDENTITY };
  const data = new Uint8Array(100).map((_, i) => i + 1);
  for (let before = 0; before <= 136; before += 8) {
    const ring = { bytes: new Uint8Array(64 * KIB).fill(99) };
    const position = 64 * KIB - before;
    const end = new RecordWriter(ring, it.segmentBytes, IDENTITY).write(position, data, 1, 8);
    const model = new ModelLog(it, position);
    model.append(data, 1, 8);
    assertEquals(takeOut(ring.bytes, position, end), model.bytes(), `${before} before the end`);
    assertEquals(ring.bytes[(position - 1) % ring.bytes.length], 99);
    assertEquals(ring.bytes[end % ring.bytes.length], 99);
  }
});

Deno.test("recordWriter.writeNext() without a record is refused", () => {
  const writer = new RecordWriter({ bytes: new Uint8Array(64 * KIB) }, 64 * KIB, IDENTITY);
  assertThrows(() => writer.writeNext(0), AioInvariantError);
  writer.write(0, new Uint8Array(8), 1, 0);
  assertThrows(() => writer.nextEnd(), AioInvariantError);
});

Deno.test("writeVoid() fills any range of a reservation exactly", () =>
  withPrng((prng) => {
    for (let round = 0; round < 200; round++) {
      const it = drawCase(prng);
      // A thread reserved one record or several, and wrote some of their fragments.
      const borders = [it.from];
      const model = new ModelLog(it, it.from);
      for (let record = 0; record < 3; record++) {
        model.append(new Uint8Array(drawLength(prng, model.end, it)), 1, 0);
      }
      for (const fragment of readAll(it, model.bytes(), it.from)) borders.push(fragment.end);
      const to = prng.pick(borders.slice(1));
      const from = prng.pick(borders.filter((border) => border < to));
      const ring = makeRing(prng, it.ringBytes);
      const parts: Uint8Array[] = [];
      for (let at = from; at < to;) {
        const end = voidEnd(at, to, it.segmentBytes);
        assert(end > at && end - at <= it.ringBytes, "a ring holds any void fragment");
        writeVoid(ring, it.segmentBytes, it.identity, 5, at, end, from);
        parts.push(takeOut(ring.bytes, at, end));
        at = end;
      }
      let end = from;
      for (const one of readAll(it, concat(parts), from)) {
        assertEquals([one.kind, one.opening, one.durable], [KIND.void, 5, from]);
        assert(one.bytes.subarray(one.dataAt, one.dataAt + one.length).every((it) => it === 0));
        end = one.end;
      }
      assertEquals(end, to);
      assertEquals(assemble(it, concat(parts), from), []);
    }
  }));

Deno.test("writeVoid() fills a range of several void fragments at once, if the ring has room", () => {
  const it = { segmentBytes: 128 * KIB, identity: IDENTITY };
  const ring = { bytes: new Uint8Array(256 * KIB).fill(7) };
  const from = 64 * KIB - 16;
  writeVoid(ring, it.segmentBytes, it.identity, 1, from, from + 200 * KIB);
  const ends = [...readAll(it, takeOut(ring.bytes, from, from + 200 * KIB), from)]
    .map((one) => one.end);
  assertEquals(ends.length, 5);
  assertEquals(ring.bytes[from - 1], 7);
  assertEquals(ring.bytes[(from + 200 * KIB) % ring.bytes.length], 7);
});

/** Where the sample is. */
const AT = 2 ** 41 + 128;
const SHAPE = { segmentBytes: 64 * KIB, identity: IDENTITY };
const TEXT = new TextEncoder().encode("durable text");
const SAMPLE = modelFragment(SHAPE, AT, TEXT, { kind: 1, opening: 4, durable: 2 ** 40 + 8 });

function readSample(bytes: Uint8Array, position = AT, identity = IDENTITY): string {
  return new FragmentReader(SHAPE.segmentBytes, identity).read(bytes, 0, position, 4, 4);
}

Deno.test("fragmentReader.read() gives what the head says", () => {
  const reader = new FragmentReader(SHAPE.segmentBytes, IDENTITY);
  const bytes = concat([new Uint8Array(8), SAMPLE]);
  assertEquals(reader.read(bytes, 8, AT, 1, 4), "valid");
  const { position, kind, length, opening, durable, end, dataAt } = reader;
  assertEquals([position, kind, length, opening], [AT, KIND.whole, TEXT.length, 4]);
  assertEquals([durable, end, dataAt], [2 ** 40 + 8, AT + SAMPLE.length, 8 + HEAD_BYTES]);
  assertEquals(bytes.subarray(dataAt, dataAt + length), TEXT);
});

Deno.test("fragmentReader.read() never takes a fragment with a bit flipped for whole", () => {
  for (let bit = 0; bit < 8 * SAMPLE.length; bit++) {
    const bytes = SAMPLE.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assert(["damaged", "cut off"].includes(readSample(bytes)), `bit ${bit}`);
  }
  assertEquals(readSample(SAMPLE), "valid");
});

Deno.test("fragmentReader.read() says that a fragment is cut off, wherever it is", () => {
  for (let length = 0; length < SAMPLE.length; length++) {
    assertEquals(readSample(SAMPLE.subarray(0, length)), "cut off", `${length} bytes`);
  }
});

Deno.test("fragmentReader.read() takes zeros for empty, also of a record of no bytes", () => {
  assertEquals(readSample(new Uint8Array(24)), "empty");
  assertEquals(readSample(new Uint8Array(16)), "cut off");
  const none = modelFragment(SHAPE, AT, new Uint8Array(), { kind: 1, opening: 4, durable: 0 });
  assertEquals([none.length, readSample(none)], [24, "valid"]);
});

Deno.test("fragmentReader.read() takes no fragment of another place or another log", () => {
  for (const position of [AT + 8, AT + SHAPE.segmentBytes, AT - 2 ** 32, AT + 2 ** 45]) {
    assertEquals(readSample(SAMPLE, position), "damaged");
  }
  const [one, two] = IDENTITY;
  const others: readonly LogIdentity[] = [[1, two], [one, 1], [two, one]];
  for (const identity of others) {
    assertEquals(readSample(SAMPLE, AT, identity), "damaged");
  }
});

Deno.test("fragmentReader.read() takes no fragment that crosses the end of its segment", () => {
  const long = (position: number, length: number, kind = 1) => {
    const head = { kind, opening: 4, durable: 0 };
    return readSample(modelFragment(SHAPE, position, new Uint8Array(length), head), position);
  };
  assertEquals([long(65536 - 32, 8), long(65536 - 32, 9)], ["valid", "damaged"]);
  // The rest of the segment is too short for any.
  assertEquals(long(65536 - 24, 0), "damaged");
  assertEquals([long(0, FRAGMENT_BYTES_MAX), long(0, 8, 0), long(0, 8, 6)], [
    "valid",
    "damaged",
    "damaged",
  ]);
});

Deno.test("fragmentReader.read() takes no fragment whose own place was durable before it", () => {
  const read = (durable: number) =>
    readSample(modelFragment(SHAPE, AT, TEXT, { kind: 1, opening: 4, durable }));
  assertEquals([read(AT), read(AT + 8)], ["valid", "damaged"]);
});

Deno.test("recordWriter.writeNext() refuses to write what is durable", () => {
  const writer = new RecordWriter({ bytes: new Uint8Array(64 * KIB) }, 64 * KIB, IDENTITY);
  assertThrows(() => writer.write(64, TEXT, 1, 72), AioInvariantError);
});

Deno.test("fragmentReader.read() says that an opening older or newer than possible is stale", () => {
  const reader = new FragmentReader(SHAPE.segmentBytes, IDENTITY);
  assertEquals(reader.read(SAMPLE, 0, AT, 4, 9), "valid");
  assertEquals(reader.read(SAMPLE, 0, AT, 5, 9), "stale");
  assertEquals(reader.read(SAMPLE, 0, AT, 1, 3), "stale");
});

/** Pushes made-up fragments, each of two bytes that are its place in the list. */
function pushAll(kinds: readonly (keyof typeof KIND)[], gapBefore = -1): string[] {
  const assembler = new RecordAssembler();
  const made: string[] = [];
  let position = 0;
  kinds.forEach((name, i) => {
    if (i === gapBefore) position += 64;
    const end = position + 32;
    const bytes = Uint8Array.of(9, i, i, 9);
    const fragment = { position, end, kind: KIND[name], length: 2, bytes, dataAt: 1 };
    if (assembler.push(fragment)) made.push(`${assembler.position}: ${assembler.data}`);
    position = end;
  });
  if (assembler.openAt >= 0) made.push(`open at ${assembler.openAt}`);
  return made;
}

Deno.test("recordAssembler.push() joins the fragments of a record", () => {
  assertEquals(pushAll(["whole", "first", "last", "first", "middle", "middle", "last", "whole"]), [
    "0: 0,0",
    "32: 1,1,2,2",
    "96: 3,3,4,4,5,5,6,6",
    "224: 7,7",
  ]);
});

Deno.test("recordAssembler.push() gives a view of one fragment and no copy", () => {
  const assembler = new RecordAssembler();
  const bytes = Uint8Array.of(0, 1, 2);
  const at = { position: 0, end: 32, kind: KIND.whole, length: 2, bytes, dataAt: 1 };
  assert(assembler.push(at));
  assertEquals([assembler.data.buffer === bytes.buffer, assembler.end], [true, 32]);
});

Deno.test("recordAssembler.push() gives data that later records leave alone", () => {
  const assembler = new RecordAssembler();
  const bytes = Uint8Array.of(1, 2);
  const push = (kind: keyof typeof KIND, position: number) =>
    assembler.push({ position, end: position + 32, kind: KIND[kind], length: 2, bytes, dataAt: 0 });
  push("first", 0);
  push("last", 32);
  const { data } = assembler;
  bytes.fill(7);
  push("first", 64);
  push("last", 96);
  assertEquals([[...data], [...assembler.data]], [[1, 2, 1, 2], [7, 7, 7, 7]]);
});

Deno.test("recordAssembler.push() drops a record whose end never came", () => {
  assertEquals(pushAll(["first", "void", "last", "whole"]), ["96: 3,3"]);
  assertEquals(pushAll(["first", "middle", "first", "last"]), ["64: 2,2,3,3"]);
  assertEquals(pushAll(["first", "whole", "last"]), ["32: 1,1"]);
  assertEquals(pushAll(["first", "middle", "last"], 1), []);
  assertEquals(pushAll(["whole", "first", "middle"]), ["0: 0,0", "open at 32"]);
});

Deno.test("recordAssembler.push() skips a record whose beginning it has not seen", () => {
  assertEquals(pushAll(["middle", "last", "first", "last"]), ["64: 2,2,3,3"]);
  assertEquals(pushAll(["last", "whole"]), ["32: 1,1"]);
});

Deno.test("log model canary: a difference in the seed changes the bytes", () => {
  const head = { kind: 1, opening: 4, durable: 2 ** 40 + 8 };
  assertNotEquals(modelFragment(SHAPE, AT + 8, TEXT, head), SAMPLE);
});
