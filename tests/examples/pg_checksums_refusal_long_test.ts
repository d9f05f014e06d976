/**
 * pg_checksums_refusal_long_test.ts: what examples/pg_checksums.ts refuses, each with a sentence of
 * its own, in the words of PostgreSQL's program where that refuses it too. A running cluster:
 * pg_checksums_test.ts.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { dirname, join } from "@std/path";
import { crc32c } from "../../examples/pg_checksums/crc32c.ts";
import {
  type Cluster,
  copyCluster,
  editControlFile,
  postgresAvailable,
  runPgChecksums,
} from "../support/postgres.ts";
import { type ChildResult, isRoot, runChild, tempDir } from "../support/temp.ts";
import { assertSameAsOriginal, denoArgs, flipBit, runProgram } from "./pg_checksums/program.ts";

const CONTROL_VERSION_OFFSET = 8;
const STATE_OFFSET = 16;
const BLOCK_SIZE_OFFSET = 216;
const CHECKSUM_VERSION_OFFSET = 252;
const SHUT_DOWN_IN_RECOVERY = 2;

function testRefusal(name: string, fn: (cluster: Cluster) => Promise<void>): void {
  Deno.test({
    name: `pg_checksums ${name}`,
    ignore: !postgresAvailable,
    fn: async () => {
      await using cluster = await copyCluster();
      await fn(cluster);
    },
  });
}

/** Asserts that a check was refused with this sentence. */
function assertRefused(result: ChildResult, sentence: string, code = 1): void {
  assertEquals(result.stderr, `pg_checksums: error: ${sentence}\n`);
  assertEquals(result.stdout, "");
  assertEquals(result.code, code);
}

testRefusal("checks a cluster that was shut down in recovery", async (cluster) => {
  const edit = (view: DataView) => view.setUint32(STATE_OFFSET, SHUT_DOWN_IN_RECOVERY, true);
  await editControlFile(cluster, edit, crc32c);
  assertEquals((await assertSameAsOriginal(cluster)).code, 0);
});

testRefusal("refuses a state that no server writes", async (cluster) => {
  await editControlFile(cluster, (view) => view.setUint32(STATE_OFFSET, 77, true), crc32c);
  const result = await runProgram([cluster.data]);
  assertRefused(result, 'cluster must be shut down: its state is "unknown (77)"');
});

testRefusal("refuses a cluster without checksums", async (cluster) => {
  await runPgChecksums(["--disable", "--no-sync", cluster.data]);
  const result = await assertSameAsOriginal(cluster);
  assertRefused(result, "data checksums are not enabled in cluster");
});

testRefusal("refuses a kind of checksums that it does not know", async (cluster) => {
  const edit = (view: DataView) => view.setUint32(CHECKSUM_VERSION_OFFSET, 2, true);
  await editControlFile(cluster, edit, crc32c);
  assertRefused(await runProgram([cluster.data]), "data checksum version 2 is not supported");
});

testRefusal("refuses a pg_control with a wrong CRC", async (cluster) => {
  await flipBit(join(cluster.data, "global", "pg_control"), 100);
  assertRefused(await assertSameAsOriginal(cluster), "pg_control CRC value is incorrect");
});

testRefusal("refuses a pg_control of an unknown version", async (cluster) => {
  const edit = (view: DataView) => view.setUint32(CONTROL_VERSION_OFFSET, 9999, true);
  await editControlFile(cluster, edit, crc32c);
  assertRefused(
    await runProgram([cluster.data]),
    "pg_control version 9999 is not supported: it is none of 1201, 1300, 1700, 1800 " +
      "(PostgreSQL 12 to 18), or the file is damaged",
  );
});

testRefusal("refuses a pg_control in the other byte order", async (cluster) => {
  const edit = (view: DataView) => view.setUint32(CONTROL_VERSION_OFFSET, 1300, false);
  await editControlFile(cluster, edit, crc32c);
  assertRefused(
    await runProgram([cluster.data]),
    "cluster is not compatible with this machine: pg_control is in the other byte order",
  );
});

testRefusal("refuses a pg_control that is too short", async (cluster) => {
  const path = join(cluster.data, "global", "pg_control");
  await Deno.truncate(path, 100);
  const result = await assertSameAsOriginal(cluster);
  assertRefused(result, `could not read file "${path}": read 100 of 296`);
});

testRefusal("refuses a block size that no server has", async (cluster) => {
  await editControlFile(cluster, (view) => view.setUint32(BLOCK_SIZE_OFFSET, 8000, true), crc32c);
  assertRefused(
    await runProgram([cluster.data]),
    "block size 8000 is not supported: it is none of 1024, 2048, 4096, 8192, 16384, 32768",
  );
});

testRefusal("refuses a cluster without pg_control", async (cluster) => {
  await Deno.remove(join(cluster.data, "global", "pg_control"));
  assertEquals((await assertSameAsOriginal(cluster)).code, 1);
});

testRefusal("refuses a cluster without PG_VERSION", async (cluster) => {
  const path = join(cluster.data, "PG_VERSION");
  await Deno.remove(path);
  assertRefused(
    await runProgram([cluster.data]),
    `"${cluster.data}" is not a database cluster: could not read file "${path}": ` +
      "No such file or directory",
  );
});

testRefusal("refuses a tablespace without a directory of this version", async (cluster) => {
  await Deno.mkdir(join(cluster.data, "pg_tblspc", "4711"));
  assertStringIncludes((await assertSameAsOriginal(cluster)).stderr, "could not stat file");
});

testRefusal("refuses a file name with a bad segment number", async (cluster) => {
  const path = join(dirname(cluster.file("accounts")), "16384.one");
  await Deno.writeFile(path, new Uint8Array());
  const result = await assertSameAsOriginal(cluster);
  assertRefused(result, `invalid segment number 0 in file name "${path}"`);
});

testRefusal("stops at a file that it may not read", async (cluster) => {
  const path = cluster.file("accounts");
  await Deno.chmod(path, 0);
  const result = await runBoundByPermissions(Deno.execPath(), denoArgs([cluster.data]));
  assertRefused(result, `could not open file "${path}": Permission denied`);
});

/** Runs a program for which file permissions hold, even if the tests run as root. */
async function runBoundByPermissions(command: string, args: string[]): Promise<ChildResult> {
  if (!isRoot()) return await runChild(args, { command });
  const without = "-dac_override,-dac_read_search";
  const capabilities = [`--bounding-set=${without}`, `--inh-caps=${without}`];
  return await runChild([...capabilities, command, ...args], { command: "setpriv" });
}

Deno.test("pg_checksums refuses a directory that does not exist", async () => {
  await using dir = await tempDir();
  const path = dir.join("nowhere");
  assertRefused(await runProgram([path]), `data directory "${path}" does not exist`);
});

Deno.test("pg_checksums refuses a file in the place of a directory", async () => {
  await using dir = await tempDir();
  const path = dir.join("file");
  await Deno.writeTextFile(path, "");
  assertRefused(await runProgram([path]), `data directory "${path}" is not a directory`);
});

Deno.test("pg_checksums refuses a directory that is no cluster's", async () => {
  await using dir = await tempDir();
  assertRefused(
    await runProgram([dir.path]),
    `could not open file "${dir.path}/global/pg_control" for reading: No such file or directory`,
  );
});

Deno.test("pg_checksums --json tells a refusal in its document and on standard error", async () => {
  await using dir = await tempDir();
  const { stdout, stderr, code } = await runProgram(["--json", dir.join("nowhere")]);
  const document = JSON.parse(stdout);
  assertEquals(document.verdict, "failed");
  assertEquals(document.badPages, []);
  assertEquals(stderr, `pg_checksums: error: ${document.message}\n`);
  assertEquals(code, 1);
});

const USAGE_ERRORS: readonly (readonly [string, string[]])[] = [
  ["Unknown option '--verbose'", ["--verbose", "somewhere"]],
  ["no data directory specified", []],
  ['too many command-line arguments (first is "two")', ["one", "two"]],
  ['invalid number of jobs "0"', ["--jobs", "0", "somewhere"]],
  ['invalid number of jobs "33"', ["--jobs", "33", "somewhere"]],
  ['invalid number of jobs "two"', ["--jobs", "two", "somewhere"]],
  ['unknown method "telepathy"', ["--method", "telepathy", "somewhere"]],
];
for (const [sentence, args] of USAGE_ERRORS) {
  Deno.test(`pg_checksums refuses a command line: ${sentence}`, async () => {
    const { code, stdout, stderr } = await runProgram(args);
    assertStringIncludes(stderr, `pg_checksums: error: ${sentence}`);
    assertStringIncludes(stderr, `\npg_checksums: hint: Try "pg_checksums --help" for more`);
    assertEquals(stdout, "");
    assertEquals(code, 2);
  });
}

Deno.test("pg_checksums --help prints its options", async () => {
  const { code, stdout, stderr } = await runProgram(["--help"]);
  for (const option of ["DATADIR", "--method NAME", "--direct", "--jobs N", "--json", "--help"]) {
    assertStringIncludes(stdout, option);
  }
  assertEquals(stderr, "");
  assertEquals(code, 0);
});
