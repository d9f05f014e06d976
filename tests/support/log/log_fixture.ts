/**
 * log_fixture.ts: a log in a folder of its own, for the tests of one method each.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, Log, LogReadOptions, OpenLogOptions } from "../../../mod.ts";
import { LOG, LogMemory } from "../../../storage/log/log_memory.ts";
import { testSharedAios } from "../methods.ts";
import { tempDir } from "../temp.ts";

/** Small files, so that a test has many. */
export const SEGMENT_BYTES = 65_536;
/** The least there may be. */
export const BUFFER_BYTES = 262_144;
/** As small as a log may be. */
export const SMALL: OpenLogOptions = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };

/** The log of one test. */
export interface LogFixture {
  readonly aio: Aio;
  readonly method: IoMethodName;
  readonly directory: string;
  readonly log: Log;
  /** Opens it again, once it was closed. */
  open(options?: OpenLogOptions): Promise<Log>;
}

/**
 * Registers a test for each method that gets a new log.
 *
 * @param options of the log, in addition
 */
export function testLog(
  name: string,
  use: (fixture: LogFixture) => Promise<void>,
  options: OpenLogOptions = {},
): void {
  testSharedAios(name, async (aio, method) => {
    await using dir = await tempDir();
    const directory = dir.join("log");
    const open = (more?: OpenLogOptions) =>
      aio.openLog(directory, { ...SMALL, ...options, ...more });
    await using log = await open();
    await use({ aio, method, directory, log, open });
    if (!log.isClosed) await log.close();
    assertEquals(aio.ios(), []);
  });
}

/** Whether no thread makes segments of a log ahead, for which it needs memory. */
export function isPrepared(aio: Aio, log: Log): boolean {
  const { arena } = backendOf(aio);
  const { words } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  return Atomics.load(words, LOG.preparer) === 0;
}

/** Bytes that tell what they are: a number, and their length. */
export function recordOf(number: number, bytes: number): Uint8Array {
  return new Uint8Array(bytes).map((_, at) => number * 31 + at * 7 + (at >> 8));
}

/** All records of a log. */
export async function recordsOf(
  log: Log,
  options?: LogReadOptions,
): Promise<{ positions: number[]; records: Uint8Array[] }> {
  const all = await Array.fromAsync(log.read(options));
  return {
    positions: all.map(({ position }) => position),
    records: all.map(({ data }) => data),
  };
}
