/**
 * log_reader_held_test.ts: `log.read()` while its IO does not end: what it reads ahead, and that it
 * reads nothing that is not durable yet.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Log } from "../../../mod.ts";
import type { Fixture } from "../../support/core.ts";
import { POINT } from "../../support/flush_failures.ts";
import { heldNow, perform, through, withHeld } from "../../support/held_transfers.ts";
import { isPrepared, recordOf } from "../../support/log/log_fixture.ts";
import { until } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";

const SEGMENT_BYTES = 1024 * 1024;
const RECORD_BYTES = 20_000;
/** They fill nearly all of a segment. */
const COUNT = 50;
const OPTIONS = {
  arenaBytes: 8 * 1024 * 1024,
  ioCombineLimit: 4,
  effectiveIoConcurrency: 3,
} as const;
/** Of one read: four pages. */
const READ_BYTES = 4 * 16_384;

interface LogCase {
  readonly fixture: Fixture;
  readonly log: Log;
}

function numbered(number: number): Uint8Array {
  return recordOf(number, RECORD_BYTES);
}

function append(log: Log, from: number, count: number): Promise<number[]> {
  return log.append(Array.from({ length: count }, (_, i) => numbered(from + i)));
}

/** Appends records, and has the next segment made. */
async function fill(fixture: Fixture, log: Log, from: number, count: number): Promise<void> {
  await through(fixture, append(log, from, count));
  const isMade = () => isPrepared(fixture.aio, log);
  await through(fixture, until(isMade, "the next segment is made"));
}

function testHeldLog(name: string, use: (it: LogCase) => Promise<void>): void {
  Deno.test(`held: ${name}`, () =>
    withHeld(async (fixture) => {
      await using dir = await tempDir();
      const options = { segmentBytes: SEGMENT_BYTES };
      const log = await through(fixture, fixture.aio.openLog(dir.join("log"), options));
      await fill(fixture, log, 0, COUNT);
      const free = backendOf(fixture.aio).arena.freeBytes;
      await use({ fixture, log });
      if (!log.isClosed) assertEquals(backendOf(fixture.aio).arena.freeBytes, free);
      await through(fixture, log.close());
    }, OPTIONS));
}

/** What is held, once there is something: a file may have to be opened before. */
async function heldSoon(fixture: Fixture): Promise<string[]> {
  await until(() => fixture.held.held(fixture.aio).length > 0, "an IO is held");
  return await heldNow(fixture);
}

/** The reads that are in flight, as offsets; all are as long as they should be. */
async function readsNow(fixture: Fixture): Promise<number[]> {
  return (await heldSoon(fixture)).map((held) => {
    const [operation, offset, length] = held.split(" ");
    assertEquals([operation, Number(length)], ["readv", READ_BYTES]);
    return Number(offset);
  });
}

/**
 * Lets reads through, the oldest first, until a record is there.
 *
 * @param limit no read may go beyond it
 */
async function readOn<T>(fixture: Fixture, record: Promise<T>, limit: number): Promise<T> {
  let isThere = false;
  const seen = () => isThere = true;
  record.then(seen, seen);
  for (;;) {
    const held = await heldNow(fixture);
    if (isThere) return await record;
    const reads = held.filter((one) => one.startsWith("readv "));
    for (const read of reads) {
      const [, offset, length] = read.split(" ");
      assert(Number(offset) + Number(length) <= limit, `${read} of ${limit}`);
    }
    const [oldest] = reads;
    if (oldest === undefined) continue;
    fixture.held.perform(fixture.aio, fixture.held.held(fixture.aio)[held.indexOf(oldest)]!);
  }
}

testHeldLog("log.read() reads on while its consumer looks at records", async ({ fixture, log }) => {
  const reading = log.read();
  const first = reading.next();
  assertEquals(await readsNow(fixture), [0]);
  await perform(fixture);
  // What came was waited for: twice as much is read ahead.
  assertEquals(await readsNow(fixture), [READ_BYTES, 2 * READ_BYTES]);
  await perform(fixture);
  assertEquals((await first).value, { position: 0, data: numbered(0) });
  // Nothing is called, and more than one is in flight.
  const ahead = await readsNow(fixture);
  assert(ahead.length > 1, `${ahead}`);
  assertEquals(ahead[0], 2 * READ_BYTES);
  for (let number = 1; number < 6; number++) {
    assertEquals((await reading.next()).value!.data, numbered(number));
  }
  assertEquals(await readsNow(fixture), ahead);
  await through(fixture, reading.return());
  assertEquals(await heldNow(fixture), []);
});

testHeldLog("log.read() begins no read of what is not durable", async ({ fixture, log }) => {
  const { flushed } = log;
  // Its flush is held from the beginning to the end.
  const appended = append(log, COUNT, 1);
  const [flush] = await heldSoon(fixture);
  assert(flush!.startsWith("writev "), flush);
  const reading = log.read({ follow: true });
  for (let number = 0; number < COUNT; number++) {
    const { value } = await readOn(fixture, reading.next(), flushed);
    assertEquals(value!.data, numbered(number));
  }
  const next = reading.next();
  assertEquals(await heldNow(fixture), [flush]);
  await through(fixture, appended);
  assertEquals((await through(fixture, next)).value!.data, numbered(COUNT));
  await through(fixture, reading.return());
});

testHeldLog("log.read() of what was just written is no IO", async ({ fixture, log }) => {
  const reading = log.read({ from: log.flushed, follow: true });
  const next = reading.next();
  const seen: string[] = [];
  fixture.aio.attachInjectionPoint(POINT, ({ operation }) => {
    seen.push(operation);
    return undefined;
  });
  await through(fixture, append(log, 7, 1));
  assertEquals((await through(fixture, next)).value!.data, numbered(7));
  fixture.aio.detachInjectionPoint(POINT);
  assertEquals(seen, ["writev"]);
  await through(fixture, reading.return());
});

testHeldLog("log.read() of little that the ring has no more is one read", async (it) => {
  const { fixture, log } = it;
  const at = log.flushed;
  await fill(fixture, log, COUNT, 2 * COUNT);
  const { arena } = backendOf(fixture.aio);
  const free = arena.freeBytes;
  const reading = log.read({ from: at });
  const next = reading.next();
  const [read, ...others] = await heldSoon(fixture);
  const [operation, offset, length] = read!.split(" ");
  assertEquals([operation, others], ["readv", []]);
  assert(Number(offset) <= at && Number(offset) + Number(length) === SEGMENT_BYTES, read);
  assert(arena.freeBytes > free - 65_536, "a stream has memory");
  assertEquals((await through(fixture, next)).value!.data, numbered(COUNT));
  await through(fixture, reading.return());
});

testHeldLog("log.read() has the next segment read as this one ends", async ({ fixture, log }) => {
  await fill(fixture, log, COUNT, COUNT);
  const reading = log.read();
  const isNextRead = () =>
    fixture.aio.ios().some(({ targetDesc }) => targetDesc?.includes(" in segment 1 of "));
  let number = 0;
  for (; !isNextRead(); number++) {
    const { value } = await readOn(fixture, reading.next(), SEGMENT_BYTES);
    assertEquals(value!.data, numbered(number));
    assert(value!.position < SEGMENT_BYTES);
  }
  assert(number < COUNT, `after ${number} records`);
  await through(fixture, reading.return());
  assertEquals(await heldNow(fixture), []);
});

testHeldLog("log.read() by a signal ends what is pending", async ({ fixture, log }) => {
  const end = new AbortController();
  const reading = log.read({ signal: end.signal });
  const next = reading.next();
  assertEquals(await readsNow(fixture), [0]);
  const reason = new Error("enough");
  end.abort(reason);
  const error = await through(fixture, assertRejects(() => next));
  assertStrictEquals(error, reason);
  assertEquals(await heldNow(fixture), []);
});

testHeldLog("log.close() ends what is being read", async ({ fixture, log }) => {
  const reading = log.read();
  const next = assertRejects(() => reading.next(), Deno.errors.BadResource, "it was closed");
  assertEquals(await readsNow(fixture), [0]);
  const free = backendOf(fixture.aio).arena.freeBytes;
  await through(fixture, log.close());
  await next;
  assert(backendOf(fixture.aio).arena.freeBytes > free);
  assertEquals(await heldNow(fixture), []);
});
