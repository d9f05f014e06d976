/**
 * device_order.ts: a program whose one file is a block device, recorded from within by `recordIo()`
 * and from below by the device's log. Each sector that is written tells which write it is of, so
 * that the two can be compared exactly.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { recordedOf } from "../../../testing/recording.ts";
import { Timeline } from "../../../testing/timeline.ts";
import { type CrashState, crashState, type Recording, recordIo } from "../../../testing/mod.ts";
import { contentAt, Prng } from "../prng.ts";
import { tempDir } from "../temp.ts";
import { METHODS_FOR_TESTS, ONE_WORKER } from "../workers/worker_pool.ts";
import { type DeviceEntry, SECTOR_BYTES } from "./device_log.ts";
import { type DeviceCache, showDevice } from "./logged_device.ts";

const ARENA_BYTES = 1024 * 1024;
const TASKS = 4;
const OPERATIONS = 40;
/** Each task has a part of the device of its own: of writes at once to one place, any is last. */
const PART_BYTES = 262_144;
const DEVICE_BYTES = TASKS * PART_BYTES;
const WRITE_BYTES_MAX = 40_960;
/** What direct IO wants where the file system does not say. */
const DIRECT_UNIT_BYTES = 4096;
/** Two words at the beginning of each sector say of which write it is, and which of that. */
const NAME_BYTES = 8;

/** How the device is used. */
export interface DevicePlan {
  readonly method: IoMethodName;
  readonly direct: boolean;
  readonly seed: number;
  readonly cache?: DeviceCache;
}

/** What was seen from within, and from below. A mark is the number of entries by then. */
export interface SeenTwice {
  readonly recording: Recording<number>;
  readonly entries: readonly DeviceEntry[];
}

/** Runs the program. `recordIo()` compares what it has seen with the device's bytes in the end. */
export async function useDevice(plan: DevicePlan): Promise<SeenTwice> {
  await using dir = await tempDir();
  const image = dir.join("image");
  await Deno.writeFile(image, new Uint8Array(DEVICE_BYTES));
  const aioOptions = { method: plan.method, arenaBytes: ARENA_BYTES, workers: ONE_WORKER };
  let entries: DeviceEntry[] = [];
  const recording = await recordIo<number>(async (aio, directory, recorder) => {
    const path = `${directory}/device`;
    {
      await using device = await showDevice(path, { image, cache: plan.cache ?? "writeback" });
      const mark = () => recorder.mark(device.log.count());
      await writeParts(aio, path, plan, mark);
      entries = device.log.entries();
    }
    await Deno.writeFile(path, await Deno.readFile(image));
  }, { from: await emptyDevice(), aio: aioOptions, methods: METHODS_FOR_TESTS });
  return { recording, entries };
}

/** The file that the device is shown at, as the base of a recording. */
async function emptyDevice(): Promise<CrashState<number>> {
  const recording = await recordIo<number>(async (aio, directory) => {
    const options = { write: true, createNew: true };
    await using file = await aio.openFile(`${directory}/device`, options);
    await file.truncate(DEVICE_BYTES);
    await file.sync();
    await aio.syncDirectory(directory);
  });
  return crashState(recording, `${recording.steps.length}:0`);
}

async function writeParts(
  aio: Aio,
  path: string,
  { direct, seed }: DevicePlan,
  mark: () => void,
): Promise<void> {
  const options = { write: true, direct: direct ? "required" : "off" } as const;
  await using file = await aio.openFile(path, options);
  await using durable = await aio.openFile(path, { ...options, dsync: true });
  let writes = 0;
  const name = () => ++writes;
  await Promise.all(Array.from({ length: TASKS }, async (_, task) => {
    const unit = direct ? DIRECT_UNIT_BYTES : SECTOR_BYTES;
    const part = { prng: new Prng(seed + task), first: task * PART_BYTES, unit, name };
    const memory = aio.alloc(WRITE_BYTES_MAX);
    for (let i = 0; i < OPERATIONS; i++) {
      mark();
      await operate(part, memory, file, durable);
      mark();
    }
  }));
}

/** What one task does, next to others. */
interface Part {
  readonly prng: Prng;
  /** Where its part of the device begins. */
  readonly first: number;
  /** What writes are multiples of. */
  readonly unit: number;
  /** The number of the next write. */
  name(): number;
}

async function operate(
  { prng, first, unit, name }: Part,
  memory: Uint8Array,
  file: AioFile,
  durable: AioFile,
): Promise<void> {
  const what = prng.below(10);
  if (what === 0) return await file.sync();
  if (what <= 2) return await file.syncData();
  const units = prng.between(1, prng.chance(1, 4) ? WRITE_BYTES_MAX / unit : 4);
  const bytes = memory.subarray(0, units * unit);
  fillSectors(bytes, name());
  const offset = first + unit * prng.below((PART_BYTES - bytes.length) / unit + 1);
  if (what === 3) await durable.writeAt(bytes, offset);
  else await file.writeAt(bytes, offset, { durable: what === 4 });
}

function fillSectors(bytes: Uint8Array, write: number): void {
  bytes.set(contentAt(write, 0, bytes.length));
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
    view.setUint32(at, write);
    view.setUint32(at + 4, at);
  }
}

/** Where sectors are in the log of the device, by their names. */
function placesOf(entries: readonly DeviceEntry[]): Map<string, number> {
  const places = new Map<string, number>();
  for (const [index, { offset, bytes }] of entries.entries()) {
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const key = sectorKey(offset + at, bytes.subarray(at, at + SECTOR_BYTES));
      assertEquals(places.has(key), false, `the device is told once: ${key}`);
      places.set(key, index);
    }
  }
  return places;
}

/** Two sectors are the same if all of their bytes and their places are: so these are all in it. */
function sectorKey(offset: number, bytes: Uint8Array): string {
  const name = new DataView(bytes.buffer, bytes.byteOffset, NAME_BYTES);
  return `${name.getUint32(0)} ${name.getUint32(4)} at ${offset}: ${bytes.toHex()}`;
}

/** How often what was compared. */
export interface Compared {
  readonly sectors: number;
  readonly flushes: number;
  /** The flushes that the device saw. */
  readonly deviceFlushes: number;
}

/**
 * Compares both: each sector that was written has reached the device once, not before the write has
 * begun; and what a flush covers did so before a flush of the device, which was over by the end of
 * that flush.
 *
 * @throws for the first that is not so
 */
export function compareOrder({ recording, entries }: SeenTwice): Compared {
  const recorded = recordedOf(recording);
  const { changes } = recorded;
  const { begins, ends } = new Timeline(recorded);
  const { before, behind } = boundsOf(recorded);
  const places = placesOf(entries);
  let [sectors, flushes] = [0, 0];
  /** Of each write, its last entry. */
  const lasts = new Map<number, number>();
  for (const [id, change] of changes.entries()) {
    if (change.kind !== "write") continue;
    for (let at = 0; at < change.bytes.length; at += SECTOR_BYTES) {
      const key = sectorKey(change.offset + at, change.bytes.subarray(at, at + SECTOR_BYTES));
      const place = places.get(key) ?? -1;
      if (place < before(begins[id]!)) throw new Error(`Not told, or too early: ${key}`);
      lasts.set(id, Math.max(place, lasts.get(id) ?? 0));
      sectors++;
    }
  }
  assertEquals(sectors, places.size, "the device is told nothing else");
  for (const [id, change] of changes.entries()) {
    if (change.kind === "name" || change.kind === "write" && !change.isDurable) continue;
    const covered = change.kind === "write"
      ? [id]
      : [...lasts.keys()].filter((write) => ends[write]! < begins[id]!);
    const last = Math.max(-1, ...covered.map((write) => lasts.get(write)!));
    // A flush of what was flushed already never gets to the log.
    const flush = entries.findIndex(({ isFlush }, index) => isFlush && index > last);
    if (last >= 0 && (flush < 0 || flush >= behind(ends[id]!))) {
      throw new Error(`Flush ${id} is over, and the device has not flushed entry ${last}`);
    }
    flushes++;
  }
  return { sectors, flushes, deviceFlushes: entries.filter(({ isFlush }) => isFlush).length };
}

/** Between which entries of the device a step was taken, as the marks around it tell. */
function boundsOf({ steps, marks, marksBefore }: ReturnType<typeof recordedOf<number>>) {
  const known: { readonly step: number; readonly count: number }[] = [];
  for (const [step, { kind }] of steps.entries()) {
    if (kind === "mark") known.push({ step, count: marks[marksBefore + known.length]! });
  }
  return {
    before: (at: number) => known.findLast(({ step }) => step < at)?.count ?? 0,
    behind: (at: number) => known.find(({ step }) => step > at)?.count ?? Infinity,
  };
}
