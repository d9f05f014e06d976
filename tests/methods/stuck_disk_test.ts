/**
 * stuck_disk_test.ts: on a disk that stands still the event loop goes on: timers, abort signals,
 * other files. If the library made a blocking call in the event loop's own thread, the loop would
 * stand still until another process thaws the disk, a minute later, and the test would fail. Writes
 * on XFS: stuck_disk_long_test.ts.
 */

import { assertEquals } from "@std/assert";
import { Aio } from "../../mod.ts";
import type { IoMethodName } from "../../methods/mod.ts";
import { isQuickPart } from "../support/house/part.ts";
import { METHODS_UNDER_TEST, methodsOfPart } from "../support/methods.ts";
import { diskAvailable, makeInnerDevice, shareDisk } from "../support/disks/stuck_disk.ts";
import {
  BLOCK_BYTES,
  FEW,
  isAnyOver,
  LoopWatch,
  STUCK_WRITES,
  testStuckWrites,
  thawInTime,
  untilItTurned,
} from "../support/disks/stuck_writes.ts";
import { contentAt, writeRandomFile } from "../support/temp.ts";
import { Turns } from "../support/turns.ts";

const SEED = 5;

const ext4 = shareDisk("ext4");
const xfs = shareDisk("xfs");

const FEWER_WRITES = [
  "32 writes",
  "32 writes, before any Worker runs",
  "160 writes, with Workers running",
] as const;
for (const name of isQuickPart() ? FEWER_WRITES : STUCK_WRITES) testStuckWrites(name, "ext4", ext4);
testStuckWrites("32 writes", "xfs", xfs);

/** So far apart that none reads ahead into the next. */
const READ_STRIDE_BYTES = 8 * BLOCK_BYTES;
/**
 * More than the device takes at once, so that a thread that submits the next one gets stuck.
 */
const MANY_READS = 400;

async function readFromStuckDevice(method: IoMethodName, count: number): Promise<void> {
  const disk = ext4();
  const bytes = 512 * READ_STRIDE_BYTES;
  await writeRandomFile(disk.join("content"), bytes, SEED);
  await using device = await makeInnerDevice(disk.join("content"), bytes);
  await using aio = await Aio.open({ method, maxConcurrency: 512, workers: FEW });
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

const turns = new Turns(2);
const asynchronous = METHODS_UNDER_TEST.filter(({ name }) => name !== "sync");
for (const count of [MANY_READS, 32]) {
  const name = `${count} reads of a device that stands still do not stop the event loop`;
  for (const { name: method, ignore } of methodsOfPart(name, asynchronous, turns)) {
    Deno.test({
      name: `${method}: ${name}`,
      ignore: ignore || !diskAvailable("ext4"),
      fn: () => readFromStuckDevice(method, count),
    });
  }
}
