/**
 * pg_checksums_test.ts: examples/pg_checksums.ts gives the figures, the verdict, the messages and
 * the exit code of PostgreSQL's own program, on a real cluster, whole and damaged. Each method and
 * each kind of damage: pg_checksums_long_test.ts. Other refusals:
 * pg_checksums_refusal_long_test.ts.
 *
 * @module
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  postgresAvailable,
  pretendRunning,
  runPgChecksums,
  sharedCluster,
} from "../support/postgres.ts";
import {
  assertSameAsOriginal,
  errorCount,
  flipBit,
  PAGE_BYTES,
  readPage,
  runJson,
  runProgram,
  testCopy,
} from "./pg_checksums/program.ts";

Deno.test({
  name: "pg_checksums reports the same as the C tool on an intact cluster",
  ignore: !postgresAvailable,
  fn: async () => {
    const result = await assertSameAsOriginal(await sharedCluster());
    assertEquals(result.code, 0);
    assertEquals(result.stderr, "");
    assertMatch(result.stdout, /^Bad checksums: {2}0$/m);
  },
});

testCopy("pg_checksums finds bad pages in several files and forks", async (cluster) => {
  await flipBit(cluster.file("accounts"), 0);
  await flipBit(cluster.file("accounts"), 2 * PAGE_BYTES - 1);
  await flipBit(cluster.file("accounts"), 900 * PAGE_BYTES + 8); // The stored checksum.
  await flipBit(cluster.file("accounts_pkey"), 3 * PAGE_BYTES + 100);
  await flipBit(cluster.file("accounts", "_fsm"), PAGE_BYTES + 100);
  await flipBit(cluster.file("accounts", "_vm"), 100);
  await flipBit(cluster.file("scratch_pkey", "_init"), 100);
  await flipBit(cluster.file("pg_database"), 8000);
  const result = await assertSameAsOriginal(cluster);
  assertEquals(result.code, 1);
  assertEquals(errorCount(result), 8);
});

testCopy("pg_checksums --jobs finds the same in several threads", async (cluster) => {
  for (const block of [0, 1, 500, 900]) {
    await flipBit(cluster.file("accounts"), block * PAGE_BYTES + 99);
  }
  await flipBit(cluster.file("accounts_pkey"), 3 * PAGE_BYTES + 100);
  await flipBit(cluster.file("pg_database"), 8000);
  const alone = await runProgram([cluster.data]);
  const together = await assertSameAsOriginal(cluster, ["--jobs", "2"]);
  assertEquals(together, alone);
  assertEquals(errorCount(together), 6);
});

testCopy("pg_checksums stops at a file that ends in the middle of a page", async (cluster) => {
  const path = cluster.file("accounts");
  await flipBit(path, 5 * PAGE_BYTES);
  await Deno.truncate(path, 300 * PAGE_BYTES + 1000);
  const result = await assertSameAsOriginal(cluster);
  assertEquals(result.code, 1);
  assertEquals(result.stdout, "");
  assertStringIncludes(result.stderr, "block 5: ");
  assertStringIncludes(
    result.stderr,
    `could not read block 300 in file "${path}": read 1000 of 8192`,
  );
});

testCopy("pg_checksums --json lists the bad pages", async (cluster) => {
  const path = cluster.file("accounts");
  await flipBit(path, 12 * PAGE_BYTES + 8);
  await flipBit(path, 13 * PAGE_BYTES + 8);
  const [first, second] = [await readPage(path, 12), await readPage(path, 13)];
  const { document, code } = await runJson(cluster);
  assertEquals(code, 1);
  assertEquals(document.verdict, "damaged");
  assertEquals(document.badChecksums, 2);
  assertEquals(
    document.badPages,
    [first, second].map((page, index) => {
      const stored = new DataView(page.buffer).getUint16(8, true);
      return { file: path, block: 12 + index, calculated: stored ^ 0x10, stored };
    }),
  );
});

testCopy("pg_checksums refuses a cluster that is running", async (cluster) => {
  await pretendRunning(cluster);
  const { code, stdout, stderr } = await runProgram([cluster.data]);
  const sentence = 'cluster must be shut down: its state is "in production"';
  assertEquals([stdout, stderr], ["", `pg_checksums: error: ${sentence}\n`]);
  assertEquals((await runPgChecksums([cluster.data])).code, code);
  assertEquals(code, 1);
});
