/**
 * device_crashes.ts: a log and a file on a file system whose device logs writes and flushes, and
 * power cuts of that device: the file system is mounted as the cut has left it, and the log opened.
 *
 * ```text
 * log, file ─► ext4 ─► loop device ─► logged_device.ts
 * ```
 *
 * The same run is recorded by `recordIo()`, and what `crashStates()` makes of that gets the same
 * check.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, OpenLogOptions } from "../../../mod.ts";
import { crashStates, type IoRecorder, type Recording, recordIo } from "../../../testing/mod.ts";
import { type Doing, isState, versionsAfter } from "../crash_model.ts";
import { openAio } from "../methods.ts";
import { Prng } from "../prng.ts";
import { type TempDir, tempDir } from "../temp.ts";
import { METHODS_FOR_TESTS, ONE_WORKER } from "../workers/worker_pool.ts";
import { type DeviceEntry, type DeviceLog, SECTOR_BYTES } from "./device_log.ts";
import { DeviceDisk, drawCuts } from "./device_states.ts";
import { makeFileSystem, mountFileSystem, showDevice } from "./logged_device.ts";

const IMAGE_BYTES = 16 * 1024 * 1024;
const BLOCK_SIZES = [1024, 4096] as const;
const ARENA_BYTES = 2 * 1024 * 1024;
/** Several segments a run. */
const LOG: OpenLogOptions = { segmentBytes: 8192, bufferBytes: 262_144 };
const TASKS = 3;
const RECORDS = 45;
const LENGTHS = [8, 100, 464, 976, 1960] as const;
const DOINGS = 40;
const FILE_BYTES = 20_000;

/** A wrong way to keep a log, or a file. */
export type CrashCanary = "acknowledged before the flush" | "a flush that is left out";

/** What is run, and how often its device loses its power. */
export interface CrashPlan {
  readonly method: IoMethodName;
  readonly seed: number;
  readonly options?: OpenLogOptions;
  /** States of the device, and as many of the recording. */
  readonly states: number;
  readonly canary?: CrashCanary;
}

/** When something was done: between which entries of the device. */
interface Done {
  readonly began: number;
  ended: number;
}

/** What the program knows of itself. */
class Told {
  /** By number of record. */
  readonly records: Done[] = [];
  readonly doings: (Done & { readonly doing: Doing })[] = [];
  readonly #log: DeviceLog;
  readonly #recorder: IoRecorder<number>;

  constructor(log: DeviceLog, recorder: IoRecorder<number>) {
    this.#log = log;
    this.#recorder = recorder;
  }

  /** Begins something. */
  begin(): Done {
    return { began: this.#log.count(), ended: Infinity };
  }

  /** A record is acknowledged. */
  acknowledge(number: number): void {
    this.records[number]!.ended = this.#log.count();
    this.#recorder.mark(number);
  }

  /** Something else is over. */
  end(done: Done): void {
    done.ended = this.#log.count();
  }
}

function numbered(number: number): Uint8Array {
  const record = new Uint8Array(new Prng(number).pick(LENGTHS)).fill(0x2e);
  new DataView(record.buffer).setUint32(0, number);
  return record;
}

/** Appends by several tasks, and says what is durable. */
async function append(aio: Aio, directory: string, told: Told, plan: CrashPlan): Promise<void> {
  const isHasty = plan.canary === "acknowledged before the flush";
  await using log = await aio.openLog(`${directory}/log`, { ...LOG, ...plan.options });
  await Promise.all(Array.from({ length: TASKS }, async () => {
    while (told.records.length < RECORDS) {
      const number = told.records.push(told.begin()) - 1;
      const appended = log.append(numbered(number));
      if (isHasty) told.acknowledge(number);
      await appended;
      if (!isHasty) told.acknowledge(number);
    }
  }));
}

/** Writes to a file, anywhere, cuts it, and flushes it. */
async function write(aio: Aio, directory: string, told: Told, plan: CrashPlan): Promise<void> {
  const prng = new Prng(plan.seed + 1);
  const leavesOut = plan.canary === "a flush that is left out";
  await using file = await aio.openFile(`${directory}/file`, { write: true, create: true });
  await aio.syncDirectory(directory);
  for (let i = 0; i < DOINGS; i++) {
    const doing = drawDoing(prng);
    const done = { ...told.begin(), doing };
    told.doings.push(done);
    if (doing.do === "write") await file.writeAt(doing.bytes, doing.offset);
    else if (doing.do === "truncate") await file.truncate(doing.size);
    else if (!leavesOut) await (prng.chance(1, 2) ? file.sync() : file.syncData());
    told.end(done);
  }
}

function drawDoing(prng: Prng): Doing {
  if (prng.chance(1, 3)) return { do: "flush" };
  const offset = prng.below(FILE_BYTES);
  if (prng.chance(1, 4)) return { do: "truncate", size: offset };
  return { do: "write", offset, bytes: prng.bytes(prng.between(1, prng.pick([100, 3000]))) };
}

/** A run on a device. */
interface Run {
  readonly base: Uint8Array;
  readonly entries: readonly DeviceEntry[];
  /** Entries by the end of the mount, which writes a superblock in its place: no tear is borne. */
  readonly first: number;
  readonly told: Told;
  readonly recording: Recording<number>;
  /** The name of the program's folder. */
  readonly folder: string;
}

/** Runs both on a new device, which is cut off from then on. */
async function run(dir: TempDir, plan: CrashPlan): Promise<Run> {
  const [image, path, mounted] = [dir.join("image"), dir.join("device"), dir.join("mounted")];
  await makeFileSystem(image, IMAGE_BYTES, new Prng(plan.seed).pick(BLOCK_SIZES));
  const base = await Deno.readFile(image);
  await Deno.writeFile(path, new Uint8Array());
  await using device = await showDevice(path, { image });
  const aioOptions = { method: plan.method, arenaBytes: ARENA_BYTES, workers: ONE_WORKER };
  let seen: { readonly told: Told; readonly folder: string; readonly count: number } | null = null;
  await using mount = new AsyncDisposableStack();
  mount.use(await mountFileSystem(dir.path, path, mounted));
  const first = device.log.count();
  const recording = await recordIo<number>(async (aio, directory, recorder) => {
    const told = new Told(device.log, recorder);
    await Promise.all([append(aio, directory, told, plan), write(aio, directory, told, plan)]);
    // What follows is the end of the folder.
    seen = { told, folder: directory.slice(mounted.length + 1), count: device.log.count() };
  }, { parent: mounted, aio: aioOptions, methods: METHODS_FOR_TESTS });
  await mount.disposeAsync();
  const { told, folder, count } = seen!;
  const entries = device.log.entries().slice(0, count);
  return { base, first, recording, told, folder, entries };
}

/** What a power cut has left. */
interface Left {
  readonly directory: string;
  readonly acknowledged: readonly number[];
  /** Records that were begun by then: so many. */
  readonly begun: number;
}

/** Opens the log. @throws if a record is lost, torn, twice, or from nowhere */
async function checkLog(aio: Aio, { directory, acknowledged, begun }: Left): Promise<number> {
  let count = 0;
  if (isThere(directory)) {
    await using log = await aio.openLog(`${directory}/log`, LOG);
    for await (const { data } of log.read()) {
      const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
      assertEquals(number, count++, "the records are those that were appended, in order");
      assertEquals(data, numbered(number), `record ${number} is whole`);
    }
  }
  assert(count <= begun, `Invented: there are ${count} records, and ${begun} were begun`);
  for (const number of acknowledged) assert(number < count, `Lost: record ${number} of ${count}`);
  return count;
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The file is one of those that `crashStates()` would make, as the model of it says. */
async function checkFile(path: string, { doings }: Told, cut: number): Promise<void> {
  const done = doings.filter(({ ended }) => ended <= cut);
  const next = doings.find(({ began, ended }) => began <= cut && ended > cut);
  const bytes = await Deno.readFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound && done.length === 0) return null;
    throw error;
  });
  if (bytes === null) return;
  const program = done.map(({ doing }) => doing);
  const inFlight = next === undefined || next.doing.do === "flush" ? [] : [next.doing];
  const versions = versionsAfter([...program, ...inFlight]);
  assert(isState(versions, bytes, SECTOR_BYTES), `no state that was said: ${bytes.length} bytes`);
}

/** What was looked at. */
export interface Looked {
  readonly deviceStates: number;
  readonly recordedStates: number;
  /** Acknowledged records that were to be found in the device's states. */
  readonly acknowledged: number;
}

/** Runs the program once, and cuts the power. @throws for the first state that is wrong */
export async function crashDevice(plan: CrashPlan): Promise<Looked> {
  await using dir = await tempDir();
  await Deno.mkdir(dir.join("mounted"));
  const seen = await run(dir, plan);
  await using aio = await openAio(plan.method, { arenaBytes: ARENA_BYTES });
  const acknowledged = await lookAtDevice(aio, dir, seen, plan);
  const recordedStates = await lookAtRecording(aio, seen, plan);
  return { deviceStates: plan.states, recordedStates, acknowledged };
}

async function lookAtDevice(aio: Aio, dir: TempDir, seen: Run, plan: CrashPlan): Promise<number> {
  const { base, entries, first, told, folder } = seen;
  const prng = new Prng(plan.seed + 2);
  const disk = new DeviceDisk(base, entries);
  const image = dir.join("cut");
  const directory = join(dir.join("mounted"), folder);
  let sum = 0;
  for (const cut of drawCuts(prng, entries, first, plan.states)) {
    disk.advance(cut);
    await Deno.writeFile(image, disk.state(prng));
    const numbers = [...told.records.keys()];
    const acknowledged = numbers.filter((number) => told.records[number]!.ended <= cut);
    const begun = told.records.filter(({ began }) => began <= cut).length;
    await using _mounted = await mountFileSystem(dir.path, image, dir.join("mounted"));
    try {
      await checkFile(join(directory, "file"), told, cut);
      await checkLog(aio, { directory, acknowledged, begun });
    } catch (error) {
      throw new Error(`After entry ${cut} of ${entries.length}`, { cause: error });
    }
    sum += acknowledged.length;
  }
  return sum;
}

async function lookAtRecording(
  aio: Aio,
  { recording, told }: Run,
  { states, seed }: CrashPlan,
): Promise<number> {
  let count = 0;
  for (const state of crashStates(recording, { seed: seed >>> 0, count: states })) {
    await using dir = await tempDir();
    await state.writeTo(dir.path);
    const { acknowledged } = state;
    await checkLog(aio, { directory: dir.path, acknowledged, begun: told.records.length });
    count++;
  }
  return count;
}
