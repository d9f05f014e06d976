/**
 * log_crash_test.ts: the power is cut at any moment while a log is opened and appended to, and
 * again while it recovers: opening it gives all records that were acknowledged, in order, and none
 * that is not one of those that were appended.
 */

import { assert, assertEquals, assertGreater, AssertionError, assertRejects } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, Log, OpenLogOptions } from "../../../mod.ts";
import { type CrashState, crashStates, type IoRecorder, recordIo } from "../../../testing/mod.ts";
import { BUFFER_BYTES, SEGMENT_BYTES } from "../../support/log/log_fixture.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { Prng } from "../../support/prng.ts";
import { tempDir } from "../../support/temp.ts";

const OPTIONS: OpenLogOptions = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };
/** Each record is a multiple of so many bytes, so that parts of two of them are equal. */
const UNIT_BYTES = 248;
const FIRST_STATES = 40;
const SECOND_STATES = 15;

/** A record that tells its number, with equal bytes behind it. */
function numbered(number: number): Uint8Array {
  const record = new Uint8Array(UNIT_BYTES * (1 + number % 3)).fill(0x2e);
  new DataView(record.buffer).setUint32(0, number);
  return record;
}

/**
 * Appends by two tasks, twice at once each, and says what is acknowledged.
 *
 * @param lies whether it says so before it is, as a canary
 */
async function append(
  log: Log,
  recorder: IoRecorder<number>,
  first: number,
  lies: boolean,
): Promise<void> {
  let next = first;
  await Promise.all([1, 2].map(async () => {
    for (let i = 0; i < 4; i++) {
      const numbers = [next++, next++];
      const appended = log.append(numbers.map(numbered));
      if (!lies) await appended;
      for (const number of numbers) recorder.mark(number);
      await appended;
    }
  }));
}

async function numbersIn(log: Log): Promise<number[]> {
  const numbers: number[] = [];
  for await (const { data } of log.read()) {
    const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
    assertEquals(data, numbered(number));
    numbers.push(number);
  }
  return numbers;
}

/** Opens the log of a state as its program would after the crash. @returns what is in it */
async function openState(aio: Aio, state: CrashState<number>, before: number): Promise<number[]> {
  await using dir = await tempDir();
  await state.writeTo(dir.path);
  await using log = await aio.openLog(dir.join("log"), OPTIONS);
  const numbers = await numbersIn(log);
  const message = `${state.seed}, ${state.moment}: ${numbers}; ${state.acknowledged}`;
  assertEquals(new Set(numbers).size, numbers.length, `once each: ${message}`);
  for (const number of state.acknowledged) assert(numbers.includes(number), message);
  // None of those that a first crash cut off comes back behind what was appended after it.
  const second = numbers.findIndex((number) => number >= before);
  if (second >= 0) assert(numbers.slice(second).every((number) => number >= before), message);
  return numbers;
}

/** Cuts the power while a log is used, and while what is left is used. @throws for what is lost */
async function cutPower(method: IoMethodName, lies = false): Promise<void> {
  const prng = new Prng();
  await using aio = await openAio(method, { arenaBytes: 2 * 1024 * 1024 });
  const record = (first: number, from?: CrashState<number>) =>
    recordIo<number>(async (own, directory, recorder) => {
      await using log = await own.openLog(`${directory}/log`, OPTIONS);
      await append(log, recorder, first, lies);
      await log.truncateBefore(log.start);
    }, { aio: optionsOf(method), ...(from === undefined ? {} : { from }) });
  const seed = prng.below(2 ** 31);
  let kept = 0;
  for (const state of crashStates(await record(0), { seed, count: FIRST_STATES })) {
    kept += (await openState(aio, state, Infinity)).length;
    if (state.acknowledged.length === 0 || !prng.chance(1, 5)) continue;
    for (const again of crashStates(await record(100, state), { seed, count: SECOND_STATES })) {
      kept += (await openState(aio, again, 100)).length;
    }
  }
  assertGreater(kept, 0);
}

testEachMethod("openLog() gives what was acknowledged before two power cuts", (method) => {
  return cutPower(method);
});

Deno.test("openLog() canary: what is acknowledged before it is durable is lost", async () => {
  await assertRejects(() => cutPower("sync", true), AssertionError);
});

function optionsOf(method: IoMethodName): { method: IoMethodName; arenaBytes: number } {
  return { method, arenaBytes: 2 * 1024 * 1024 };
}
