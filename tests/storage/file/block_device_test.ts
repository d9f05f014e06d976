/**
 * block_device_test.ts: direct I/O on a block device.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { isRoot, tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 5;
const isLinux = Deno.build.os === "linux";

/** Runs a command whose output is one line. */
async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout, success, stderr } = await new Deno.Command(command, { args }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

function loopAvailable(): boolean {
  if (!isLinux || !isRoot()) return false;
  try {
    return new Deno.Command("losetup", { args: ["-f"] }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

testEachMethod("a block device has its size, and refuses what is misaligned", async (method) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("image"), 1024 * 1024, SEED);
  const device = await output("losetup", "-f", "--show", dir.join("image"));
  try {
    await using aio = await openAio(method);
    await using file = await aio.openFile(device, { read: true, direct: "required" });
    assertEquals([await file.size(), file.sizeSync()], [1024 * 1024, 1024 * 1024]);
    const buffer = new Uint8Array(4096);
    assertEquals(await file.readAt(buffer, 8192), 4096);
    assertEquals(buffer, contentAt(SEED, 8192, 4096));
    await assertRejects(() => file.readAt(new Uint8Array(100), 0), RangeError, "length 100");
    assertEquals(await file.readAt(buffer, 1024 * 1024), 0);
  } finally {
    await output("losetup", "-d", device);
  }
}, loopAvailable());
