/**
 * large_inodes_test.ts: files whose inodes are above 2^53 and follow one another, as those of CIFS,
 * NTFS and overlays may be. Rounded to a number two of them are one.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { testsOnFuse } from "../../support/disks/on_fuse.ts";
import type { FuseServer } from "../../support/disks/fuse_server.ts";
import { openAio } from "../../support/methods.ts";

/** What each file of the server holds. */
const FILE_BYTES = 1024 * 1024;
const PAGE_BYTES = 8192;
const WRITE = { read: true, write: true } as const;

const testOnFuse = testsOnFuse();

/** Makes the inodes of two files neighbours. */
async function neighbours(server: FuseServer): Promise<readonly [string, string]> {
  const paths = [server.join("one"), server.join("two")] as const;
  for (const path of paths) await Deno.stat(path);
  return paths;
}

testOnFuse("append() to files whose large inodes are neighbours keeps an end for each", async (
  server,
  method,
) => {
  const [one, two] = await neighbours(server);
  await using aio = await openAio(method);
  await using first = await aio.openFile(one, WRITE);
  await using second = await aio.openFile(two, WRITE);
  assertEquals(await first.append(new Uint8Array(100)), FILE_BYTES);
  assertEquals(await second.append(new Uint8Array(10)), FILE_BYTES);
  assertEquals(await first.append(new Uint8Array(10)), FILE_BYTES + 100);
  // A second opening is of the same file all the same.
  await using again = await aio.openFile(two, WRITE);
  assertEquals(await again.append(new Uint8Array(10)), FILE_BYTES + 10);
});

testOnFuse(
  "copyRangeTo() between files whose large inodes are neighbours is none within a file",
  async (
    server,
    method,
  ) => {
    const [one, two] = await neighbours(server);
    await using aio = await openAio(method);
    await using first = await aio.openFile(one, WRITE);
    await using second = await aio.openFile(two, WRITE);
    assertEquals(await first.copyRangeTo(second, 0, 0, 100), 100);
    await using again = await aio.openFile(one, WRITE);
    await assertRejects(() => first.copyRangeTo(again, 0, 0, 100), RangeError, "overlap");
  },
);

testOnFuse("openPool() has pages for each of files whose large inodes are neighbours", async (
  server,
  method,
) => {
  const [one, two] = await neighbours(server);
  await using aio = await openAio(method);
  await using first = await aio.openFile(one, WRITE);
  await using second = await aio.openFile(two, WRITE);
  await using pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
  for (const file of [first, second]) (await pool.read(file, 0)).release();
  assertEquals(pool.stats().reads, 2);
});
