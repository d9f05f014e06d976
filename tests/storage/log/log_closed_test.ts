/** log_closed_test.ts: what a log is good for once it was closed. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { backendOf, positions, wakeWord } from "../../../core/inside.ts";
import { BACKEND, FILE } from "../../../core/memory/shared_memory.ts";
import { awaitedCalls, blockingCalls } from "../../../storage/log/calls.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { LogFlush } from "../../../storage/log/log_flush.ts";
import { LogInsert } from "../../../storage/log/log_insert.ts";
import { LOG, LogMemory } from "../../../storage/log/log_memory.ts";
import { LogStats } from "../../../storage/log/log_stats.ts";
import { Segments } from "../../../storage/log/segments.ts";
import { replace } from "../../support/bells/bells.ts";
import {
  BUFFER_BYTES,
  type LogFixture,
  recordOf,
  SEGMENT_BYTES,
  testLog,
} from "../../support/log/log_fixture.ts";
import { settles, until, untilDead } from "../../support/patience.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";

testLog("a closed log says where it was, whatever has its memory then", async (fixture) => {
  const { aio, log, directory } = fixture;
  const figures = () => [log.start, log.end, log.flushed, log.stats().records, log.stats().bytes];
  const positions = await log.append([1, 2, 3].map((number) => recordOf(number, 10_000)));
  await log.truncateBefore(positions[1]!);
  const before = figures();
  await log.close();
  const options = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };
  await using other = await aio.openLog(`${directory}_other`, options);
  assertEquals(other.token.offset, log.token.offset);
  await other.append(recordOf(1, 60_000));
  assertEquals(figures(), before);
});

testLog("a log is left once its last append has seen that it is durable", async ({ aio, log }) => {
  const { arena, doorbells, id } = backendOf(aio);
  const memory = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  const { words, change } = memory;
  // Another thread flushes, and has made the record durable; it tells that only afterwards.
  const other = id + 1;
  Atomics.or(words, LOG.users, 1 << other);
  Atomics.store(words, LOG.leader, other + 1);
  const appended = log.append(recordOf(1, 100));
  await until(() => log.stats().flushWaits > 0, "the append waits for that flush");
  for (const word of [LOG.written, LOG.flushed]) {
    positions.setPosition(words, word, memory.inserted);
  }
  const closed = log.close();
  assert(!await settles(closed, 100), "its memory may be another one's when the append looks");
  Atomics.store(words, LOG.leader, 0);
  Atomics.add(words, LOG.change, 1);
  wakeWord(doorbells, change);
  assertEquals(await appended, 0);
  await closed;
});

testLog("of threads that leave a log at once the last says that it was closed", async (fixture) => {
  const { aio, log, open } = fixture;
  const { arena, id } = backendOf(aio);
  const { words } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  await log.append(recordOf(1, 100));
  const { end } = log;
  Atomics.or(words, LOG.users, 1 << (id + 1));
  const { load } = Atomics;
  {
    // The other thread leaves when this one has just seen that it is there.
    using _load = replace(
      Atomics,
      "load",
      ((...args: Parameters<typeof load>) => {
        const value = Reflect.apply(load, Atomics, args);
        const isIt = args[0].buffer === words.buffer && args[1] === LOG.users;
        if (isIt && args[0].byteOffset === words.byteOffset) {
          Atomics.and(words, LOG.users, ~(1 << (id + 1)));
        }
        return value;
      }) as typeof load,
    );
    await log.close();
  }
  await using again = await open();
  assertEquals(again.recovery, { end, stop: "closed" });
});

testLog(
  "what is appended while its last thread leaves a log is before its end",
  async (fixture) => {
    const { aio, log, open } = fixture;
    const backend = backendOf(aio);
    const memory = new LogMemory(backend.arena, { offset: log.token.offset, bytes: 0 });
    const { words } = memory;
    const segments = new Segments(memory, log.directory, backend);
    const calls = { awaited: awaitedCalls(aio, backend), blocking: blockingCalls(aio, backend) };
    const stats = new LogStats(memory, backend.id);
    const { directory } = log;
    const flush = new LogFlush({ memory, backend, segments, stats, directory, ...calls });
    const insert = new LogInsert(memory, backend, flush, stats);
    const other = 1 << (backend.id + 1);
    await log.append(recordOf(1, 100));
    const { rename } = Deno;
    let end = -1;
    {
      using _rename = replace(Deno, "rename", async (from, to) => {
        if (end < 0) {
          // Another thread comes, appends, and leaves: this one is still there.
          Atomics.or(words, LOG.users, other);
          insert.insertSync(recordOf(2, 100));
          end = insert.end;
          flush.joinSync(end - 1);
          await segments.close();
          Atomics.and(words, LOG.users, ~other);
        }
        await rename(from, to);
      });
      await log.close();
    }
    await using again = await open();
    assertEquals(again.recovery, { end, stop: "closed" });
  },
);

testLog("attachLog() of a log whose last user has just left says so", async ({ aio, log }) => {
  const { arena, id } = backendOf(aio);
  const { words } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  await log.append(recordOf(1, 100));
  const { token } = log;
  // Another thread has its mark, as it is attaching.
  Atomics.or(words, LOG.users, 1 << (id + 1));
  await log.close();
  assertThrows(
    () => aio.attachLog(token),
    Deno.errors.BadResource,
    "Cannot attach a log that was closed",
  );
  Atomics.and(words, LOG.users, 0);
});

testLog(
  "a log is closed by its last user, whether or not another one has died",
  async (fixture) => {
    const { aio, log, open } = fixture;
    const { arena, control, libc } = backendOf(aio);
    const { words } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
    await log.append(recordOf(1, 100));
    const worker = AttachedWorker.startBare();
    const file = log.token.lock;
    const id = await worker.ask<number>({ what: "attach", token: aio.token, file });
    Atomics.or(words, LOG.users, 1 << id);
    const threadId = control.words[control.backendAt(id) + BACKEND.threadId]!;
    worker.terminate();
    await untilDead(libc, threadId);
    const { end } = log;
    await log.close();
    await using again = await open();
    assertEquals(again.recovery, { end, stop: "closed" });
  },
);

/** Has another thread use the log as the last one, and die. @returns the slot of the lock's file */
async function dieWith({ aio, log }: LogFixture): Promise<number> {
  const { arena, control, libc } = backendOf(aio);
  const { words } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  const worker = AttachedWorker.startBare();
  const file = log.token.lock;
  const id = await worker.ask<number>({ what: "attach", token: aio.token, file });
  Atomics.or(words, LOG.users, 1 << id);
  await log.close();
  const threadId = control.words[control.backendAt(id) + BACKEND.threadId]!;
  worker.terminate();
  await untilDead(libc, threadId);
  return file.slot;
}

testLog("openLog() opens a log whose last user has died a moment before", async (fixture) => {
  const { log, open } = fixture;
  await log.append(recordOf(1, 100));
  const { end } = log;
  await dieWith(fixture);
  await using again = await open();
  assertEquals(again.recovery, { end, stop: "empty" });
});

for (const when of ["before", "meanwhile"]) {
  testLog(
    `openLog() waits for the lock of a log whose last user died while it closed, found ${when}`,
    async (fixture) => {
      const { aio, open, directory } = fixture;
      await using file = await aio.openFile(`${directory}_other`, { write: true, create: true });
      const { awaited } = insideOf(file).calls;
      const { lock, closeDenos } = awaited;
      const { control } = backendOf(aio);
      const at = control.fileAt(await dieWith(fixture));
      // Before it had unlocked it.
      Atomics.store(control.words, at + FILE.closing, 1);
      Atomics.store(control.words, at + FILE.fd, -1);
      let looks = 0;
      let isOver = false;
      awaited.lock = (...args) => {
        looks++;
        return lock(...args);
      };
      awaited.closeDenos = async (...args) => {
        await until(() => looks > 2 || isOver, "the log's lock is looked at twice");
        await closeDenos(...args);
      };
      try {
        if (when === "before") backendOf(aio).reapDead("eventLoop");
        await using again = await open();
        assertEquals(again.recovery.stop, "empty");
      } finally {
        isOver = true;
        Object.assign(awaited, { lock, closeDenos });
      }
      assert(looks > 2);
    },
  );
}
