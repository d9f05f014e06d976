/** log_test.ts: what is appended to a log can be read, in order, also when it was reopened. */

import { setImmediate } from "node:timers";
import { assert, assertEquals, assertObjectMatch, assertRejects, assertThrows } from "@std/assert";
import { type Backend, backendOf, layersOf, wakeWord } from "../../../core/inside.ts";
import { setLayersOf } from "../../../core/life/made_layers.ts";
import type { Aio, Log } from "../../../mod.ts";
import { setPosition } from "../../../core/memory/position.ts";
import { attachLog } from "../../../storage/log/open_log.ts";
import { logLayer } from "../../../storage/log/log_layer.ts";
import { INSERTING, LOG, LogMemory, PLACE } from "../../../storage/log/log_memory.ts";
import {
  BUFFER_BYTES,
  recordOf,
  recordsOf,
  SEGMENT_BYTES,
  testLog,
} from "../../support/log/log_fixture.ts";
import { until } from "../../support/patience.ts";

/** Sizes around everything there is: heads, fragments, segments, the buffer. */
const SIZES = [0, 1, 7, 8, 9, 255, 4096, 65_000, 65_512, 0, 30_000, 3, SEGMENT_BYTES, 1];

const ALL = SIZES.map((bytes, number) => recordOf(number, bytes));

async function checkAll(log: Log, positions: readonly number[]): Promise<void> {
  const found = await recordsOf(log);
  assertEquals(found.positions, positions);
  for (const [i, record] of found.records.entries()) assertEquals(record, ALL[i], `record ${i}`);
}

for (const sync of ["dsync", "fdatasync"] as const) {
  for (const direct of [false, true]) {
    const way = `${sync}${direct ? ", direct" : ""}`;
    testLog(`log.append() keeps records of any size over a reopening, ${way}`, async (fixture) => {
      assertEquals(fixture.log.recovery, { end: 0, stop: "missing" });
      const positions: number[] = [];
      for (const record of ALL) positions.push(await fixture.log.append(record));
      assertEquals(positions, positions.toSorted((a, b) => a - b));
      await checkAll(fixture.log, positions);
      await fixture.log.close();
      await using again = await fixture.open();
      assertEquals(again.recovery, { end: fixture.log.end, stop: "closed" });
      await checkAll(again, positions);
    }, { sync, direct });
  }
}

testLog(
  "log.append() of many tasks keeps all records in the order of positions",
  async ({ log }) => {
    const tasks = Array.from({ length: 20 }, async (_, task) => {
      const positions: number[] = [];
      for (let i = 0; i < 30; i++) positions.push(await log.append(recordOf(task, 100 + i)));
      return positions;
    });
    const told = await Promise.all(tasks);
    const { positions, records } = await recordsOf(log);
    assertEquals(positions, told.flat().sort((a, b) => a - b));
    for (const [task, mine] of told.entries()) {
      for (const [i, position] of mine.entries()) {
        assertEquals(records[positions.indexOf(position)], recordOf(task, 100 + i));
      }
    }
    // Whoever came while a flush was under way shared the next one.
    const stats = log.stats();
    assert(stats.flushes < 600, `${stats.flushes} flushes`);
    assertEquals([stats.records, stats.recordsPerFlush], [600, 600 / stats.flushes]);
    assert(stats.bytes >= log.end);
  },
);

testLog("log.append() of a list is one flush, and tells each position", async ({ log }) => {
  const positions = await log.append(ALL);
  await checkAll(log, positions);
  assertEquals(await log.append([]), []);
});

testLog("log.appendSync() and flushSync() do the same at once", async ({ log }) => {
  const positions = [log.appendSync(ALL[0]!), ...log.appendSync(ALL.slice(1))];
  assertEquals(log.flushed, log.end);
  await checkAll(log, positions);
  const position = log.write(recordOf(1, 10));
  log.flushSync(position);
  assert(log.flushed > position);
});

/** As another thread that has taken a place and not copied its record yet. @returns does so */
function insertThere(aio: Aio, log: Log): () => void {
  const { arena, doorbells, id } = backendOf(aio);
  const memory = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  const { words, insertion } = memory;
  const stateAt = memory.placeOf(id + 1) + PLACE.state;
  Atomics.store(words, stateAt, INSERTING.record);
  return () => {
    Atomics.store(words, stateAt, INSERTING.nothing);
    Atomics.add(words, insertion.index, 1);
    wakeWord(doorbells, insertion);
  };
}

testLog("log.appendSync() is refused while this thread awaits a flush", async ({ log, aio }) => {
  const inserted = insertThere(aio, log);
  const appended = log.append(recordOf(1, 10));
  for (let turn = 0; turn < 50; turn++) await null;
  assertThrows(() => log.appendSync(recordOf(2, 10)), Deno.errors.Busy, "awaits a flush of it");
  assertThrows(() => log.flushSync(), Deno.errors.Busy, "awaits a flush of it");
  assertEquals(log.flushed, 0);
  inserted();
  await appended;
  log.appendSync(recordOf(2, 10));
  assertEquals((await recordsOf(log)).records, [recordOf(1, 10), recordOf(2, 10)]);
});

testLog("log.appendSync() is refused while this thread awaits another log", async (fixture) => {
  const { aio, log, directory } = fixture;
  await using other = await aio.openLog(`${directory}-other`, {
    segmentBytes: SEGMENT_BYTES,
    bufferBytes: BUFFER_BYTES,
  });
  const inserted = insertThere(aio, other);
  const appended = other.append(recordOf(1, 10));
  for (let turn = 0; turn < 50; turn++) await null;
  const what = `awaits a flush of the one in "${directory}-other"`;
  assertThrows(() => log.appendSync(recordOf(2, 10)), Deno.errors.Busy, what);
  assertThrows(() => log.flushSync(), Deno.errors.Busy, what);
  inserted();
  await appended;
  log.appendSync(recordOf(2, 10));
  assertEquals((await recordsOf(log)).records, [recordOf(2, 10)]);
});

testLog("log.flushSync() is refused while this thread has begun a record", async (fixture) => {
  const { aio, log } = fixture;
  const { arena, doorbells, id } = backendOf(aio);
  const { words, change } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  // Another thread leads, so that this one waits for room.
  Atomics.store(words, LOG.leader, id + 2);
  const large = log.append(recordOf(1, 900_000));
  assert(log.end > 0);
  for (const one of [() => log.flushSync(), () => log.appendSync(ALL[1]!)]) {
    assertThrows(one, Deno.errors.Busy, "awaits room in the buffer of it");
  }
  Atomics.store(words, LOG.leader, 0);
  Atomics.add(words, change.index, 1);
  wakeWord(doorbells, change);
  await large;
  log.flushSync();
}, { segmentBytes: 16 * SEGMENT_BYTES });

testLog("log.write() is durable with the next flush, and refused without room", async ({ log }) => {
  const position = log.write(recordOf(1, 10));
  assertEquals([position, log.flushed], [0, 0]);
  assertEquals((await recordsOf(log)).records, []);
  await log.flush(position);
  assertEquals((await recordsOf(log)).records, [recordOf(1, 10)]);
  const large = new Uint8Array(60_000);
  for (let i = 0; i < Math.floor(BUFFER_BYTES / 60_100); i++) log.write(large);
  assertThrows(() => log.write(large), Deno.errors.Busy, "await log.flush()");
  await log.flush();
  log.write(large);
});

testLog("log.append() waits for room, in order", async ({ log }) => {
  const records = Array.from({ length: 40 }, (_, i) => recordOf(i, 50_000));
  const positions = await Promise.all(records.map((record) => log.append(record)));
  assertEquals(positions, positions.toSorted((a, b) => a - b));
  assertEquals((await recordsOf(log)).records, records);
  assert(log.stats().roomWaits > 0);
});

testLog("log.append() of a record larger than the buffer goes through it", async ({ log }) => {
  const large = recordOf(5, 900_000);
  const small = recordOf(6, 10);
  const positions = await Promise.all([large, small, large].map((record) => log.append(record)));
  assertEquals(positions, positions.toSorted((a, b) => a - b));
  const last = log.appendSync(large);
  assert(last > positions[2]!);
  assertEquals((await recordsOf(log)).records, [large, small, large, large]);
}, { segmentBytes: 16 * SEGMENT_BYTES });

testLog("log.read() begins and ends where it should", async ({ log }) => {
  const positions = await log.append(ALL);
  for (const [i, from] of positions.entries()) {
    const read = await recordsOf(log, { from, until: positions[i + 3] ?? log.end });
    assertEquals(read.positions, positions.slice(i, i + 3));
  }
  assertEquals((await recordsOf(log, { from: log.flushed })).records, []);
  const wrong = () => recordsOf(log, { from: positions[5]! + 8 });
  await assertRejects(wrong, Deno.errors.InvalidData, "Cannot read the record at ");
});

testLog("log.read() follows what is appended, until its signal", async ({ log }) => {
  const end = new AbortController();
  const reading = log.read({ follow: true, signal: end.signal });
  const first = reading.next();
  await log.append(ALL[5]!);
  assertEquals((await first).value!.data, ALL[5]);
  await log.append([ALL[6]!, ALL[7]!]);
  assertEquals((await reading.next()).value!.data, ALL[6]);
  assertEquals((await reading.next()).value!.data, ALL[7]);
  const next = reading.next();
  end.abort(new Error("enough"));
  await assertRejects(() => next, Error, "enough");
});

testLog("log.truncateBefore() gives files up, and keeps what is behind", async (fixture) => {
  const { log, directory } = fixture;
  const records = Array.from({ length: 60 }, (_, i) => recordOf(i, 10_000));
  const positions = await log.append(records);
  const files = () =>
    [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) => name.endsWith(".log"))
      .sort();
  const before = files();
  await log.truncateBefore(positions[40]!);
  const first = Math.floor(positions[40]! / SEGMENT_BYTES);
  // The others have the names of some that come next.
  assertEquals(before.slice(first), files().slice(0, before.length - first));
  assert(files().length >= before.length, `${files().length} of ${before.length} files`);
  assertEquals(log.start, positions[40]);
  assertEquals((await recordsOf(log)).records, records.slice(40));
  const gone = () => recordsOf(log, { from: positions[0]! });
  await assertRejects(gone, Deno.errors.NotFound, `it begins at ${positions[40]}`);
  await log.append(records);
  await assertRejects(() => log.truncateBefore(log.end + 8), RangeError, "it is durable up to");
  const within = () => log.truncateBefore(positions[50]! + 8);
  await assertRejects(within, RangeError, "no record begins there");
  await log.close();
  await using again = await fixture.open();
  assertEquals((await recordsOf(again)).records, [...records.slice(40), ...records]);
});

testLog("openLog() keeps a second opening out, and lets it in later", async (fixture) => {
  const attach = () => fixture.aio.attachLog(fixture.log.token);
  assertThrows(attach, Deno.errors.Busy, "this thread has it already");
  await assertRejects(() => fixture.open(), Deno.errors.Busy, "it is open already");
  await fixture.log.close();
  await using again = await fixture.open();
  assertEquals(again.end, 0);
});

testLog("attachLog() of a log that this thread is closing is refused", async ({ aio, log }) => {
  const attach = () => aio.attachLog(log.token);
  await log.append(ALL[3]!);
  const closing = log.close();
  assertThrows(attach, Deno.errors.Busy, "this thread is closing it");
  await closing;
  assertThrows(attach, Deno.errors.BadResource, "a log that was closed");
});

testLog("attachLog() that comes too late leaves nothing behind", async ({ aio, log }) => {
  const backend = backendOf(aio);
  const memory = new LogMemory(backend.arena, { offset: log.token.offset, bytes: 0 });
  const users = memory.words[LOG.users];
  // As another thread would.
  const other: Backend = Object.create(backend, { id: { value: backend.id + 1 } });
  setLayersOf(other, layersOf(backend));
  const lock = await aio.openFile(import.meta.filename!);
  const token = { ...log.token, lock: lock.token };
  await lock.close();
  const attach = () => attachLog({ aio, backend: other, logs: new Set() }, token);
  assertThrows(attach, Deno.errors.BadResource);
  assertEquals(memory.words[LOG.users], users);
  assertEquals(await log.append(ALL[3]!), 0);
});

testLog("a closing log waits for a truncation in another thread", async (fixture) => {
  const { aio, log, directory } = fixture;
  const positions = await log.append(ALL.slice(0, 5));
  const { arena, doorbells } = backendOf(aio);
  const memory = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  const { words, change } = memory;
  // As if a thread that has just come were truncating it.
  await until(
    () => Atomics.compareExchange(words, LOG.preparer, 0, 99) === 0,
    "no segment is made",
  );
  const closing = log.close();
  await until(() => Atomics.load(words, change.waiters) !== 0, "it waits");
  setPosition(words, LOG.start, positions[3]!);
  Atomics.store(words, LOG.preparer, 0);
  Atomics.add(words, change.index, 1);
  wakeWord(doorbells, change);
  await closing;
  const { start } = JSON.parse((await Deno.readTextFile(`${directory}/control`)).split("\n")[0]!);
  assertEquals(start, positions[3]);
});

testLog("log.close() waits for truncations of its thread", async (fixture) => {
  const { aio, log, directory } = fixture;
  const positions = await log.append(ALL.slice(0, 5));
  const backend = backendOf(aio);
  const memory = new LogMemory(backend.arena, { offset: log.token.offset, bytes: 0 });
  const { words, change } = memory;
  await until(
    () => Atomics.compareExchange(words, LOG.preparer, 0, 99) === 0,
    "no segment is made",
  );
  // With another user the end of this one waits for nothing else.
  const other = 1 << (backend.id + 1);
  Atomics.or(words, LOG.users, other);
  const ended: string[] = [];
  const truncated = log.truncateBefore(positions[3]!).then(() => ended.push("truncated"));
  await until(() => Atomics.load(words, change.waiters) !== 0, "it waits");
  const closed = log.close().then(() => ended.push("closed"));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assertEquals(ended, []);
  Atomics.store(words, LOG.preparer, 0);
  Atomics.add(words, change.index, 1);
  wakeWord(backend.doorbells, change);
  await Promise.all([truncated, closed]);
  assertEquals(ended, ["truncated", "closed"]);
  const { start } = JSON.parse((await Deno.readTextFile(`${directory}/control`)).split("\n")[0]!);
  assertEquals(start, positions[3]);
  assertEquals(Atomics.and(words, LOG.users, ~other), other);
  const { host: { runs } } = layersOf(backend).partsOf(logLayer);
  assert(runs.giveBack({ offset: log.token.offset, bytes: 0 }));
});

testLog("a closed log refuses everything, and closes once", async ({ log }) => {
  log.write(ALL[3]!);
  await Promise.all([log.close(), log.close()]);
  const data = ALL[1]!;
  await assertRejects(() => log.append(data), Deno.errors.BadResource, "it is closed");
  assertThrows(() => log.write(data), Deno.errors.BadResource, "it is closed");
  assertThrows(() => log.appendSync(data), Deno.errors.BadResource, "it is closed");
  await assertRejects(() => log.flush(), Deno.errors.BadResource, "it is closed");
  assertThrows(() => log.read(), Deno.errors.BadResource, "it is closed");
  await assertRejects(() => log.truncateBefore(0), Deno.errors.BadResource, "it is closed");
});

testLog("a log refuses what cannot be", async ({ aio, log, directory }) => {
  const wrong: readonly unknown[] = ["text", 5, null, [new Uint8Array(1), 7]];
  for (const data of wrong) {
    await assertRejects(() => log.append(data as Uint8Array), TypeError, "pass a Uint8Array");
    assertThrows(() => log.appendSync(data as Uint8Array), TypeError, "pass a Uint8Array");
  }
  assertThrows(() => log.write(wrong[1] as Uint8Array), TypeError, "pass a Uint8Array");
  const long = new Uint8Array(SEGMENT_BYTES + 1);
  await assertRejects(() => log.append(long), RangeError, '"segmentBytes"');
  for (const position of [-1, 1.5, NaN, log.end]) {
    await assertRejects(() => log.flush(position), RangeError, "pass the position of a record");
    assertThrows(() => log.read({ from: position - log.end - 1 }), RangeError);
  }
  await assertRejects(() => log.truncateBefore(-8), RangeError, "pass the position");
  assertThrows(() => log.read({ form: 1 } as object), TypeError, "unknown option");
  for (
    const options of [
      { segmentBytes: 65_535 },
      { bufferBytes: 65_536 },
      { sync: "never" },
      { direct: 1 },
      { segment: 1 },
    ]
  ) {
    const open = () => aio.openLog(`${directory}2`, options as object);
    await assertRejects(open, Error, "Cannot open the log in ");
  }
  const path = `${directory}/no/log`;
  const error = await assertRejects(() => aio.openLog(path), Deno.errors.NotFound, "Cannot open");
  assertObjectMatch(error, { code: "ENOENT", errno: 2, syscall: "mkdir", path });
  const missing = () => aio.openLog(`${directory}3`, { create: false });
  await assertRejects(missing, Deno.errors.NotFound);
});

testLog("log.truncateBefore() removes what is more than the log has had", async (fixture) => {
  const { log, directory } = fixture;
  const count = () => [...Deno.readDirSync(directory)].length;
  await log.append(Array.from({ length: 60 }, (_, i) => recordOf(i, 10_000)));
  await log.truncateBefore(log.flushed);
  const before = count();
  // Two segments, and a dozen are there for what comes next.
  await log.append(Array.from({ length: 12 }, (_, i) => recordOf(i, 10_000)));
  await log.truncateBefore(log.flushed);
  assert(count() < before, `${count()} of ${before} files`);
});
