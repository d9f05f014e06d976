/**
 * pool_deaths_worker.ts: a thread of `pool_deaths.ts`: it does some work on a pool, counts the
 * atomic steps that this takes in shared memory, and dies before one of them.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type AioFile, type PagePool } from "../../../mod.ts";
import { backendOf } from "../../../core/inside.ts";
import { AtomicSteps } from "../deaths/atomic_steps.ts";
import { answering } from "../threads/answering.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import type { DeathAsk, DeathWork } from "./pool_deaths.ts";

/** What threads do with a pool. */
const WORK: Readonly<Record<DeathWork, (pool: PagePool, file: AioFile) => Promise<void>>> = {
  async read(pool, file) {
    for (const block of [20, 3, 21, 22]) {
      using _page = await pool.read(file, block);
    }
  },
  async readBlocking(pool, file) {
    for (const block of [20, 3, 21, 22]) {
      using _page = pool.readSync(file, block);
    }
    await Promise.resolve();
  },
  async stream(pool, file) {
    for await (const _page of pool.readStream(file, { from: 18, until: 30, full: true }));
  },
  async extend(pool, file) {
    for (const page of await pool.extend(file, 2)) page.release();
  },
  async change(pool, file) {
    for (const block of [2, 3]) {
      using page = await pool.read(file, block);
      using _lock = await page.lock("exclusive");
      // What is in it already: it shows whether the page was taken for a torn one.
      page.bytes.fill(page.bytes[0]!);
      page.markDirty();
    }
  },
  async flush(pool, file) {
    await pool.flush(file);
  },
  async invalidate(pool, file) {
    await pool.invalidate(file);
  },
};

self.onmessage = answering(async ({ aio: token, pool: poolToken, file: fileToken, ...ask }) => {
  const aio = await Aio.attach(token, {}, METHODS_FOR_TESTS);
  const file = aio.attachFile(fileToken);
  const pool = aio.attachPool(poolToken);
  const { arena, control } = backendOf(aio);
  const steps = new AtomicSteps(arena.buffer, control.words.buffer);
  steps.diesAt = ask.diesAt;
  await WORK[ask.work](pool, file);
  const { count } = steps;
  await pool.close();
  await file.close();
  await aio.close();
  return count;
}) as (event: MessageEvent<{ id: number; ask: DeathAsk }>) => Promise<void>;
