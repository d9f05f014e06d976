/** log_flush_test.ts: what a flush waits for. */

import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import {
  announceWait,
  backendOf,
  layersOf,
  positions,
  type WaitWord,
} from "../../../core/inside.ts";
import { type Aio, AioApiError, type Log } from "../../../mod.ts";
import { awaitedCalls, blockingCalls, type LogCalls } from "../../../storage/log/calls.ts";
import { LogFlush, type LogFlushParts } from "../../../storage/log/log_flush.ts";
import { LogInsert } from "../../../storage/log/log_insert.ts";
import { INSERTING, LOG, LogMemory, PLACE } from "../../../storage/log/log_memory.ts";
import { LogStats } from "../../../storage/log/log_stats.ts";
import { Segments } from "../../../storage/log/segments.ts";
import { recordOf, recordsOf, SEGMENT_BYTES, testLog } from "../../support/log/log_fixture.ts";
import { settles } from "../../support/patience.ts";

/** What this thread has of a log, once more. */
function partsOf(aio: Aio, log: Log): LogFlushParts {
  const backend = backendOf(aio);
  const memory = new LogMemory(backend.arena, { offset: log.token.offset, bytes: 0 });
  const { directory } = log;
  return {
    memory,
    backend,
    segments: new Segments(memory, directory, backend),
    stats: new LogStats(memory, backend.id),
    directory,
    awaited: awaitedCalls(aio, backend),
    blocking: blockingCalls(aio, backend),
  };
}

/** A record of so many bytes is larger than the buffer. */
const LARGE_BYTES = 900_000;
const LARGE = { segmentBytes: 16 * SEGMENT_BYTES };

testLog("a flush that waits for a record misses no end of it", async ({ log, aio }) => {
  const backend = backendOf(aio);
  const memory = new LogMemory(backend.arena, { offset: log.token.offset, bytes: 0 });
  const waits: { word: WaitWord; value: number }[] = [];
  const noWrites: Partial<LogCalls> = {
    changed(word, value) {
      waits.push({ word, value });
      return Promise.resolve();
    },
  };
  // It has nothing to write, and looks at nothing else.
  const parts = { memory, backend, stats: new LogStats(memory, backend.id), awaited: noWrites };
  const flush = new LogFlush(parts as LogFlushParts);
  // Another thread, in the midst of whose insertion this one flushes.
  const other = Object.create(backend, { id: { value: backend.id + 1 } });
  const insert = new LogInsert(memory, other, flush, new LogStats(memory, other.id));
  const stateAt = memory.placeOf(other.id) + PLACE.state;
  const record = recordOf(1, 10);
  let led: Promise<void> | null = null;
  Object.defineProperty(record, "length", {
    get() {
      const isInserting = Atomics.load(memory.words, stateAt) === INSERTING.record;
      if (isInserting) led ??= flush.lead();
      return record.byteLength;
    },
  });
  assert(insert.tryInsert(record) >= 0);
  assert(led !== null);
  const [{ word, value }] = waits as [typeof waits[0]];
  assertNotEquals(Atomics.load(word.words, word.index), value, "the wait never ends");
  await led;
});

testLog("no flush begins when one has failed just before", async ({ log, aio }) => {
  const backend = backendOf(aio);
  const memory = new LogMemory(backend.arena, { offset: log.token.offset, bytes: 0 });
  log.write(recordOf(1, 10));
  // The last look before it leads.
  const failing: LogMemory = Object.create(memory, {
    flushed: {
      get() {
        Atomics.store(memory.words, LOG.failure, 5);
        return memory.flushed;
      },
    },
    lookForWhole: { value: () => assert(false, "it flushes") },
  });
  const stats = new LogStats(memory, backend.id);
  const parts = { memory: failing, backend, stats, directory: log.directory, awaited: {} };
  const flush = new LogFlush(parts as LogFlushParts);
  await assertRejects(() => flush.lead(), Error, "as a flush failed");
  Atomics.store(memory.words, LOG.failure, 0);
  await log.flush();
});

testLog("a record larger than the buffer waits for no flush of itself", async ({ log, aio }) => {
  const parts = partsOf(aio, log);
  const { memory, backend, segments, stats } = parts;
  const flush = new LogFlush(parts);
  // Whenever it is about to lead, a flush of another thread has just ended.
  const late: Pick<LogFlush, "lead"> = {
    async lead(isEnough) {
      await flush.lead();
      await flush.lead(isEnough);
    },
  };
  const record = recordOf(1, LARGE_BYTES);
  const inserted = new LogInsert(memory, backend, late as LogFlush, stats).insert(record);
  assert(await settles(inserted), "it waits for its own record");
  await log.flush();
  assertEquals((await recordsOf(log)).records, [record]);
  await segments.close();
}, LARGE);

testLog("a flush waits for no record that ends between its two looks", async ({ log, aio }) => {
  const parts = partsOf(aio, log);
  const { backend, memory } = parts;
  const { words } = memory;
  const begin = memory.inserted;
  const at = memory.placeOf(backend.id + 1);
  const end = log.write(recordOf(1, 10)) + 64;
  await log.flush();
  // The last bytes of another thread's record are written, and its place is not empty yet.
  positions.setPosition(words, at + PLACE.from, memory.flushed);
  for (const word of [LOG.inserted, LOG.written, at + PLACE.to, at + PLACE.done]) {
    positions.setPosition(words, word, end);
  }
  Atomics.store(words, at + PLACE.state, INSERTING.record);
  const looking: LogMemory = Object.create(memory, {
    lookForWhole: {
      value(whole: { end: number; border: number }) {
        memory.lookForWhole(whole);
        Atomics.store(words, at + PLACE.state, INSERTING.nothing);
      },
    },
  });
  const noWaits: Partial<LogCalls> = {
    changed: () => assert(false, "it waits for nobody") as never,
  };
  const flush = new LogFlush({ ...parts, memory: looking, awaited: noWaits as LogCalls });
  assert(begin < memory.flushed && memory.flushed < end);
  await flush.lead();
  await log.flush();
  assertEquals(log.flushed, end);
});

testLog("a flush waits for no record whose thread dies between its two looks", async (fixture) => {
  const { log, aio } = fixture;
  const parts = partsOf(aio, log);
  const { backend, memory } = parts;
  const { words } = memory;
  const at = memory.placeOf(backend.id + 1);
  // Another thread has a place, and has not copied its record yet.
  const begin = memory.inserted;
  positions.setPosition(words, at + PLACE.from, begin);
  positions.setPosition(words, at + PLACE.done, begin);
  positions.setPosition(words, at + PLACE.to, begin + 64);
  Atomics.store(words, at + PLACE.state, INSERTING.record);
  positions.setPosition(words, LOG.inserted, begin + 64);
  const looking: LogMemory = Object.create(memory, {
    lookForWhole: {
      value(whole: { end: number; border: number }) {
        memory.lookForWhole(whole);
        // A third thread finds it dead, and sees nobody to wake.
        Atomics.compareExchange(words, at + PLACE.state, INSERTING.record, INSERTING.void);
      },
    },
  });
  const noWaits: Partial<LogCalls> = {
    changed: () => assert(false, "it waits for nobody") as never,
  };
  await new LogFlush({ ...parts, memory: looking, awaited: noWaits as LogCalls }).lead();
  const record = recordOf(1, 10);
  await log.append(record);
  assertEquals((await recordsOf(log)).records, [record]);
});

testLog("a record that cannot be inserted as a whole wakes whoever flushes", async (fixture) => {
  const { log, aio } = fixture;
  const parts = partsOf(aio, log);
  const { memory, backend, stats } = parts;
  const { words, index } = memory.insertion;
  let seen = 0;
  const failing: Pick<LogFlush, "lead"> = {
    lead() {
      // A flush of another thread waits for more of the record.
      seen = announceWait(memory.insertion, backend.id);
      return Promise.reject(new Error("the disk is full"));
    },
  };
  const insert = new LogInsert(memory, backend, failing as LogFlush, stats);
  await assertRejects(() => insert.insert(recordOf(1, LARGE_BYTES)), Error, "the disk is full");
  assertNotEquals(Atomics.load(words, index), seen, "the wait never ends");
  const small = recordOf(2, 10);
  await log.append(small);
  assertEquals((await recordsOf(log)).records, [small]);
}, LARGE);

testLog("a death in the middle of taking a place leaves it to the next thread", async (fixture) => {
  const { log, aio } = fixture;
  const { memory, backend, stats, ...parts } = partsOf(aio, log);
  const { words } = memory;
  const other = Object.create(backend, { id: { value: backend.id + 1 } });
  const at = memory.placeOf(other.id);
  // The last store would have been that of where the next record begins.
  words[LOG.reserving] = other.id + 1;
  positions.setPosition(words, at + PLACE.from, memory.inserted);
  positions.setPosition(words, at + PLACE.to, memory.inserted + 64);
  positions.setPosition(words, at + PLACE.done, memory.inserted);
  words[at + PLACE.state] = INSERTING.record;
  layersOf(backend).reapBackend(other.id);
  // It has the slot of the dead one.
  const flush = new LogFlush({ memory, backend: other, stats, ...parts });
  const insert = new LogInsert(memory, other, flush, stats);
  assertEquals(insert.tryInsert(recordOf(1, 10)), 0);
  await log.flush();
  assertEquals((await recordsOf(log)).records, [recordOf(1, 10)]);
});

testLog("a flush that its thread may not begin fails no other one", async ({ log, aio }) => {
  await log.append(recordOf(1, 10));
  const handle = aio.acquire();
  assertThrows(() => log.appendSync(recordOf(2, 10)), AioApiError, "Only one IO");
  assertThrows(() => log.flushSync(), AioApiError, "Only one IO");
  handle.release();
  log.appendSync(recordOf(3, 10));
  const { records } = await recordsOf(log);
  assertEquals(records, [1, 2, 3].map((number) => recordOf(number, 10)));
});
