/** log_flush_test.ts: what a flush waits for. */

import { assert, assertNotEquals, assertRejects } from "@std/assert";
import { backendOf, type WaitWord } from "../../../core/inside.ts";
import type { LogCalls } from "../../../storage/log/calls.ts";
import { LogFlush, type LogFlushParts } from "../../../storage/log/log_flush.ts";
import { LogInsert } from "../../../storage/log/log_insert.ts";
import { INSERTING, LOG, LogMemory, PLACE } from "../../../storage/log/log_memory.ts";
import { LogStats } from "../../../storage/log/log_stats.ts";
import { recordOf, testLog } from "../../support/log/log_fixture.ts";

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
