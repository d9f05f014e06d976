/**
 * failing_log.ts: calls fail one after the other while a log is made, appended to, moved on to its
 * next segments, given up in parts, and recovered; afterwards it has what was acknowledged.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import { Aio, type Log } from "../../../mod.ts";
import { isLeftOver } from "../../../storage/log/segment_names.ts";
import { type FailingCall, failNthCall, type FailNthCallReport } from "../../../testing/mod.ts";
import { tempDir } from "../temp.ts";
import { METHODS_FOR_TESTS, ONE_WORKER } from "../workers/worker_pool.ts";
import { BUFFER_BYTES, SEGMENT_BYTES } from "./log_fixture.ts";

/** How calls fail. */
export interface LogFailure {
  readonly errno: string;
  /** Whether all later ones do, too. */
  readonly lasting: boolean;
}

/** What the log is at. */
export type FailingWork = "making" | "recovering";

const OPTIONS = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };
const AIO_OPTIONS = { arenaBytes: 2 * 1024 * 1024, workers: ONE_WORKER, onWarning: () => {} };
/** Three fill a segment. */
const RECORD_BYTES = Math.floor(SEGMENT_BYTES / 3);
const RECORDS = 6;
/** Against hanging. */
const HANG_MS = 60_000;

function numbered(number: number): Uint8Array {
  return new Uint8Array(RECORD_BYTES).fill(number);
}

/** What a program knows of its log. */
class Known {
  readonly appended: number[] = [];
  readonly acknowledged: number[] = [];
  /** All before it may be gone. */
  from = 0;

  async append(log: Log, number: number): Promise<void> {
    this.appended.push(number);
    await log.append(numbered(number));
    this.acknowledged.push(number);
  }

  /** Opens the log as it is, and looks whether all of it is there. */
  async check(path: string): Promise<void> {
    await using aio = await Aio.open({ ...AIO_OPTIONS, method: "sync" }, METHODS_FOR_TESTS);
    await using log = await aio.openLog(path, OPTIONS);
    const numbers: number[] = [];
    for await (const { data } of log.read()) {
      assertEquals(data, numbered(data[0]!));
      numbers.push(data[0]!);
    }
    const message = `has ${numbers}, acknowledged are ${this.acknowledged}`;
    const wanted = this.acknowledged.filter((number) => number >= this.from);
    assertEquals(wanted.filter((number) => !numbers.includes(number)), [], message);
    assertEquals(numbers.filter((number) => !this.appended.includes(number)), [], message);
    // It goes on.
    await log.append(numbered(200));
  }
}

/** Makes a log, fills more segments than one, gives the first ones up, and closes it. */
async function fill(log: Log, known: Known): Promise<void> {
  const first = Array.from({ length: RECORDS }, (_, i) => i + 1);
  await Promise.all(first.slice(0, 2).map((number) => known.append(log, number)));
  for (const number of first.slice(2)) await known.append(log, number);
  let end = 0;
  for await (const { position } of log.read()) end = position;
  known.from = RECORDS;
  await log.truncateBefore(end);
  await known.append(log, RECORDS + 1);
}

function makes(method: IoMethodName): (call: FailingCall) => Promise<void> {
  return async (call) => {
    await using dir = await tempDir();
    const known = new Known();
    await call.during(async (methods) => {
      await using aio = await Aio.open({ ...AIO_OPTIONS, method }, methods);
      await using log = await aio.openLog(dir.join("log"), OPTIONS);
      await fill(log, known);
    });
    if (call.nth === 0) assertEquals(known.acknowledged.length, RECORDS + 1);
    await known.check(dir.join("log"));
  };
}

/** What is left of a log whose program ends without closing it. */
async function leave(path: string, known: Known): Promise<void> {
  await using dir = await tempDir();
  await using aio = await Aio.open({ ...AIO_OPTIONS, method: "sync" }, METHODS_FOR_TESTS);
  await using log = await aio.openLog(dir.join("log"), OPTIONS);
  for (let number = 1; number <= RECORDS; number++) await known.append(log, number);
  await Deno.mkdir(path);
  for await (const { name } of Deno.readDir(dir.join("log"))) {
    // What is made ahead may get its name now.
    if (isLeftOver(name)) continue;
    await Deno.copyFile(`${dir.join("log")}/${name}`, `${path}/${name}`);
  }
}

function recovers(method: IoMethodName): (call: FailingCall) => Promise<void> {
  return async (call) => {
    await using dir = await tempDir();
    const known = new Known();
    await leave(dir.join("log"), known);
    assertEquals(known.acknowledged.length, RECORDS);
    await call.during(async (methods) => {
      await using aio = await Aio.open({ ...AIO_OPTIONS, method }, methods);
      await using log = await aio.openLog(dir.join("log"), OPTIONS);
      await known.append(log, RECORDS + 1);
    });
    await known.check(dir.join("log"));
  };
}

/** Has each call fail in turn. @throws for what is lost, and for a hang */
export async function failLog(
  method: IoMethodName,
  work: FailingWork,
  failure: LogFailure,
): Promise<FailNthCallReport> {
  const scenario = work === "making" ? makes(method) : recovers(method);
  const options = { ...failure, methods: METHODS_FOR_TESTS, timeLimitMs: HANG_MS };
  const report = await failNthCall(scenario, options);
  assert(report.calls.length > 20, report.calls.join());
  return report;
}
