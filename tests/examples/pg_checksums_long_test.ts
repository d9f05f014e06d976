/**
 * pg_checksums_long_test.ts: what pg_checksums_test.ts shows, on each method, for each kind of
 * damage, for what is not checked, and with a segment of 1 GiB, in one thread and in several.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dirname, join } from "@std/path";
import { availableMethods } from "../../methods/mod.ts";
import { postgresAvailable, sharedCluster } from "../support/postgres.ts";
import {
  assertSameAsOriginal,
  BLOCKS_PER_SEGMENT,
  errorCount,
  flipBit,
  overwrite,
  PAGE_BYTES,
  readPage,
  runJson,
  runProgram,
  testCopy,
  withChecksum,
} from "./pg_checksums/program.ts";

function blocksScanned(stdout: string): number {
  return Number(/^Blocks scanned: +(\d+)$/m.exec(stdout)?.[1]);
}

for (const { name, ok } of availableMethods()) {
  Deno.test({
    name: `pg_checksums reports the same as the C tool with --method ${name}`,
    ignore: !postgresAvailable || !ok,
    fn: async () => {
      const cluster = await sharedCluster();
      const result = await assertSameAsOriginal(cluster, ["--method", name]);
      assertEquals(result.code, 0);
      for (const more of [["--jobs", "2"], ["--jobs", "2", "--direct"]]) {
        assertEquals(await runProgram(["--method", name, ...more, cluster.data]), result);
      }
    },
  });
}

testCopy("pg_checksums finds one flipped bit", async (cluster) => {
  await flipBit(cluster.file("accounts"), 834 * PAGE_BYTES + 5000);
  const result = await assertSameAsOriginal(cluster);
  assertEquals(result.code, 1);
  assertEquals(errorCount(result), 1);
  assertStringIncludes(result.stderr, `in file "${cluster.file("accounts")}", block 834: `);
});

testCopy("pg_checksums finds a bad page in a tablespace", async (cluster) => {
  await flipBit(cluster.file("far_away"), 7 * PAGE_BYTES + 7);
  const result = await assertSameAsOriginal(cluster);
  assertEquals(errorCount(result), 1);
  assertStringIncludes(result.stderr, "/pg_tblspc/");
});

testCopy("pg_checksums names bad pages in the order of files and blocks", async (cluster) => {
  for (const block of [900, 3, 700]) {
    await flipBit(cluster.file("accounts"), block * PAGE_BYTES + 99);
  }
  await flipBit(cluster.file("pg_database"), 99);
  await flipBit(cluster.file("far_away"), 99);
  const { stderr } = await runProgram([cluster.data]);
  const places = Array.from(
    stderr.matchAll(/file "(.*)", block (\d+)/g),
    ([, path, block]) => [path, Number(block)],
  );
  assertEquals(places, [
    [cluster.file("pg_database"), 0],
    [cluster.file("accounts"), 3],
    [cluster.file("accounts"), 700],
    [cluster.file("accounts"), 900],
    [cluster.file("far_away"), 0],
  ]);
});

testCopy("pg_checksums numbers the pages of a later segment from its place", async (cluster) => {
  const page = await readPage(cluster.file("accounts"), 10);
  const segment = cluster.file("accounts", ".3");
  await Deno.writeFile(segment, new Uint8Array());
  for (let block = 0; block < 200; block++) {
    const right = withChecksum(page, 3 * BLOCKS_PER_SEGMENT + block);
    await overwrite(segment, block * PAGE_BYTES, right);
  }
  assertEquals((await assertSameAsOriginal(cluster)).code, 0);

  // Right in the first segment, wrong in this one.
  await overwrite(segment, 150 * PAGE_BYTES, withChecksum(page, 150));
  const result = await assertSameAsOriginal(cluster);
  assertEquals(errorCount(result), 1);
  assertStringIncludes(result.stderr, `in file "${segment}", block 150: `);
});

testCopy("pg_checksums counts new pages and does not check them", async (cluster) => {
  const garbage = new Uint8Array(PAGE_BYTES).fill(0xa5);
  garbage.fill(0, 14, 16); // pd_upper
  const { size } = await Deno.stat(cluster.file("accounts"));
  await overwrite(cluster.file("accounts"), size, new Uint8Array(PAGE_BYTES));
  await overwrite(cluster.file("accounts"), size + PAGE_BYTES, garbage);
  const whole = await runProgram([(await sharedCluster()).data]);
  const result = await assertSameAsOriginal(cluster);
  assertEquals(result.code, 0);
  assertEquals(blocksScanned(result.stdout), blocksScanned(whole.stdout) + 2);
});

testCopy("pg_checksums leaves out temporary files and files without pages", async (cluster) => {
  const database = dirname(cluster.file("accounts"));
  const tablespace = dirname(dirname(cluster.file("far_away")));
  await Deno.mkdir(join(cluster.data, "base", "pgsql_tmp"), { recursive: true });
  await Deno.mkdir(join(tablespace, "pgsql_tmp"), { recursive: true });
  const files = [
    join(cluster.data, "base", "pgsql_tmp", "pgsql_tmp4711.0"),
    join(tablespace, "pgsql_tmp", "pgsql_tmp4711.1"),
    join(database, "pgsql_tmp4712"),
    join(database, "pg_internal.init"),
    join(database, "pg_internal.init.4713"),
    join(database, ".DS_Store"),
    join(cluster.data, "global", "PG_VERSION"),
    join(cluster.data, "stray"),
  ];
  for (const file of files) await Deno.writeTextFile(file, "no page");
  const whole = await runProgram([(await sharedCluster()).data]);
  const result = await assertSameAsOriginal(cluster);
  assertEquals(result.stdout, whole.stdout);
  assertEquals(result.code, 0);
});

testCopy("pg_checksums counts empty files and files of other names", async (cluster) => {
  const database = dirname(cluster.file("accounts"));
  await Deno.writeFile(join(database, "99999"), new Uint8Array());
  await Deno.writeFile(join(database, "other"), await readPage(cluster.file("accounts"), 0));
  await Deno.mkdir(join(database, "folder"));
  await Deno.writeFile(join(database, "folder", "t3_77"), new Uint8Array(3 * PAGE_BYTES));
  assertEquals((await assertSameAsOriginal(cluster)).code, 0);
});

testCopy("pg_checksums finds the same with --direct", async (cluster) => {
  await flipBit(cluster.file("accounts"), 834 * PAGE_BYTES + 5000);
  await flipBit(cluster.file("accounts", "_vm"), 4000);
  assertEquals(errorCount(await assertSameAsOriginal(cluster, ["--direct"])), 2);

  await Deno.truncate(cluster.file("accounts", "_vm"), 1000);
  const result = await assertSameAsOriginal(cluster, ["--direct"]);
  assertStringIncludes(result.stderr, `_vm": read 1000 of 8192`);
});

Deno.test({
  name: "pg_checksums --json prints one document with figures, verdict and speed",
  ignore: !postgresAvailable,
  fn: async () => {
    const cluster = await sharedCluster();
    const text = await runProgram([cluster.data]);
    const { document, code } = await runJson(cluster);
    assertEquals(code, 0);
    assertEquals(document.verdict, "intact");
    assertEquals(document.badPages, []);
    assertEquals(document.badChecksums, 0);
    assertEquals(document.dataChecksumVersion, 1);
    assertEquals(document.blocksScanned, blocksScanned(text.stdout));
    assertEquals(document.bytesScanned, document.blocksScanned * PAGE_BYTES);
    assertEquals(document.direct, false);
    assert(document.seconds! > 0);
    const megabytes = document.bytesScanned / 1e6;
    assertEquals(document.megabytesPerSecond, megabytes / document.seconds!);
  },
});

testCopy("pg_checksums --json tells why a check failed, after the bad pages", async (cluster) => {
  const path = cluster.file("pg_database");
  await flipBit(path, 8);
  await Deno.truncate(cluster.file("accounts"), 1);
  const { document, code } = await runJson(cluster);
  assertEquals(code, 1);
  assertEquals(document.verdict, "failed");
  assertEquals(document.badPages.map(({ file }) => file), [path]);
  assertStringIncludes(document.message!, "read 1 of 8192");
});

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
  for (const options of [["--jobs", "2"], ["--jobs", "3", "--direct"]]) {
    assertEquals(await runProgram([...options, cluster.data]), result);
  }

  await Deno.truncate(segment, 99_999 * PAGE_BYTES + 1000);
  const cut = await runProgram([cluster.data]);
  assertStringIncludes(cut.stderr, `could not read block 99999 in file "${segment}": read 1000 of`);
  assertEquals(await runProgram(["--jobs", "3", cluster.data]), cut);
});
