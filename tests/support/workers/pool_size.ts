/**
 * pool_size.ts: the check that worker_test.ts makes with few Workers, and worker_long_test.ts with
 * many.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { WorkerPoolOptions } from "../../../mod.ts";
import { poolOf } from "../../../methods/worker.ts";
import { open, readAndCheck } from "./opened_pool.ts";
import { until } from "../patience.ts";
import { poolUp } from "./worker_pool.ts";

/** A pool whose Workers come and go without delay. */
const AT_ONCE: WorkerPoolOptions = { idleTimeoutMs: 0, launchIntervalMs: 0 };

/** Registers a test that the least number of Workers is there. */
export function testLeast(count: number): void {
  Deno.test(`worker: of a least number of ${count} there are that many, also after one has died`, async () => {
    await using opened = await open({ workers: { min: count, max: 32, ...AT_ONCE } });
    const { aio } = opened;
    await poolUp(aio);
    assertEquals(aio.workers().length, count);
    const before = aio.workers().map(({ threadId }) => threadId);
    poolOf(backendOf(aio))!.threads.get(count - 1)!.thread.terminate();
    await readAndCheck(opened, 0);
    await until(() => {
      const threads = aio.workers().map(({ threadId }) => threadId);
      return threads.length === count && threads.some((id) => !before.includes(id));
    }, "another Worker takes its place");
    await readAndCheck(opened, 0);
  });
}
