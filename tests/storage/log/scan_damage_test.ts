/**
 * scan_damage_test.ts: what a scan takes for damage: every byte of a small log flipped or cut off,
 * segments missing, swapped, recycled, of another log.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { PIECE_BYTES_MAX } from "../../../storage/log/scan.ts";
import { diskWith, LogDisk, scanRecords, SHAPE } from "../../support/log/log_disk.ts";
import { ModelLog } from "../../support/log/log_model.ts";
import { contentAt, type Prng, withPrng } from "../../support/prng.ts";

const KIB = 1024;
const { segmentBytes: SEGMENT, identity: IDENTITY } = SHAPE;

const bytesOf = (length: number, seed: number) => contentAt(seed, 0, length);

/** A small log, and its newest opening. */
interface SmallLog {
  readonly model: ModelLog;
  readonly newestOpening: number;
  readonly newestFrom: number;
}

/** What must come of it if some fragments are not whole. */
function expectedOf(it: SmallLog, isBroken: (index: number) => boolean, cleanEnd: number | null) {
  const { model } = it;
  const broken = model.fragments.map((_, i) => isBroken(i));
  const first = broken.indexOf(true);
  const stop = first < 0 ? model.end : model.fragments[first]!.position;
  const isProven = model.fragments.some(({ durable }, i) => !broken[i] && durable > stop);
  const known = Math.max(it.newestFrom, cleanEnd ?? 0);
  const isDamage = first >= 0 && (isProven || stop < known);
  const ends = [...model.records.slice(1).map(({ position }) => position), model.end];
  return { stop, isDamage, records: model.records.filter((_, i) => ends[i]! <= stop) };
}

/** Checks a scan against that. @returns whether it was damage */
function checkScan(
  disk: LogDisk,
  log: SmallLog,
  cleanEnd: number | null,
  isBroken: (index: number) => boolean,
): boolean {
  const it = expectedOf(log, isBroken, cleanEnd);
  const { newestOpening, newestFrom, model: { from } } = log;
  const options = { from, cleanEnd, newestOpening, newestFrom, searchBytes: 2 * SEGMENT };
  const { result, records, damage } = scanRecords(disk, SHAPE, options);
  assertEquals(records, it.records);
  if (it.isDamage) {
    assert(damage !== null, "damage is found");
    const place = [Math.floor(it.stop / SEGMENT), it.stop % SEGMENT] as const;
    assertEquals([damage.position, damage.segment, damage.offset], [it.stop, ...place]);
    assertMatch(damage.message, new RegExp(`segment ${place[0]}, offset ${place[1]} \\(`));
  } else {
    assert(result !== null, `${damage}`);
    assertEquals(result.end, it.stop);
  }
  return it.isDamage;
}

/** A log of a few KiB over the end of a segment; its last batches were not flushed. */
function smallLog(prng: Prng): SmallLog {
  const model = new ModelLog(SHAPE, SEGMENT - 1200);
  let durable = model.from;
  let newestFrom = model.from;
  for (let batch = 0; batch < 5; batch++) {
    for (let record = 0; record < 3; record++) {
      const length = prng.pick([0, 5, 100, prng.below(300)]);
      model.append(bytesOf(length, prng.uint32()), batch < 2 ? 1 : 2, durable);
    }
    if (batch < 3) durable = model.end;
    if (batch === 1) newestFrom = model.end;
  }
  return { model, newestOpening: 2, newestFrom };
}

Deno.test("scan() of a log with a bit flipped, at every byte, is right or names the place", () =>
  withPrng((prng) => {
    const log = smallLog(prng);
    const { model } = log;
    const seen = new Set<boolean>();
    for (let at = model.from; at < model.end + 200; at++) {
      const disk = diskWith(model, 3);
      disk.flip(at, prng.below(8));
      const isBroken = (index: number) => {
        const { position, end } = model.fragments[index]!;
        return at >= position && at < end;
      };
      for (const cleanEnd of [null, model.end]) {
        seen.add(checkScan(disk, log, cleanEnd, isBroken));
      }
    }
    assertEquals(seen.size, 2, "both answers come up");
  }));

Deno.test("scan() of a log cut off, at every byte, is right or names the place", () =>
  withPrng((prng) => {
    const log = smallLog(prng);
    const { model } = log;
    const seen = new Set<boolean>();
    for (const segment of [0, 1]) {
      const from = Math.max(model.from, segment * SEGMENT);
      const to = Math.min(model.end + 200, (segment + 1) * SEGMENT);
      for (let at = from; at < to; at++) {
        const disk = diskWith(model, 3);
        disk.truncate(segment, at - segment * SEGMENT);
        const isBroken = (index: number) => {
          const { position, end } = model.fragments[index]!;
          return Math.floor(position / SEGMENT) === segment && end > at;
        };
        for (const cleanEnd of [null, model.end]) {
          seen.add(checkScan(disk, log, cleanEnd, isBroken));
        }
      }
    }
    assertEquals(seen.size, 2, "both answers come up");
  }));

Deno.test("scan() stopped before the place where the newest opening began is damage", () => {
  const model = new ModelLog(SHAPE);
  for (let i = 0; i < 4; i++) model.append(bytesOf(100, i), 1, 0);
  const newest = { newestOpening: 2, newestFrom: model.end };
  const disk = diskWith(model, 1);
  assertEquals(scanRecords(disk, SHAPE, newest).result?.end, model.end);
  const last = model.records.at(-1)!.position;
  disk.flip(last + 30, 0);
  assertEquals(
    scanRecords(disk, SHAPE, newest).damage?.message,
    `The log is damaged at segment 0, offset ${last} (torn or damaged): when opening 2 began, all ` +
      `before segment 0, offset ${model.end} was durable`,
  );
});

Deno.test("scan() takes no record of another log", () => {
  const model = new ModelLog({ ...SHAPE, identity: [IDENTITY[1], IDENTITY[0]] });
  model.append(bytesOf(100, 1), 1, 0);
  const { result, records } = scanRecords(diskWith(model, 1), SHAPE);
  assertEquals([result?.end, result?.stop, records], [0, "torn or damaged", []]);
});

Deno.test("scan() takes no record of the segment whose file was recycled", () => {
  const model = new ModelLog(SHAPE);
  while (model.end < SEGMENT) model.append(bytesOf(1000, 1), 1, 0);
  const disk = diskWith(model, 2);
  disk.segments[1] = disk.segments[0]!.slice();
  const { result, records } = scanRecords(disk, SHAPE);
  assertEquals([result?.end, result?.stop], [SEGMENT, "torn or damaged"]);
  assertEquals(records, model.records);
});

/** Four segments, each record written when all before it was durable. */
function durableLog(): ModelLog {
  const model = new ModelLog(SHAPE);
  while (model.end < 3.5 * SEGMENT) model.append(bytesOf(1000, model.end), 1, model.end);
  return model;
}

Deno.test("scan() finds segments swapped, or one missing, by what is behind them", () => {
  const model = durableLog();
  const faults: readonly ((disk: LogDisk) => void)[] = [
    ({ segments }) => [segments[1], segments[2]] = [segments[2]!, segments[1]!],
    (disk) => disk.truncate(1, 0),
    ({ segments }) => segments[1]!.fill(0),
    ({ segments }) => segments[1]!.fill(0xff),
  ];
  for (const fault of faults) {
    const disk = diskWith(model, 4);
    fault(disk);
    const { damage } = scanRecords(disk, SHAPE);
    assert(damage !== null);
    assert(damage.position <= SEGMENT && damage.position > SEGMENT - 1100);
  }
});

Deno.test("scan() finds a segment missing that is larger than what is searched", () => {
  const disk = diskWith(durableLog(), 4);
  disk.truncate(1, 0);
  const search = (segments: number[]) => scanRecords(disk, SHAPE, { searchBytes: 1024, segments });
  assertEquals(search([0]).result?.stop, "missing");
  assertMatch(search([0, 2, 3]).damage!.message, /segment 1, offset 0 \(missing\)/);
  // One that is made ahead, or used again, says nothing.
  disk.segments[3] = disk.segments[0]!.slice();
  disk.segments[2]!.fill(0);
  assertEquals(search([0, 2, 3]).result?.stop, "missing");
});

Deno.test("scan() takes a log for damaged whose newest opening is said to be an older one", () => {
  const disk = diskWith(durableLog(), 4);
  const { damage } = scanRecords(disk, SHAPE, { openingAtFrom: 0, newestOpening: 0 });
  assertMatch(damage?.message ?? "", /^The log is damaged at segment 0, offset 0 \(stale\)/);
});

Deno.test("scan() searches as far as it is told for what was durable", () => {
  const model = durableLog();
  const disk = diskWith(model, 4);
  const [from, witness] = [model.fragments[3]!.position, model.fragments.at(-1)!.position];
  disk.write(from, new Uint8Array(witness - from));
  const search = (searchBytes: number) => scanRecords(disk, SHAPE, { searchBytes });
  assertEquals(search(witness - from).result?.end, from);
  const { damage } = search(witness - from + 8);
  assertEquals(damage?.position, from);
  const place = `segment 3, offset ${witness % SEGMENT}`;
  assertEquals(
    damage?.message,
    `The log is damaged at segment 0, offset ${from} (empty): when the record at ${place} was ` +
      `written, all before ${place} was durable`,
  );
});

Deno.test("scan() finds the proof of damage wherever it lies in a piece", () => {
  const shape = { segmentBytes: 1024 * KIB, identity: IDENTITY };
  const data = bytesOf(5000, 1);
  for (let before = 0; before < 5100; before += 40) {
    const model = new ModelLog(shape, PIECE_BYTES_MAX - before);
    model.append(data, 1, 8);
    const disk = diskWith(model, 1, shape);
    assertEquals(scanRecords(disk, shape, { from: 0 }).damage?.position, 0, `${before} before`);
    const none = scanRecords(disk, shape, { from: 8 }).result;
    assertEquals([none?.end, none?.durable], [8, 0]);
  }
});

Deno.test("scan() takes what an earlier opening left for no proof of damage", () => {
  const disk = new LogDisk(SEGMENT, 1);
  const before = new ModelLog(SHAPE);
  for (let i = 0; i < 8; i++) before.append(bytesOf(488, i), 1, i < 4 ? 0 : 512);
  disk.write(0, before.bytes());
  disk.write(512, new Uint8Array(512));
  const { result } = scanRecords(disk, SHAPE, { newestOpening: 2, newestFrom: 512 });
  assertEquals([result?.end, result?.stop], [512, "empty"]);
});

Deno.test("scan() stopped before the place where the log was closed is damage", () => {
  const model = new ModelLog(SHAPE);
  for (let i = 0; i < 4; i++) model.append(bytesOf(100, i), 1, 0);
  const disk = diskWith(model, 1);
  const last = model.records.at(-1)!.position;
  assertEquals(scanRecords(disk, SHAPE, { cleanEnd: model.end }).result?.stop, "closed");
  disk.flip(last + 30, 0);
  assertEquals(scanRecords(disk, SHAPE).result?.end, last);
  assertEquals(
    scanRecords(disk, SHAPE, { cleanEnd: model.end }).damage?.message,
    `The log is damaged at segment 0, offset ${last} (torn or damaged): it was closed cleanly at ` +
      `segment 0, offset ${model.end}`,
  );
});
