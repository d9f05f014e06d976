/**
 * verify_test.ts: pages that a pool's verifier refuses, as PostgreSQL's tests of invalid pages and
 * wrong checksums have them (`test_zero`, `test_ignore_checksum`).
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { AioFile, Page, PagePool, PageReadOptions } from "../../../mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { until } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";
import { BAD_CHECKSUM, INVALID } from "../fixtures/page_verifiers.ts";

const PAGE_BYTES = 1024;
const BLOCKS = 12;
const MODULE = new URL("../fixtures/page_verifiers.ts", import.meta.url);

/** What a test gets. */
interface Fixture {
  readonly file: AioFile;
  readonly path: string;
  readonly pool: PagePool;
  readonly name: string;
  readonly warnings: string[];
  readonly logs: string[];
}

/** Registers a test with a file of which some blocks are not right, for both kinds of pools. */
function testVerified(
  name: string,
  wrong: Readonly<Record<number, number>>,
  fn: (fixture: Fixture) => Promise<void>,
): void {
  testKind(name, wrong, fn, false);
  testKind(`${name}, in a pool of one thread's own`, wrong, fn, true);
}

function testKind(
  name: string,
  wrong: Readonly<Record<number, number>>,
  fn: (fixture: Fixture) => Promise<void>,
  privateToThread: boolean,
): void {
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    const content = new Uint8Array(BLOCKS * PAGE_BYTES).fill(7);
    for (const [block, byte] of Object.entries(wrong)) content[Number(block) * PAGE_BYTES] = byte;
    await Deno.writeFile(path, content);
    const warnings: string[] = [];
    const logs: string[] = [];
    await using aio = await openAio(method, {
      callbackModules: [MODULE],
      onWarning: (text) => warnings.push(text),
      onLog: (text) => logs.push(text),
      logLevel: "log",
    });
    await using file = await aio.openFile(path);
    const pool = await aio.openPool({
      pages: 16,
      pageSize: PAGE_BYTES,
      verify: "firstByte",
      privateToThread,
    });
    await fn({ file, path, pool, name: `file ${JSON.stringify(path)}`, warnings, logs });
    await pool.close();
  });
}

/** Reads blocks in a row by one IO. */
async function readRow(
  { pool, file }: Fixture,
  block: number,
  count: number,
  options: PageReadOptions = {},
): Promise<number[]> {
  const read = await pool.startRead(file, block, count, options);
  assertEquals([read.block, read.count, read.isToWait], [block, count, true]);
  const pages: Page[] = await pool.waitRead(read);
  const bytes = pages.map((page) => page.bytes[0]!);
  for (const page of pages) page.release();
  return bytes;
}

/** Waits for a line of the log for each page that was zeroed: IO Workers post theirs. */
async function untilLogged({ logs }: Fixture, count: number): Promise<void> {
  const zeroed = () => logs.filter((line) => line.includes("zeroing out page")).length;
  await until(() => zeroed() >= count, "each page that was zeroed is in the log");
  assertEquals(zeroed(), count);
}

/** How many pages are pinned, or in progress. */
function countLeft({ pool }: Fixture): number {
  return pool.pages().filter(({ io, pinningBackends }) => io !== null || pinningBackends.length > 0)
    .length;
}

testVerified("an invalid page is an error that names its block", { 3: INVALID }, async (it) => {
  for (let i = 0; i < 2; i++) {
    const error = await assertRejects(() => it.pool.read(it.file, 3), Deno.errors.InvalidData);
    assertEquals(error.message, `invalid page in block 3 of ${it.name}`);
  }
  assertEquals([it.warnings, countLeft(it)], [[], 0]);
  (await it.pool.read(it.file, 2)).release();
});

testVerified("an invalid page is zeroed on request, with a warning", { 3: INVALID }, async (it) => {
  using page = await it.pool.read(it.file, 3, { mode: "zeroOnError" });
  assert(page.bytes.every((byte) => byte === 0));
  assertEquals(it.warnings, [`invalid page in block 3 of ${it.name}; zeroing out page`]);
  await untilLogged(it, 1);
});

testVerified("two invalid pages of a row are one error", { 2: INVALID, 3: INVALID }, async (it) => {
  const error = await assertRejects(() => readRow(it, 1, 4), Deno.errors.InvalidData);
  const what = `2 invalid pages among blocks 1..4 of ${it.name}`;
  assertEquals(error.message, `${what}; block 2 held the first invalid page`);
  assertEquals(countLeft(it), 0);
});

testVerified("two invalid pages of a row are zeroed", { 2: INVALID, 3: INVALID }, async (it) => {
  assertEquals(await readRow(it, 1, 4, { mode: "zeroOnError" }), [7, 0, 0, 7]);
  const what = `zeroing out 2 invalid pages among blocks 1..4 of ${it.name}`;
  assertEquals(it.warnings, [`${what}; block 2 held the first zeroed page`]);
});

testVerified("a wrong checksum is an error", { 3: BAD_CHECKSUM }, async (it) => {
  const error = await assertRejects(() => it.pool.read(it.file, 3), Deno.errors.InvalidData);
  assertEquals(error.message, `invalid page in block 3 of ${it.name}`);
});

testVerified(
  "wrong checksums of a row are one error",
  { 2: BAD_CHECKSUM, 3: BAD_CHECKSUM },
  async (it) => {
    const error = await assertRejects(() => readRow(it, 2, 2), Deno.errors.InvalidData);
    const what = `2 invalid pages among blocks 2..3 of ${it.name}`;
    assertEquals(error.message, `${what}; block 2 held the first invalid page`);
  },
);

testVerified("a page that is right again is read", { 0: INVALID }, async (it) => {
  await assertRejects(() => it.pool.read(it.file, 0), Deno.errors.InvalidData, "block 0 of");
  const content = await Deno.readFile(it.path);
  content.fill(0, 0, PAGE_BYTES);
  await Deno.writeFile(it.path, content);
  using page = await it.pool.read(it.file, 0);
  assertEquals([page.bytes[0], it.warnings], [0, []]);
});

testVerified("a wrong checksum is ignored on request", { 3: BAD_CHECKSUM }, async (it) => {
  using page = await it.pool.read(it.file, 3, { ignoreChecksums: true });
  assertEquals(page.bytes[0], BAD_CHECKSUM);
  assertEquals(it.warnings, [`ignoring checksum failure in block 3 of ${it.name}`]);
});

testVerified(
  "wrong checksums are ignored, and invalid pages zeroed",
  { 2: BAD_CHECKSUM, 3: INVALID, 4: INVALID, 5: INVALID },
  async (it) => {
    const options = { mode: "zeroOnError", ignoreChecksums: true } as const;
    assertEquals(await readRow(it, 1, 5, options), [7, BAD_CHECKSUM, 0, 0, 0]);
    const what = "zeroing 3 page(s) and ignoring 1 checksum failure(s) among blocks 1..5";
    assertEquals(it.warnings, [`${what} of ${it.name}`]);
    await untilLogged(it, 3);
  },
);

testVerified(
  "a wrong checksum is ignored, an invalid page beside it is the error",
  { 3: BAD_CHECKSUM, 4: INVALID },
  async (it) => {
    const error = await assertRejects(
      () => readRow(it, 2, 3, { ignoreChecksums: true }),
      Deno.errors.InvalidData,
    );
    assertEquals(error.message, `invalid page in block 4 of ${it.name}`);
  },
);

testVerified("whoever joins a read is not warned of its zeroing", { 1: INVALID }, async (it) => {
  const issuer = it.pool.read(it.file, 1, { mode: "zeroOnError" });
  const joiner = it.pool.read(it.file, 1);
  for (const page of await Promise.all([issuer, joiner])) {
    assertEquals(page.bytes[0], 0);
    page.release();
  }
  assertEquals(it.warnings.length, 1);
});
