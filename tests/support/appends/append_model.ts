/**
 * append_model.ts: threads append to one file, some by openings of their own, and some die at any
 * atomic step. Each record whose promise resolved is in the file: whole, once, where that said.
 * What is not a record is a hole that a dead thread left, and of which a warning tells.
 *
 * @module
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { backendOf } from "../../../core/inside.ts";
import { openAio } from "../methods.ts";
import { goesOn, until } from "../patience.ts";
import { mountTmpfs, tempDir } from "../temp.ts";
import { type Life, type LifeAnswer, runLives, runMortal } from "../threads/mortal_worker.ts";
import { makeRecord } from "./make_record.ts";
import { nameOf, partsOf, recordAt } from "./records.ts";

/** What is done. */
export interface AppendPlan {
  readonly method: IoMethodName;
  readonly seed: number;
  readonly threads: number;
  /** Records of each thread. */
  readonly records: number;
  /** How often each thread dies. */
  readonly deaths: number;
  /** The size of the disk: half of it is free at first, and it becomes full twice. */
  readonly diskBytes?: number;
  /** Whether a thread acknowledges records that were not written, as a canary. */
  readonly lies?: boolean;
}

/** What a Worker is sent. */
export interface AppendAsk extends Life {
  readonly token: Aio["token"];
  readonly file: AioFile["token"];
  /** For those that open the file themselves. */
  readonly path: string;
  readonly thread: number;
  /** How many threads there are. */
  readonly threads: number;
  readonly lies: boolean;
  /** Where each record of all threads begins, plus 1; 0: its append is not known to be over. */
  readonly told: Float64Array<SharedArrayBuffer>;
}

/** What a Worker answers: how many records it has begun, or that an append has failed. */
export type AppendAnswer =
  | LifeAnswer
  | { readonly warning: string }
  | { readonly refusal: string };

/** By a warning of a dead thread, or the error of an append. */
const HOLE = /[Bb]ytes ([0-9]+) to ([0-9]+) (?:of .* may read as zeros|stay a hole)/;

/** What the threads say beside their answers. */
interface Heard {
  /** Warnings, and errors of appends for which there was no room. */
  readonly warnings: string[];
  /** An append has failed as the disk is full. */
  readonly onRefusal?: () => void;
}

/** Does it. @returns how many threads died */
export async function runAppends(plan: AppendPlan): Promise<number> {
  const { method, threads, records, diskBytes } = plan;
  await using dir = await (diskBytes === undefined ? tempDir() : mountTmpfs(diskBytes));
  const filler = dir.join("filler");
  if (diskBytes !== undefined) await Deno.writeFile(filler, new Uint8Array(diskBytes / 2));
  const path = dir.join("log");
  await Deno.writeFile(path, new Uint8Array(0));
  const warnings: string[] = [];
  await using aio = await openAio(method, {
    arenaBytes: 2 * 1024 * 1024,
    onWarning: (message) => warnings.push(message),
  });
  await using file = await aio.openFile(path, { read: true, write: true });
  const told = new Float64Array(new SharedArrayBuffer(8 * threads * records));
  const ask = { token: aio.token, file: file.token, path, told, threads };
  let refusals = 0;
  const onRefusal = () => {
    if (refusals++ === 0) Deno.removeSync(filler);
  };
  const lives = Array.from(
    { length: threads },
    (_, thread) => runThread(plan, { ...ask, thread }, { warnings, onRefusal }),
  );
  const count = () => told.reduce((sum, at) => sum + Math.sign(at), 0);
  const deaths = await goesOn(Promise.all(lives), count, () => JSON.stringify(aio.ios(), null, 1));
  await until(() => {
    backendOf(aio).reapDead();
    return aio.backends().length === 1;
  }, "every dead thread is taken over from");
  assertEquals(aio.ios(), []);
  if (diskBytes !== undefined) assertGreater(refusals, 0);
  const content = await Deno.readFile(path);
  const { files } = backendOf(aio);
  const end = diskBytes === undefined ? content.length : files.ends.endOf(file.token.slot);
  check(plan, content.subarray(0, end), told, warnings);
  assert(content.subarray(end).every((byte) => byte === 0), "nothing is behind the end");
  if (diskBytes !== undefined) return 0;
  // The end is where the file ends: nothing of a dead thread is left behind it.
  const { size } = await Deno.stat(path);
  const last = await file.append(new Uint8Array(16));
  assert(last >= size, `${last} is behind ${size} bytes`);
  return deaths.reduce((sum, died) => sum + died, 0);
}

/**
 * Has a thread die before one atomic step of an append, and appends behind it.
 *
 * @returns whether it died
 */
export async function dieAppending(method: IoMethodName, diesAt: number): Promise<boolean> {
  await using dir = await tempDir();
  const path = dir.join("log");
  await Deno.writeFile(path, new Uint8Array(0));
  const warnings: string[] = [];
  await using aio = await openAio(method, { onWarning: (message) => warnings.push(message) });
  await using file = await aio.openFile(path, { read: true, write: true });
  await file.append(makeRecord(0, 0, 32));
  const told = new Float64Array(new SharedArrayBuffer(8 * 4));
  const ask = { token: aio.token, file: file.token, path, told, threads: 2, thread: 0 };
  const life = { ...ask, first: 1, records: 1, seed: diesAt, lies: false, diesAt };
  const answer = await runWorker(life, { warnings });
  if ("error" in answer) throw new Error(answer.error);
  // Behind the place that it had taken by then, if any.
  told[2] = await file.append(makeRecord(1, 0, 48)) + 1;
  await until(() => {
    backendOf(aio).reapDead();
    return aio.backends().length === 1;
  }, "the thread is taken over from");
  const plan = { threads: 2, records: 2, method, seed: diesAt, deaths: 1 };
  check(plan, await Deno.readFile(path), told, warnings);
  return answer.isDead;
}

function check(
  { threads, records }: AppendPlan,
  content: Uint8Array,
  told: Float64Array,
  warnings: readonly string[],
): void {
  const { offsets, holes } = partsOf(content);
  for (let thread = 0; thread < threads; thread++) {
    for (let number = 0; number < records; number++) {
      const offset = told[thread * records + number]! - 1;
      if (offset < 0) continue;
      const name = nameOf(thread, number);
      assertEquals(offsets.get(name), offset, `record ${name}`);
      assertEquals(recordAt(content, offset).thread, thread);
    }
  }
  const ranges = warnings.flatMap((text) => {
    const [, from, to] = HOLE.exec(text) ?? [];
    return from === undefined ? [] : [{ from: Number(from), to: Number(to) + 1 }];
  });
  for (const hole of holes) assert(isCovered(hole, ranges), `nobody told of the hole ${hole.from}`);
}

interface Range {
  readonly from: number;
  readonly to: number;
}

function isCovered({ from, to }: Range, ranges: readonly Range[]): boolean {
  for (let at = from; at < to;) {
    const next = ranges.find((range) => range.from <= at && at < range.to);
    if (next === undefined) return false;
    at = next.to;
  }
  return true;
}

/** Runs one thread after another, as they die. @returns how many did */
function runThread(
  { records, deaths, seed, lies = false }: AppendPlan,
  ask: Pick<AppendAsk, "token" | "file" | "path" | "told" | "thread" | "threads">,
  heard: Heard,
): Promise<number> {
  const lives = { thread: ask.thread, records, deaths, seed, stepsARecord: 1 };
  return runLives(lives, (life) => runWorker({ ...ask, ...life, lies }, heard));
}

async function runWorker(ask: AppendAsk, heard: Heard): Promise<LifeAnswer> {
  const url = new URL("./append_model_worker.ts", import.meta.url);
  const answer = await runMortal<AppendAnswer>(url, ask, (message) => {
    if ("warning" in message) {
      heard.warnings.push(message.warning);
      return "more";
    }
    if ("refusal" in message) {
      heard.warnings.push(message.refusal);
      heard.onRefusal?.();
      return "more";
    }
    return "isDead" in message && message.isDead ? "dies" : "last";
  });
  return answer as LifeAnswer;
}
