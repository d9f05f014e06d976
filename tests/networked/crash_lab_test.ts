/**
 * crash_lab_test.ts: the crash laboratory beside a block device that logs each write and each flush
 * (`qemu-nbd` with `blklogwrites`): what `recordIo()` calls durable the device has flushed, and
 * files that it may hold after a power cut are as `crashStates()` says. It needs root, and Debian's
 * qemu-utils, libnbd-bin and fuse3; `deno task test:networked` runs it.
 *
 * AIO_TEST_SEED repeats what the programs do. When the kernel writes is up to the kernel.
 */

import { assertGreater, assertRejects } from "@std/assert";
import { testEachMethod } from "../support/methods.ts";
import { crashDevice } from "../support/networked/device_crashes.ts";
import { compareOrder, useDevice } from "../support/networked/device_order.ts";
import { loggedDeviceAvailable } from "../support/networked/logged_device.ts";
import { withSeed } from "../support/prng.ts";

/** Of each run; as many of the laboratory's. */
const STATES = 30;
const CANARY_STATES = 100;
const seen = { sectors: 0, flushes: 0, deviceFlushes: 0, states: 0, acknowledged: 0 };

for (const direct of [false, true]) {
  const way = direct ? ", direct" : "";
  testEachMethod(
    `recordIo() calls durable only what a block device has flushed${way}`,
    (method) =>
      withSeed(async (seed) => {
        const { sectors, flushes, deviceFlushes } = compareOrder(
          await useDevice({ method, direct, seed }),
        );
        assertGreater(flushes, 0);
        seen.sectors += sectors;
        seen.flushes += flushes;
        seen.deviceFlushes += deviceFlushes;
      }),
    loggedDeviceAvailable,
  );
  testEachMethod(
    `a log and a file are in a state that crashStates() says, when their disk loses power${way}`,
    (method) =>
      withSeed(async (seed) => {
        const plan = { method, seed, options: { direct }, states: STATES };
        const { deviceStates, acknowledged } = await crashDevice(plan);
        assertGreater(acknowledged, 0);
        seen.states += deviceStates;
        seen.acknowledged += acknowledged;
      }),
    loggedDeviceAvailable,
  );
}

Deno.test({
  name: "crash laboratory canary: a block device that drops its flushes is found",
  ignore: !loggedDeviceAvailable,
  fn: () =>
    withSeed(async (seed) => {
      const plan = { method: "sync", direct: false, seed, cache: "unsafe" } as const;
      const used = await useDevice(plan);
      await assertRejects(() => Promise.try(() => compareOrder(used)), Error, "has not flushed");
    }),
});

for (
  const [canary, words] of [
    ["acknowledged before the flush", "Lost"],
    ["a flush that is left out", "no state that was said"],
  ] as const
) {
  Deno.test({
    name: `crash laboratory canary: ${canary} is found when the disk loses power`,
    ignore: !loggedDeviceAvailable,
    fn: () =>
      withSeed(async (seed) => {
        const plan = { method: "sync", seed, states: CANARY_STATES, canary } as const;
        const error = await assertRejects(() => crashDevice(plan), Error, "After entry");
        await assertRejects(() => Promise.reject(error.cause), Error, words);
      }),
  });
}

if (loggedDeviceAvailable) {
  Deno.test.afterAll(() => {
    const { sectors, flushes, deviceFlushes, states, acknowledged } = seen;
    console.log(`Block device: ${sectors} sectors and ${flushes} flushes seen from both sides,`);
    console.log(`${deviceFlushes} flushes of its own; ${states} of its states mounted,`);
    console.log(`in which ${acknowledged} acknowledged records were found`);
  });
}
