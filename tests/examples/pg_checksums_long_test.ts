/** pg_checksums_long_test.ts: what pg_checksums_test.ts shows, with a segment of 1 GiB. */

import { assertEquals } from "@std/assert";
import {
  assertSameAsOriginal,
  BLOCKS_PER_SEGMENT,
  overwrite,
  PAGE_BYTES,
  readPage,
  testCopy,
  withChecksum,
} from "./pg_checksums/program.ts";

testCopy("pg_checksums finds bad pages all over a full segment", async (cluster) => {
  const page = await readPage(cluster.file("accounts"), 10);
  const segment = cluster.file("accounts", ".1");
  await Deno.writeFile(segment, new Uint8Array());
  await Deno.truncate(segment, BLOCKS_PER_SEGMENT * PAGE_BYTES); // New pages, in a hole.
  const badBlocks = [0, 127, 128, 50_000, 99_999, 131_071];
  for (const block of badBlocks) await overwrite(segment, block * PAGE_BYTES, page);
  for (const block of [1, 60_000, 131_070]) {
    const right = withChecksum(page, BLOCKS_PER_SEGMENT + block);
    await overwrite(segment, block * PAGE_BYTES, right);
  }
  const result = await assertSameAsOriginal(cluster);
  const blocks = Array.from(result.stderr.matchAll(/block (\d+)/g), ([, block]) => Number(block));
  assertEquals(blocks, badBlocks);
});
