/**
 * remote_load.ts: four threads append to one log, and its storage fails in the middle. Positions
 * and names of acknowledged records are kept here, away from that storage; then the log is read.
 *
 * @module
 */

import { assert, assertEquals, assertLess } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, Log, LogToken, OpenLogOptions } from "../../../mod.ts";
import { openAio } from "../methods.ts";
import { until } from "../patience.ts";
import { contentAt, mix32 } from "../prng.ts";

const THREADS = 4;
/** Each thread has so many records acknowledged before the fault, and again behind it. */
const RECORDS_MIN = 200;
const RECORD_BYTES_MAX = 2000;
/** Two words say which record it is. */
const HEAD_BYTES = 8;
/** Several files a run. */
export const LOAD_LOG: OpenLogOptions = { segmentBytes: 524_288, bufferBytes: 262_144 };
/** Memory for one such log. */
export const ARENA_BYTES = 4 * 1024 * 1024;

/** What a Worker is sent first; then `"stop"`. */
export interface LoadAsk {
  readonly token: Aio["token"];
  readonly log: LogToken;
  readonly thread: number;
  readonly isHasty: boolean;
}

/** What it says: of each record that is acknowledged, and at its end. */
export type LoadAnswer =
  | { readonly number: number; readonly position: number }
  | { readonly begun: number; readonly failure: string | null };

/** The record of a thread with a number: its bytes follow from both. */
export function loadRecord(thread: number, number: number): Uint8Array {
  const seed = mix32(thread * 0x100_0000 + number);
  const record = contentAt(seed, 0, HEAD_BYTES + seed % RECORD_BYTES_MAX);
  const head = new DataView(record.buffer);
  head.setUint32(0, thread);
  head.setUint32(4, number);
  return record;
}

/** What is done. */
export interface LoadPlan {
  readonly method: IoMethodName;
  readonly directory: string;
  readonly options?: OpenLogOptions;
  /** Happens in mid-load. */
  readonly fault: () => Promise<void>;
  /** Whether appending goes on then, or fails. */
  readonly goesOn: boolean;
  /** Whether records are acknowledged before their flush, as a canary. */
  readonly isHasty?: boolean;
}

/** One of the threads. */
interface LoadThread {
  readonly worker: Worker;
  acknowledged: number;
  /** Why it could not go on; null: it stopped as it should. */
  failure: string | null;
  hasEnded: boolean;
}

/** What was acknowledged. */
export class Told {
  /** Positions by names of records. */
  readonly #positions = new Map<string, number>();
  /** How many records each thread has begun. */
  readonly #begun: number[] = Array.from({ length: THREADS }, () => 0);

  /** How many records were acknowledged. */
  get count(): number {
    return this.#positions.size;
  }

  /** A thread says something. */
  note(thread: number, answer: LoadAnswer): void {
    if ("begun" in answer) this.#begun[thread] = answer.begun;
    else this.#positions.set(`${thread}:${answer.number}`, answer.position);
  }

  /**
   * Reads a log that holds it.
   *
   * @returns the names of all records in it, with their positions
   * @throws if one is lost, torn, twice, out of order, or was never appended
   */
  async check(method: IoMethodName, directory: string): Promise<string[]> {
    await using aio = await openAio(method, { arenaBytes: ARENA_BYTES });
    await using log = await aio.openLog(directory, { ...LOAD_LOG, create: false });
    const found = new Map<string, number>();
    const last = this.#begun.map(() => -1);
    for await (const { position, data } of log.read()) {
      const head = new DataView(data.buffer, data.byteOffset);
      const [thread, number] = [head.getUint32(0), head.getUint32(4)];
      const name = `${thread}:${number}`;
      assertLess(thread, THREADS, `there is such a thread: ${name}`);
      assertLess(number, this.#begun[thread]!, `the thread has begun it: ${name}`);
      assertEquals(data, loadRecord(thread, number), `record ${name} is whole`);
      assert(number > last[thread]!, `record ${name} is there once, and in order`);
      last[thread] = number;
      found.set(name, position);
    }
    for (const [name, position] of this.#positions) {
      assertEquals(found.get(name), position, `Lost: record ${name}`);
    }
    return [...found].map(([name, position]) => `${name} at ${position}`);
  }
}

/** Runs the threads, with the fault in the middle. */
export async function runRemoteLoad(plan: LoadPlan): Promise<Told> {
  const told = new Told();
  await using aio = await openAio(plan.method, { arenaBytes: ARENA_BYTES });
  const log = await aio.openLog(plan.directory, { ...LOAD_LOG, ...plan.options });
  const threads = Array.from({ length: THREADS }, (_, i) => startThread(i, told));
  try {
    for (const [thread, { worker }] of threads.entries()) {
      const isHasty = plan.isHasty === true;
      const ask: LoadAsk = { token: aio.token, log: log.token, thread, isHasty };
      worker.postMessage(ask);
    }
    await untilAcknowledged(threads);
    await plan.fault();
    if (plan.goesOn) {
      await untilAcknowledged(threads);
      for (const { worker } of threads) worker.postMessage("stop");
    }
    await until(() => threads.every(({ hasEnded }) => hasEnded), "every thread ends");
    for (const { failure } of threads) assertEquals(failure === null, plan.goesOn, `${failure}`);
  } finally {
    for (const { worker } of threads) worker.terminate();
    await closeLog(log, plan.goesOn);
  }
  return told;
}

/** A log whose flush has failed says so again. */
async function closeLog(log: Log, isGood: boolean): Promise<void> {
  try {
    await log.close();
  } catch (error) {
    if (isGood) throw error;
  }
}

/** Each thread has some more records acknowledged than now. */
async function untilAcknowledged(threads: readonly LoadThread[]): Promise<void> {
  const wanted = threads.map(({ acknowledged }) => acknowledged + RECORDS_MIN);
  const isSo = () => threads.every(({ acknowledged }, i) => acknowledged >= wanted[i]!);
  const hasFailed = () => threads.some(({ hasEnded }) => hasEnded);
  const state = () => threads.map(({ acknowledged, failure }) => `${acknowledged} ${failure}`);
  await until(() => isSo() || hasFailed(), () => `each thread gets on: ${state()}`);
  assert(isSo(), `each thread gets on: ${state()}`);
}

function startThread(thread: number, told: Told): LoadThread {
  const url = new URL("./remote_load_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const started: LoadThread = { worker, acknowledged: 0, failure: null, hasEnded: false };
  worker.onmessage = ({ data: answer }: MessageEvent<LoadAnswer>) => {
    told.note(thread, answer);
    if ("position" in answer) {
      started.acknowledged++;
      return;
    }
    started.failure = answer.failure;
    started.hasEnded = true;
  };
  return started;
}
