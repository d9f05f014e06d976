/**
 * log_stage_test.ts: a direct write of a log has whole blocks, which do not change while it is in
 * flight.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf, positions } from "../../../core/inside.ts";
import { alignUp, type Arena } from "../../../core/inside_layers.ts";
import type { LogCalls } from "../../../storage/log/calls.ts";
import { LogFlush, type LogFlushParts } from "../../../storage/log/log_flush.ts";
import { initLog, LOG, LOG_FLAGS, logBytes, LogMemory } from "../../../storage/log/log_memory.ts";
import { LogStats } from "../../../storage/log/log_stats.ts";
import type { Segments } from "../../../storage/log/segments.ts";
import type { Aio } from "../../../mod.ts";
import { openSync } from "../../support/core.ts";

const RING_BYTES = 262_144;
const SEGMENT_BYTES = 131_072;
const STAGE_BYTES = 32 * 1024;
/** Bytes of one flush after the other: with blocks of 512 and of 4096 some end with one. */
const LENGTHS = [
  ...[96, 416, 3584, STAGE_BYTES, 8, STAGE_BYTES - 8, STAGE_BYTES, STAGE_BYTES + 8],
  ...[40_000, SEGMENT_BYTES, 56, 100_000, 33_000, 16, 4096, 200_000, 512, 1000],
];
const ROUNDS = 5;

/** What the log has at a position. */
function byteAt(position: number): number {
  return 1 + (position * 31 + (position >> 9)) % 255;
}

/** Fills a part of the ring. */
function fill(ring: Uint8Array, from: number, to: number, byteOf: typeof byteAt): void {
  for (let at = from; at < to; at++) ring[at % ring.length] = byteOf(at);
}

/** A log in an arena of its own, whose ring is filled by hand. */
function makeLog(aio: Aio, blockBytes: number): LogMemory {
  const buffer = new SharedArrayBuffer(logBytes(RING_BYTES, blockBytes));
  const arena: Arena = Object.create(backendOf(aio).arena, { buffer: { value: buffer } });
  const run = { offset: 0, bytes: buffer.byteLength };
  initLog(arena, run, {
    ringBytes: RING_BYTES,
    segmentBytes: SEGMENT_BYTES,
    blockBytes,
    identity: [1, 2],
    opening: 1,
    flags: LOG_FLAGS.direct | LOG_FLAGS.dsync,
    start: 0,
    end: 0,
    prepared: 1,
    user: 0,
    serial: 1,
  });
  return new LogMemory(arena, run);
}

/** Flushes it again and again, and looks at each write. */
async function flushAll(aio: Aio, memory: LogMemory): Promise<void> {
  const { ring, words, blockBytes } = memory;
  const stageBytes = Math.max(STAGE_BYTES, blockBytes);
  let segment = 0;
  let at = 0;
  let end = 0;
  const calls: Partial<LogCalls> = {
    write(_, views, offset) {
      // Others insert behind it while it is in flight, as far as there is room.
      fill(ring, end, memory.roomEnd, () => 0xff);
      const first = at - at % blockBytes;
      const last = Math.min(end, (segment + 1) * SEGMENT_BYTES);
      const bytes = alignUp(last, blockBytes) - first;
      assertEquals(segment * SEGMENT_BYTES + offset, first);
      if (bytes <= stageBytes) assertEquals(views.length, 1, `${at} to ${last}`);
      const wanted = Uint8Array.from(
        { length: bytes },
        (_, i) => first + i < last ? byteAt(first + i) : 0,
      );
      assertEquals(new Uint8Array(views.flatMap((view) => [...view])), wanted);
      at = last;
      return bytes;
    },
  };
  const segments: Segments = Object.assign(Object.create(null), {
    toWrite(number: number) {
      segment = number;
      return [][Symbol.iterator]();
    },
    prepareBehind() {},
  });
  const stats = new LogStats(memory, 0);
  const parts = { memory, backend: backendOf(aio), segments, stats, awaited: calls };
  const flush = new LogFlush(parts as LogFlushParts);
  for (const length of Array.from({ length: ROUNDS }, () => LENGTHS).flat()) {
    end = Math.min(at + length, memory.roomEnd);
    fill(ring, at, end, byteAt);
    positions.setPosition(words, LOG.inserted, end);
    await flush.lead();
    assertEquals([at, memory.flushed], [end, end]);
  }
  assert(end > ROUNDS * RING_BYTES);
}

for (const blockBytes of [512, 4096, 65_536]) {
  Deno.test(`sync: a direct write has whole blocks of ${blockBytes}, a short one as one buffer`, async () => {
    await using fixture = await openSync();
    await flushAll(fixture.aio, makeLog(fixture.aio, blockBytes));
  });
}
