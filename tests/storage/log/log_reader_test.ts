/**
 * log_reader_test.ts: `log.read()` of more than fits into one read: through read streams, which
 * others must not notice, and which leave nothing behind, however reading ends.
 */

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, Log, LogRecord } from "../../../mod.ts";
import { segmentPath } from "../../../storage/log/segment_names.ts";
import {
  isPrepared,
  type LogFixture,
  recordOf,
  recordsOf,
  testLog,
} from "../../support/log/log_fixture.ts";
import { until } from "../../support/patience.ts";

/** A stream pays from a quarter of that on. */
const SEGMENT_BYTES = 1024 * 1024;
const RECORD_BYTES = 20_000;
/** They fill three segments and some of a fourth. */
const COUNT = 170;

function freeBytes(aio: Aio): number {
  return backendOf(aio).arena.freeBytes;
}

/** Appends records that tell their numbers. @returns their positions */
async function fill(log: Log, count: number, from = 0): Promise<number[]> {
  const positions: number[] = [];
  for (let i = 0; i < count; i++) positions.push(await log.append(numbered(from + i)));
  return positions;
}

function numbered(number: number): Uint8Array {
  return recordOf(number, RECORD_BYTES + number % 7);
}

function checkRecord({ data }: LogRecord, number: number): void {
  assertEquals(data, numbered(number), `record ${number}`);
}

function testReader(
  name: string,
  use: (fixture: LogFixture, positions: readonly number[]) => Promise<void>,
  options: { readonly direct?: boolean } = {},
): void {
  testLog(name, async (fixture) => {
    const free = freeBytes(fixture.aio);
    const { aio, log } = fixture;
    const isMade = () => isPrepared(aio, log);
    const positions = await fill(log, COUNT);
    await until(isMade, "the next segment is made");
    await use(fixture, positions);
    if (log.isClosed) return;
    // The streams of whoever reads no more have given their memory back.
    await until(isMade, "the next segment is made");
    assertEquals(freeBytes(aio), free);
  }, { segmentBytes: SEGMENT_BYTES, ...options });
}

for (const direct of [false, true]) {
  const way = direct ? ", direct" : "";

  testReader(`log.read() has memory while it reads, and all records${way}`, async (
    { log, aio },
    positions,
  ) => {
    const free = freeBytes(aio);
    let number = 0;
    for await (const record of log.read()) {
      if (number === 10) assert(freeBytes(aio) < free, "no stream");
      assertEquals(record.position, positions[number]);
      checkRecord(record, number++);
    }
    assertEquals(number, COUNT);
  }, { direct });

  testReader(`log.read() reads from and until any record${way}`, async ({ log }, positions) => {
    for (let first = 0; first < COUNT; first += 23) {
      for (const last of [first, first + 1, first + 40, COUNT]) {
        const until = positions[last] ?? log.end;
        const found = await recordsOf(log, { from: positions[first]!, until });
        assertEquals(found.positions, positions.slice(first, last));
        for (const [i, data] of found.records.entries()) {
          checkRecord({ data, position: 0 }, first + i);
        }
      }
    }
  }, { direct });

  testReader(`log.read() follows through what is there to what others append${way}`, async (
    { log },
  ) => {
    const appended = fill(log, COUNT, COUNT);
    let number = 0;
    for await (const record of log.read({ follow: true })) {
      assert(record.position + record.data.length < log.flushed, "not durable yet");
      checkRecord(record, number++);
      if (number === 2 * COUNT) break;
    }
    await appended;
  }, { direct });
}

testReader("log.read() that is left early has nothing in flight", async ({ log, aio }) => {
  const free = freeBytes(aio);
  for (const count of [1, 7, 60]) {
    let left = count;
    for await (const _ of log.read({ follow: true })) {
      if (--left === 0) break;
    }
    assertEquals(aio.ios(), []);
    assertEquals(freeBytes(aio), free);
  }
});

testReader("log.read() ends by its signal between two records", async ({ log, aio }) => {
  const free = freeBytes(aio);
  const end = new AbortController();
  const reading = log.read({ signal: end.signal });
  for (let number = 0; number < 5; number++) checkRecord((await reading.next()).value!, number);
  const reason = new Error("enough");
  end.abort(reason);
  assertStrictEquals(await assertRejects(() => reading.next()), reason);
  assertEquals((await reading.next()).done, true);
  assertEquals(freeBytes(aio), free);
});

testReader("log.read() gets on without memory, and append() as well", async ({ log, aio }) => {
  const { arena } = backendOf(aio);
  const taken: Uint8Array[] = [];
  // All but a page or two.
  for (let bytes = 512 * 1024; bytes >= 4096; bytes /= 2) {
    for (let view; arena.freeBytes > bytes + 8192 && (view = arena.tryTake(bytes, "user"));) {
      taken.push(view);
    }
  }
  const free = arena.freeBytes;
  const appended = fill(log, 60, COUNT);
  let number = 0;
  for await (const record of log.read()) {
    checkRecord(record, number++);
  }
  await appended;
  assertEquals(number, COUNT);
  await until(() => arena.freeBytes === free, "all is given back");
  for (const view of taken) arena.giveBack(view);
});

testReader("log.read() by many at once leaves room for append()", async ({ log, aio }) => {
  const { arena } = backendOf(aio);
  const readers = Array.from({ length: 8 }, () => log.read({ follow: true }));
  for (let number = 0; number < 2 * COUNT; number++) {
    for (const reader of readers) checkRecord((await reader.next()).value!, number);
    if (number === 20) {
      // They are paused in the middle of what they have read ahead.
      assert(arena.freeBytes >= arena.bytes / 8, `${arena.freeBytes} bytes are free`);
      await fill(log, COUNT / 2, COUNT);
      for (let i = 0; i < COUNT / 2; i++) log.appendSync(numbered(COUNT + COUNT / 2 + i));
    }
  }
  for (const reader of readers) await reader.return();
});

for (const count of [1, 30, 60]) {
  testReader(`log.read() does not go on in files that were given up, ${count} records on`, async (
    { log },
    positions,
  ) => {
    const reading = log.read();
    for (let number = 0; number < count; number++) {
      checkRecord((await reading.next()).value!, number);
    }
    // The files that it has open and reads ahead in get other records, behind the end.
    await log.truncateBefore(positions.at(-1)!);
    await fill(log, COUNT, COUNT);
    let number = count;
    const error = await assertRejects(async () => {
      for await (const record of reading) checkRecord(record, number++);
    }, Deno.errors.NotFound);
    assert(error.message.includes(`it begins at ${log.start}`), error.message);
    assert(number < COUNT - 1, `${number} records`);
  });
}

testReader("log.close() ends what reads: pending and later calls reject", async ({ log, aio }) => {
  const paused = log.read();
  for (let number = 0; number < 5; number++) await paused.next();
  const following = log.read({ from: log.flushed, follow: true });
  const pending = assertRejects(() => following.next(), Deno.errors.BadResource, "was closed");
  const fresh = log.read();
  await log.close();
  await pending;
  await assertRejects(() => paused.next(), Deno.errors.BadResource, "was closed");
  assertEquals((await paused.next()).done, true);
  await assertRejects(() => fresh.next(), Deno.errors.BadResource, "was closed");
  assertEquals(aio.ios(), []);
});

testReader("log.read() says where a file that it reads ahead in is too short", async (
  { log, directory },
  positions,
) => {
  const path = segmentPath(directory, 1);
  await Deno.truncate(path, SEGMENT_BYTES / 2);
  let number = 0;
  const error = await assertRejects(async () => {
    for await (const record of log.read()) checkRecord(record, number++);
  }, Deno.errors.InvalidData);
  assert(error.message.includes("its file is too short"), error.message);
  assert(error.message.includes(path), error.message);
  const last = positions.findLastIndex((position) => position < SEGMENT_BYTES);
  assert(number > last, `${number} records`);
});
