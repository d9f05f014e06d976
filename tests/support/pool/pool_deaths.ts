/**
 * pool_deaths.ts: threads that die before any of the atomic steps by which they read, evict,
 * change, flush and forget pages: afterwards each page can be used, and has what it must have.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, AioFile, PagePool } from "../../../mod.ts";
import type { Prng } from "../prng.ts";
import { until } from "../patience.ts";
import { AskedThread } from "../threads/asked_thread.ts";
import { byteOf, leftIn, type PoolCase } from "./pool_case.ts";

/** What the thread does. */
export type DeathWork =
  | "read"
  | "readBlocking"
  | "stream"
  | "extend"
  | "change"
  | "flush"
  | "invalidate";

/** Each of them. */
export const DEATH_WORK: readonly DeathWork[] = [
  "read",
  "readBlocking",
  "stream",
  "extend",
  "change",
  "flush",
  "invalidate",
];

/** What a thread is sent. */
export interface DeathAsk {
  readonly aio: Aio["token"];
  readonly pool: PagePool["token"];
  readonly file: AioFile["token"];
  readonly work: DeathWork;
  /** Before which step; infinite: none. */
  readonly diesAt: number;
}

/** Pages of the pool. */
export const DEATH_PAGES = 16;
const MODULE = new URL("./pool_deaths_worker.ts", import.meta.url);

/** Has threads die while they do something. */
export async function runPoolDeaths(
  it: PoolCase,
  work: DeathWork,
  deaths: number,
  prng: Prng,
): Promise<void> {
  const now = Array.from({ length: it.blocks }, (_, block) => byteOf(block));
  await changeAll(it, now, 1);
  const steps = await runThread(it, work, Infinity);
  assert(steps !== null && steps > 10, `${steps} steps`);
  await checkAll(it, now, work);
  for (let i = 0; i < deaths; i++) {
    await changeAll(it, now, i + 2);
    const diesAt = prng.below(steps);
    await runThread(it, work, diesAt);
    try {
      await checkAll(it, now, work);
    } catch (error) {
      throw new Error(`A death before step ${diesAt} of ${steps}`, { cause: error });
    }
  }
}

/** Fills the pool with changed pages. */
async function changeAll({ pool, file }: PoolCase, now: number[], round: number): Promise<void> {
  for (let block = 0; block < DEATH_PAGES; block++) {
    using page = await pool.read(file, block);
    using _lock = await page.lock("exclusive");
    now[block] = (byteOf(block) + round) % 251;
    page.bytes.fill(now[block]!);
    page.markDirty();
  }
}

/** @returns its steps; null if it died */
async function runThread(it: PoolCase, work: DeathWork, diesAt: number): Promise<number | null> {
  const { aio, pool, file } = it;
  const thread = new AskedThread<DeathAsk>(MODULE);
  const ask = { aio: aio.token, pool: pool.token, file: file.token, work, diesAt };
  let steps: number | null = null;
  let failure: unknown = null;
  let hasAttached = false;
  thread.ask<number>(ask).then((count) => steps = count, (error) => failure = error);
  await until(() => {
    hasAttached ||= aio.backends().length > 1;
    backendOf(aio).reapDead();
    const isGone = hasAttached && aio.backends().length === 1;
    return failure !== null || steps !== null || isGone;
  }, "the thread ends or dies");
  // A thread that leaves is no backend any more before it answers.
  if (diesAt === Infinity) await until(() => steps !== null || failure !== null, "it answers");
  if (failure !== null) throw failure;
  if (steps !== null) thread.terminate();
  return steps;
}

/** Each page is there, can be pinned, and says what it must. */
async function checkAll(it: PoolCase, now: number[], work: DeathWork): Promise<void> {
  const { pool, file } = it;
  assertEquals(leftIn(pool), []);
  const rows = pool.pages().filter(({ path }) => path !== null);
  assertEquals(new Set(rows.map(({ block }) => block)).size, rows.length, "a block has two pages");
  const old = await Deno.readFile(it.path);
  for (let block = 0; block < it.blocks; block++) {
    const byte = await readByte(it, block, now, work);
    // What was forgotten is as the file has it.
    const isForgotten = work === "invalidate" && byte === old[block * pool.pageSize];
    if (!isForgotten) assertEquals(byte, now[block], `block ${block}`);
  }
  const pages = await Promise.all(
    Array.from({ length: DEATH_PAGES }, (_, i) => pool.read(file, 2 * i)),
  );
  for (const page of pages) page.release();
  await pool.flush();
  await pool.invalidate(file);
  assertEquals(pool.pages().filter(({ path }) => path !== null), []);
}

async function readByte(
  { pool, file }: PoolCase,
  block: number,
  now: number[],
  work: DeathWork,
): Promise<number> {
  try {
    using page = await pool.read(file, block);
    return page.bytes[0]!;
  } catch (error) {
    assert(error instanceof Deno.errors.InvalidData && work === "change", String(error));
    await pool.repair(file, block, (bytes) => void bytes.fill(now[block]!));
    return now[block]!;
  }
}
