/**
 * block_device_test.ts: direct I/O on a block device.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";
import { loopAvailable, makeInnerDevice } from "../../support/disks/stuck_disk.ts";

const SEED = 5;
testEachMethod("a block device has its size, and refuses what is misaligned", async (method) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("image"), 1024 * 1024, SEED);
  await using device = await makeInnerDevice(dir.join("image"), 1024 * 1024);
  await using aio = await openAio(method);
  await using file = await aio.openFile(device.path, { read: true, direct: "required" });
  assertEquals([await file.size(), file.sizeSync()], [1024 * 1024, 1024 * 1024]);
  const buffer = new Uint8Array(4096);
  assertEquals(await file.readAt(buffer, 8192), 4096);
  assertEquals(buffer, contentAt(SEED, 8192, 4096));
  await assertRejects(() => file.readAt(new Uint8Array(100), 0), RangeError, "length 100");
  assertEquals(await file.readAt(buffer, 1024 * 1024), 0);
}, loopAvailable());
