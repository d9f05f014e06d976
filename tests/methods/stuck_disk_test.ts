/**
 * stuck_disk_test.ts: on a disk that stands still the event loop goes on: timers, abort signals,
 * other files. Where a call that blocks is made in the event loop's own thread, it stands until the
 * disk is thawed by another process, a minute later, and the test fails.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Aio, type AioFile } from "../../mod.ts";
import type { IoMethodName } from "../../methods/mod.ts";
import { METHODS_UNDER_TEST } from "../support/methods.ts";
import {
  diskAvailable,
  type DiskType,
  type Frozen,
  makeDisk,
  makeInnerDevice,
} from "../support/disks/stuck_disk.ts";
import { contentAt, writeRandomFile } from "../support/temp.ts";
import { lockQueue, METHODS_FOR_TESTS, poolUp } from "../support/workers/worker_pool.ts";

const BLOCK_BYTES = 4096;
const SEED = 5;
/** More than there are Workers, and than `maxConcurrency`, so that some wait for a handle. */
const MANY_WRITES = 160;
/** How often the event loop has to come around while the disk stands still. */
const TURNS_MIN = 20;
/** And for how long, in units of its longest pause with or without the disk. */
const PAUSES_MIN = 4;

/** Watches the event loop. */
class LoopWatch implements Disposable {
  /** How often it came around. */
  turns = 0;
  /** The longest it did not, in ms. */
  longestMs = 0;
  readonly since = performance.now();
  #last = this.since;
  readonly #timer = setInterval(() => this.#look(), 1);

  #look(): void {
    const now = performance.now();
    this.turns++;
    this.longestMs = Math.max(this.longestMs, now - this.#last);
    this.#last = now;
  }

  /** Ends it, with a last look. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#look();
  }
}

/** What a test does on the disk. */
interface Plan {
  readonly method: IoMethodName;
  /** Whether the pool of Workers runs already. */
  readonly isWarm?: boolean;
  readonly writes: number;
  /**
   * Whether another thread has the lock of the queue, which every IO of the method goes through.
   */
  readonly isLocked?: boolean;
}

function blockOf(i: number): Uint8Array {
  return contentAt(SEED, i * BLOCK_BYTES, BLOCK_BYTES);
}

function startWrites(files: readonly AioFile[], count: number): Promise<number>[] {
  return Array.from(
    { length: count },
    (_, i) => files[i % files.length]!.writeAt(blockOf(i), i * BLOCK_BYTES),
  );
}

/**
 * Opens an Aio and writes in it; with `stand` the disk stands still meanwhile.
 *
 * @returns its longest pause
 */
async function write(
  path: string,
  plan: Plan,
  stand: (pending: readonly Promise<unknown>[], watch: LoopWatch, aio: Aio) => Promise<void>,
): Promise<number> {
  await using aio = await Aio.open({ method: plan.method }, METHODS_FOR_TESTS);
  if (plan.isWarm === true) await poolUp(aio);
  await using file = await aio.openFile(path, { read: true, write: true });
  await using direct = await aio.openFile(path, { read: true, write: true, direct: "optional" });
  using watch = new LoopWatch();
  const unlock = plan.isLocked === true ? lockQueue(aio) : () => {};
  const writes = startWrites([file, direct], plan.writes);
  const flushes = [file.sync(), direct.syncData()];
  await stand(writes, watch, aio);
  unlock();
  assertEquals(await Promise.all(writes), Array(plan.writes).fill(BLOCK_BYTES));
  await Promise.all(flushes);
  for (let i = 0; i < plan.writes; i++) {
    const view = new Uint8Array(BLOCK_BYTES);
    await file.readAt(view, i * BLOCK_BYTES);
    assertEquals(view, blockOf(i));
  }
  return watch.longestMs;
}

async function untilItTurned(watch: LoopWatch, baselineMs: number): Promise<void> {
  const { since, turns } = watch;
  const isEnough = () => {
    const pauseMs = Math.max(baselineMs, watch.longestMs);
    return watch.turns - turns >= TURNS_MIN && performance.now() - since >= PAUSES_MIN * pauseMs;
  };
  while (!isEnough()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Whether any of them is over. */
async function isAnyOver(promises: readonly Promise<unknown>[]): Promise<boolean> {
  const pending = Promise.resolve(false);
  return await Promise.race([...promises.map((one) => one.then(() => true)), pending]);
}

async function thawInTime(frozen: Frozen, watch: LoopWatch): Promise<void> {
  assert(await frozen.thaw(), `the event loop stood for ${watch.longestMs} ms`);
}

async function writeToStuckDisk(type: DiskType, plan: Plan): Promise<void> {
  await using disk = await makeDisk(type);
  const path = disk.join("file");
  await writeRandomFile(path, 2 * MANY_WRITES * BLOCK_BYTES, SEED);
  const baselineMs = await write(path, plan, () => Promise.resolve());
  await using frozen = await disk.freeze();
  const stand = async (writes: readonly Promise<unknown>[], watch: LoopWatch, aio: Aio) => {
    await using other = await aio.openFile(path, { write: true });
    const aborted = new AbortController();
    const { signal } = aborted;
    const given = other.writeAt(blockOf(0), MANY_WRITES * BLOCK_BYTES, { signal });
    await untilItTurned(watch, baselineMs);
    assertEquals(await isAnyOver(writes), false, "the disk does not stand still");
    aborted.abort(new Error("enough"));
    await assertRejects(() => given, Error, "enough");
    await thawInTime(frozen, watch);
  };
  await write(path, plan, stand);
}

const PLANS: Readonly<Record<string, Plan>> = {
  "32 writes": { method: "io_uring", writes: 32 },
  [`${MANY_WRITES} writes`]: { method: "io_uring", writes: MANY_WRITES },
  "32 writes, before any Worker runs": { method: "worker", writes: 32 },
  "32 writes, with Workers running": { method: "worker", writes: 32, isWarm: true },
  [`${MANY_WRITES} writes, with Workers running`]: {
    method: "worker",
    writes: MANY_WRITES,
    isWarm: true,
  },
  "32 writes, with the queue locked": {
    method: "worker",
    writes: 32,
    isWarm: true,
    isLocked: true,
  },
};

for (const type of ["ext4", "xfs"] as const) {
  for (const [name, plan] of Object.entries(PLANS)) {
    const lacks = METHODS_UNDER_TEST.some((it) => it.name === plan.method && it.ignore);
    Deno.test({
      name: `${plan.method}: ${name}, on a frozen ${type} do not stop the event loop`,
      ignore: lacks || !diskAvailable(type),
      fn: () => writeToStuckDisk(type, plan),
    });
  }
}

/** So far apart that none reads ahead into the next. */
const READ_STRIDE_BYTES = 8 * BLOCK_BYTES;
/**
 * More than the device takes at once, so that whoever submits the next one in its own thread is
 * stuck.
 */
const MANY_READS = 400;

async function readFromStuckDevice(method: IoMethodName, count: number): Promise<void> {
  await using disk = await makeDisk("ext4");
  const bytes = 512 * READ_STRIDE_BYTES;
  await writeRandomFile(disk.join("content"), bytes, SEED);
  await using device = await makeInnerDevice(disk.join("content"), bytes);
  await using aio = await Aio.open({ method, maxConcurrency: 512 });
  await using file = await aio.openFile(device.path);
  await using frozen = await disk.freeze();
  await device.stick();
  using watch = new LoopWatch();
  const offsets = Array.from({ length: count }, (_, i) => (i * 37 % 511) * READ_STRIDE_BYTES);
  const views = offsets.map(() => new Uint8Array(BLOCK_BYTES));
  const reads: Promise<number>[] = [];
  for (const [i, offset] of offsets.entries()) {
    reads.push(file.readAt(views[i]!, offset));
    if (i % 32 === 31) await new Promise((resolve) => setTimeout(resolve));
  }
  await untilItTurned(watch, 0);
  assertEquals(await isAnyOver(reads), false, "the device does not stand still");
  await thawInTime(frozen, watch);
  await Promise.all(reads);
  for (const [i, view] of views.entries()) {
    assertEquals(view, contentAt(SEED, offsets[i]!, BLOCK_BYTES));
  }
}

for (const { name: method, ignore } of METHODS_UNDER_TEST) {
  if (method === "sync") continue;
  for (const count of [32, MANY_READS]) {
    Deno.test({
      name: `${method}: ${count} reads of a device that stands still do not stop the event loop`,
      ignore: ignore || !diskAvailable("ext4"),
      fn: () => readFromStuckDevice(method, count),
    });
  }
}
