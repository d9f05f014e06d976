/**
 * scan_test.ts: where a log ends, and what an earlier opening left there, crash after crash.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { HEAD_BYTES } from "../../../storage/log/record.ts";
import { RecordWriter } from "../../../storage/log/record_writer.ts";
import { type Canary, crashLog } from "../../support/log/log_crashes.ts";
import { diskWith, LogDisk, scanRecords, SHAPE } from "../../support/log/log_disk.ts";
import { ModelLog, type ModelRecord } from "../../support/log/log_model.ts";
import { contentAt, testSeed, withPrng } from "../../support/prng.ts";

const KIB = 1024;
const { segmentBytes: SEGMENT, identity: IDENTITY } = SHAPE;

const bytesOf = (length: number, seed: number) => contentAt(seed, 0, length);

Deno.test("scan() of a log that nothing was written to ends where it begins", () => {
  const { result, records } = scanRecords(new LogDisk(SEGMENT, 1), SHAPE, {
    openingAtFrom: 3,
    newestOpening: 4,
  });
  assertEquals(records, []);
  assertEquals(result, {
    end: 0,
    segment: 0,
    offset: 0,
    stop: "empty",
    opening: 3,
    durable: 0,
    unfinished: null,
  });
});

Deno.test("scan() visits every fragment, over the ends of pieces and segments", () =>
  withPrng((prng) => {
    for (let round = 0; round < 12; round++) {
      const shape = { segmentBytes: prng.pick([64, 192, 1024]) * KIB, identity: IDENTITY };
      const from = prng.pick([0, shape.segmentBytes - 8 * prng.between(4, 600)]);
      const model = new ModelLog(shape, from);
      let durable = 0;
      while (model.end - from < 1024 * KIB) {
        const length = prng.pick([0, 1, 8, prng.below(300), prng.below(200 * KIB)]);
        if (prng.chance(1, 4)) durable = model.end;
        model.append(bytesOf(length, prng.uint32()), 2, prng.chance(1, 4) ? 0 : durable);
      }
      durable = Math.max(...model.fragments.map((one) => one.durable));
      const disk = diskWith(model, 2 + Math.ceil(model.end / shape.segmentBytes), shape);
      const { result, records } = scanRecords(disk, shape, { from, newestOpening: 2 });
      assert(result !== null);
      assertEquals(records, model.records);
      const { end, stop, opening } = result;
      assertEquals([end, stop, opening, result.durable], [model.end, "empty", 2, durable]);
      assertEquals(result.segment * shape.segmentBytes + result.offset, end);
    }
  }));

Deno.test("scan() says why it stopped", () => {
  const model = new ModelLog(SHAPE);
  model.append(bytesOf(100, 1), 5, 0);
  const stopOf = (change: (disk: LogDisk) => void, cleanEnd: number | null = null) => {
    const disk = diskWith(model, 1);
    change(disk);
    return scanRecords(disk, SHAPE, { cleanEnd, newestOpening: 5 }).result?.stop;
  };
  assertEquals(stopOf(() => {}), "empty");
  assertEquals(stopOf((disk) => disk.flip(model.end + 3, 1)), "torn or damaged");
  assertEquals(stopOf((disk) => disk.flip(40, 1)), "torn or damaged");
  assertEquals(stopOf((disk) => disk.truncate(0, model.end)), "missing");
  assertEquals(stopOf((disk) => disk.truncate(0, 60)), "missing");
  assertEquals(stopOf((disk) => disk.truncate(0, 0)), "missing");
  assertEquals(stopOf(() => {}, model.end), "closed");
  const end = { until: model.end, newestOpening: 5 };
  assertEquals(scanRecords(diskWith(model, 1), SHAPE, end).result?.stop, "until");
  assertEquals(scanRecords(diskWith(model, 1), SHAPE, { newestOpening: 4 }).result?.stop, "stale");
  assertEquals(scanRecords(diskWith(model, 1), SHAPE, { newestOpening: 6 }).result?.stop, "stale");
});

Deno.test("scan() goes no further than until", () => {
  const model = new ModelLog(SHAPE);
  for (let i = 0; i < 4; i++) model.append(bytesOf(100, i), 1, 0);
  const until = model.records[2]!.position;
  const { records, result } = scanRecords(diskWith(model, 1), SHAPE, { until });
  assertEquals([records, result?.end], [model.records.slice(0, 2), until]);
});

/** What the second of two crashes leaves; each record fills a sector. */
function crashTwice(second: number): { found: readonly ModelRecord[]; stop: string | undefined } {
  const data = (seed: number) => bytesOf(512 - HEAD_BYTES, seed);
  const before = new ModelLog(SHAPE);
  for (const seed of [1, 2, 3]) before.append(data(seed), 1, 0);
  const disk = diskWith(before, 1);
  // The first crash tears the second record, not the third.
  disk.write(512, new Uint8Array(512));
  const first = scanRecords(disk, SHAPE);
  assertEquals([first.result?.end, first.records.length], [512, 1]);
  const after = new ModelLog(SHAPE, 512);
  after.append(data(4), second, 512);
  disk.write(512, after.bytes());
  const { records, result } = scanRecords(disk, SHAPE, {
    newestOpening: second,
    newestFrom: 512,
  });
  assertEquals(records.slice(0, 2), [before.records[0], after.records[0]]);
  return { found: records, stop: result?.stop };
}

Deno.test("scan() stops before what an earlier opening left behind a later one's record", () => {
  const { found, stop } = crashTwice(2);
  assertEquals([found.length, stop], [2, "stale"]);
});

Deno.test("scan() canary: without the number of the opening, a record comes back", () => {
  assertEquals(crashTwice(1).found.length, 3);
});

/** A record of opening 1 that a crash tears, and one of opening 2 whose second sector is equal. */
function resurrect(newestFrom: number): number {
  const alike = (seed: number) => new Uint8Array(512 + 200).fill(1).fill(seed, 0, 8);
  const [one, two] = [2, 3].map((seed, opening) => {
    const model = new ModelLog(SHAPE);
    model.append(alike(seed), opening + 1, 0);
    return model.bytes();
  });
  const disk = new LogDisk(SEGMENT, 1);
  disk.write(0, one!.subarray(0, 512));
  assertEquals(scanRecords(disk, SHAPE).result?.end, 0);
  disk.write(512, two!.subarray(512));
  return scanRecords(disk, SHAPE, { newestOpening: 2, newestFrom, until: 744 }).records.length;
}

Deno.test("scan() takes no record that an earlier opening tore and a later one made whole", () => {
  assertEquals(resurrect(0), 0);
});

Deno.test("scan() canary: told a later place of the opening, it takes that record", () => {
  assertEquals(resurrect(744), 1);
});

Deno.test("scan() begins with the next segment where the rest of one is too short", () => {
  const model = new ModelLog(SHAPE, SEGMENT);
  model.append(bytesOf(100, 1), 1, 0);
  const { records, result } = scanRecords(diskWith(model, 2), SHAPE, { from: SEGMENT - 24 });
  assertEquals([records, result?.end], [model.records, model.end]);
});

Deno.test("scan() loses and invents nothing in crash after crash", () =>
  withPrng((prng) => {
    for (let round = 0; round < 400; round++) assertEquals(crashLog(prng), null);
  }));

for (
  const [canary, fault] of [
    ["no number of the opening", "invented"],
    ["acknowledged before the flush", "lost"],
  ] as readonly (readonly [Canary, string])[]
) {
  Deno.test(`scan() canary: a log is found out in a few crashes: ${canary}`, () =>
    withPrng((prng) => {
      for (let round = 0; round < 2000; round++) if (crashLog(prng, canary) === fault) return;
      throw new Error("Nothing was found");
    }));
}

Deno.test("scan() leaves an unfinished record at the end, and the next opening's are read", () => {
  const model = new ModelLog(SHAPE);
  model.append(bytesOf(50, 1), 1, 0);
  const unfinished = model.end;
  model.addFragment(2, bytesOf(80, 2), 1, 0);
  model.addFragment(3, bytesOf(80, 3), 1, 0);
  const { result } = scanRecords(diskWith(model, 1), SHAPE);
  assertEquals([result?.end, result?.unfinished], [model.end, unfinished]);
  const newest = { newestOpening: 2, newestFrom: model.end };
  model.append(bytesOf(50, 4), 2, 0);
  const next = scanRecords(diskWith(model, 1), SHAPE, newest);
  assertEquals(next.records, model.records);
  assertEquals([next.result?.opening, next.result?.unfinished], [2, null]);
});

Deno.test("scan() goes on over voids", () => {
  const model = new ModelLog(SHAPE);
  model.append(bytesOf(50, 1), 1, 0);
  model.addFragment(2, bytesOf(80, 2), 1, 0);
  model.addFragment(5, new Uint8Array(800), 1, 0);
  model.append(bytesOf(50, 3), 1, 0);
  const { records, result } = scanRecords(diskWith(model, 1), SHAPE);
  assertEquals([records, result?.unfinished], [model.records, null]);
});

Deno.test("scan() of what a RecordWriter wrote at the greatest positions", () => {
  const from = SEGMENT * Math.floor((2 ** 53 - 2 ** 20) / SEGMENT) + SEGMENT - 1024;
  const ring = { bytes: new Uint8Array(2 * SEGMENT) };
  const writer = new RecordWriter(ring, SEGMENT, IDENTITY);
  const data = bytesOf(3000, testSeed());
  const end = writer.write(from, data, 1, from);
  const source = {
    read: (position: number, bytes: number) =>
      Uint8Array.from({ length: bytes }, (_, i) => ring.bytes[(position + i) % (2 * SEGMENT)]!),
  };
  const { records, result } = scanRecords(source, SHAPE, { from });
  assertEquals([records, result?.end], [[{ position: from, data }], end]);
});
