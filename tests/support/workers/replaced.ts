/**
 * replaced.ts: the check that worker_test.ts makes with some ways for a Worker to end, and
 * worker_long_test.ts with all.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { FAULTS } from "../../methods/fixtures/worker_faults.ts";
import { until } from "../patience.ts";
import { contentAt } from "../temp.ts";
import { open, READ_BYTES, readAndCheck, SEED, start, synchronousCount } from "./opened_pool.ts";
import { poolUp, runningWorkers } from "./worker_pool.ts";

/** Registers a test that another Worker takes the place of one that has ended, and does its IO. */
export function testReplaced(how: keyof typeof FAULTS): void {
  Deno.test(`worker: a Worker that ${how} is replaced, and its IO done`, async () => {
    await using opened = await open();
    const { aio } = opened;
    await poolUp(aio);
    const before = aio.workers()[0]!.threadId;
    const { ref, ret, view } = start(opened, "fault", FAULTS[how]);
    await aio.wait(ref);
    assertEquals([ret.result.status, synchronousCount(aio)], ["ok", 0]);
    assertEquals(new Uint8Array(view), contentAt(SEED, 100, READ_BYTES));
    const reads = Array.from({ length: 10 }, (_, i) => readAndCheck(opened, i));
    await Promise.all(reads);
    await until(() => {
      const [worker] = aio.workers();
      return runningWorkers(aio) >= 1 && worker !== undefined && worker.threadId !== before;
    }, "another Worker takes its place");
    await readAndCheck(opened, 5);
    assertEquals(aio.ios(), []);
  });
}
