/**
 * log_memory_test.ts: what the ring of a log still has of what is durable.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { LOG, LogMemory } from "../../../storage/log/log_memory.ts";
import { segmentNumbers, segmentPath } from "../../../storage/log/segment_names.ts";
import type { Aio, Log } from "../../../mod.ts";
import { replace } from "../../support/bells/bells.ts";
import { BUFFER_BYTES, recordOf, SEGMENT_BYTES, testLog } from "../../support/log/log_fixture.ts";

const RECORD_BYTES = 5000;

function memoryOf(aio: Aio, log: Log): LogMemory {
  return new LogMemory(backendOf(aio).arena, { offset: log.token.offset, bytes: 0 });
}

/** Appends until so many bytes are in the log. */
async function appendTo(log: Log, end: number): Promise<void> {
  for (let i = 0; log.end < end; i++) await log.append(recordOf(i, RECORD_BYTES));
}

/** The bytes of a log as its files have them, from its beginning to where it is durable. */
async function bytesOf({ directory, flushed }: Log): Promise<Uint8Array> {
  const paths = segmentNumbers(directory).map((number) => segmentPath(directory, number));
  const parts = await Promise.all(paths.map((path) => Deno.readFile(path)));
  const bytes = new Uint8Array(parts.length * SEGMENT_BYTES);
  parts.forEach((part, i) => bytes.set(part, i * SEGMENT_BYTES));
  return bytes.subarray(0, flushed);
}

testLog("tryCopy() gives the bytes that the files have, as far as the ring reaches", async (it) => {
  const { aio, log } = it;
  await appendTo(log, 2.5 * BUFFER_BYTES);
  const bytes = await bytesOf(log);
  const memory = memoryOf(aio, log);
  const first = log.end - BUFFER_BYTES;
  assertEquals(memory.tryCopy(first, log.flushed), bytes.slice(first));
  // Around the end of the ring.
  const turn = Math.floor(log.end / BUFFER_BYTES) * BUFFER_BYTES;
  assertEquals(memory.tryCopy(turn - 700, turn + 800), bytes.slice(turn - 700, turn + 800));
  assertEquals(memory.tryCopy(first - 1, first + 100), null);
});

testLog("tryCopy() gives nothing from before the log was opened", async ({ aio, log, open }) => {
  await appendTo(log, RECORD_BYTES);
  const { flushed } = log;
  await log.close();
  await using again = await open();
  const memory = memoryOf(aio, again);
  const openedAt = again.end;
  await appendTo(again, openedAt + 1);
  assertEquals(memory.tryCopy(0, flushed), null);
  assertEquals(memory.tryCopy(openedAt - 1, again.flushed), null);
  assertEquals(memory.tryCopy(openedAt, again.flushed)?.length, again.flushed - openedAt);
});

testLog("tryCopy() gives nothing that a record is over", async ({ aio, log }) => {
  await appendTo(log, BUFFER_BYTES);
  const memory = memoryOf(aio, log);
  const first = log.end - BUFFER_BYTES;
  log.write(recordOf(1, 100));
  assertEquals(memory.tryCopy(first, first + 50), null);
  await log.flush();
});

testLog("tryCopy() gives nothing that a record comes over while it copies", async (fixture) => {
  const { aio, log } = fixture;
  await appendTo(log, BUFFER_BYTES);
  const memory = memoryOf(aio, log);
  const first = log.end - BUFFER_BYTES;
  assertEquals(memory.tryCopy(first, first + 50)?.length, 50);
  const { or } = Atomics;
  let isFirst = true;
  const insertFirst = ((...args: Parameters<typeof or>) => {
    if (isFirst && args[0].byteOffset === memory.words.byteOffset && args[1] === LOG.fence) {
      isFirst = false;
      log.write(recordOf(1, 100));
    }
    return Reflect.apply(or, Atomics, args);
  }) as typeof or;
  {
    using _or = replace(Atomics, "or", insertFirst);
    assertEquals(memory.tryCopy(first, first + 50), null);
  }
  assertEquals(isFirst, false);
  await log.flush();
});
