/**
 * stuck_writes.ts: the check that stuck_disk_test.ts makes with each plan, and
 * stuck_disk_long_test.ts with each on another file system, too.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Aio, type AioFile } from "../../../mod.ts";
import type { WorkerPoolOptions } from "../../../core/mod.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import { METHODS_UNDER_TEST } from "../methods.ts";
import { type Disk, diskAvailable, type DiskType, type Frozen } from "./stuck_disk.ts";
import { contentAt, writeRandomFile } from "../temp.ts";
import { lockQueue, METHODS_FOR_TESTS, poolUp } from "../workers/worker_pool.ts";
import { until } from "../patience.ts";

/** What one write or read moves. */
export const BLOCK_BYTES = 4096;
const SEED = 5;
/** More than there are Workers, and than `maxConcurrency`, so that some wait for a handle. */
const MANY_WRITES = 160;
/** Workers, all of which are stuck soon. */
export const FEW: WorkerPoolOptions = { min: 1, max: 2 };
/** How often the event loop has to come around while the disk stands still. */
const TURNS_MIN = 20;
/** And for how long, in units of its longest pause with or without the disk. */
const PAUSES_MIN = 4;

/** Watches the event loop. */
export class LoopWatch implements Disposable {
  /** How often it came around. */
  turns = 0;
  /** The longest time without a turn, in ms. */
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
 * @returns the event loop's longest pause
 */
async function write(
  path: string,
  plan: Plan,
  stand: (pending: readonly Promise<unknown>[], watch: LoopWatch, aio: Aio) => Promise<void>,
): Promise<number> {
  await using aio = await Aio.open({ method: plan.method, workers: FEW }, METHODS_FOR_TESTS);
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

export async function untilItTurned(watch: LoopWatch, baselineMs: number): Promise<void> {
  const { since, turns } = watch;
  const isEnough = () => {
    const pauseMs = Math.max(baselineMs, watch.longestMs);
    return watch.turns - turns >= TURNS_MIN && performance.now() - since >= PAUSES_MIN * pauseMs;
  };
  await until(isEnough, "the event loop turns");
}

/** Whether any of them is over. */
export async function isAnyOver(promises: readonly Promise<unknown>[]): Promise<boolean> {
  const pending = Promise.resolve(false);
  return await Promise.race([...promises.map((one) => one.then(() => true)), pending]);
}

export async function thawInTime(frozen: Frozen, watch: LoopWatch): Promise<void> {
  assert(await frozen.thaw(), `the event loop stood for ${watch.longestMs} ms`);
}

async function writeToStuckDisk(disk: Disk, plan: Plan): Promise<void> {
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

/** What is done, by its name. */
const PLANS = {
  "32 writes": { method: "io_uring", writes: 32 },
  "160 writes": { method: "io_uring", writes: MANY_WRITES },
  "32 writes, before any Worker runs": { method: "worker", writes: 32 },
  "32 writes, with Workers running": { method: "worker", writes: 32, isWarm: true },
  "160 writes, with Workers running": {
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
} as const satisfies Readonly<Record<string, Plan>>;

/** The names of all that can be done. */
export const STUCK_WRITES = Object.keys(PLANS) as (keyof typeof PLANS)[];

/**
 * Registers that writes to a frozen disk do not stop the event loop.
 *
 * @param name what is done
 * @param diskOf the disk
 */
export function testStuckWrites(
  name: keyof typeof PLANS,
  type: DiskType,
  diskOf: () => Disk,
): void {
  const plan = PLANS[name];
  const lacks = METHODS_UNDER_TEST.some((it) => it.name === plan.method && it.ignore);
  Deno.test({
    name: `${plan.method}: ${name}, on a frozen ${type} do not stop the event loop`,
    ignore: lacks || !diskAvailable(type),
    fn: () => writeToStuckDisk(diskOf(), plan),
  });
}
