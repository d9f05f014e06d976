/**
 * write_ahead_test.ts: a pool whose `beforeWrite` flushes a log up to the page's newest record:
 * whenever the power is cut, no page is on disk before its record.
 */

import { assertEquals, assertGreater } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, AioFile, Log, Page, PagePool } from "../../../mod.ts";
import { type CrashState, crashStates, type IoRecorder, recordIo } from "../../../testing/mod.ts";
import { assertFound } from "../../support/canary.ts";
import { BUFFER_BYTES, SEGMENT_BYTES } from "../../support/log/log_fixture.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { Prng, testSeed } from "../../support/prng.ts";
import { tempDir } from "../../support/temp.ts";

const PAGE_BYTES = 4096;
/** Of the file; the pool has half as many, so that pages are written back to make room. */
const BLOCKS = 32;
const CHANGES = 120;
const STATES = 20;
const AIO_OPTIONS = { arenaBytes: 4 * 1024 * 1024 };
const LOG_OPTIONS = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };

/** The position of the newest record about a page, which it begins with. */
function newestOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0);
}

/** Changes a page: first in the log's memory, then in its own. */
async function change(
  pool: PagePool,
  file: AioFile,
  log: Log,
  block: number,
) {
  using page = await pool.read(file, block);
  using _lock = await page.lock("exclusive");
  const position = log.write(new Uint8Array(100).fill(block));
  new DataView(page.bytes.buffer, page.bytes.byteOffset).setFloat64(0, position + 1);
  page.markDirty();
}

/** What the pool does before it writes a page. */
type Rule = (log: Log, page: Page) => void | Promise<void>;

const FLUSHES: Rule = async (log, page) => {
  const newest = newestOf(page.bytes);
  if (newest > 0) await log.flush(newest - 1);
};

/** Each change is a moment at which the power may be cut. */
async function changeAll(
  aio: Aio,
  directory: string,
  recorder: IoRecorder<number>,
  prng: Prng,
  rule: Rule,
): Promise<void> {
  const path = `${directory}/pages`;
  await using log = await aio.openLog(`${directory}/log`, LOG_OPTIONS);
  await using file = await aio.openFile(path, { read: true, write: true, create: true });
  await file.truncate(BLOCKS * PAGE_BYTES);
  const beforeWrite = (page: Page) => rule(log, page);
  await using pool = await aio.openPool({ pages: BLOCKS / 2, pageSize: PAGE_BYTES, beforeWrite });
  for (let i = 0; i < CHANGES; i++) {
    await change(pool, file, log, prng.below(BLOCKS));
    recorder.mark(i);
    if (i % 40 === 39) await pool.flush();
  }
}

/** @returns how many pages had a record */
async function checkState(aio: Aio, state: CrashState<number>): Promise<number> {
  await using dir = await tempDir();
  await state.writeTo(dir.path);
  const pages = state.files.get("pages") ?? new Uint8Array();
  const newest = Array.from(
    { length: Math.floor(pages.length / PAGE_BYTES) },
    (_, block) => newestOf(pages.subarray(block * PAGE_BYTES)),
  ).filter((position) => position > 0);
  if (newest.length === 0) return 0;
  await using log = await aio.openLog(dir.join("log"), LOG_OPTIONS);
  const positions = new Set<number>();
  for await (const { position } of log.read()) positions.add(position + 1);
  const lost = newest.filter((position) => !positions.has(position));
  assertEquals(lost, [], `${state.seed}, ${state.moment}`);
  return newest.length;
}

async function cutPower(method: IoMethodName, rule: Rule, seed = testSeed()): Promise<void> {
  const prng = new Prng(seed);
  const recording = await recordIo<number>(
    (own, directory, recorder) => changeAll(own, directory, recorder, prng, rule),
    { aio: { ...AIO_OPTIONS, method } },
  );
  await using aio = await openAio(method, AIO_OPTIONS);
  let seen = 0;
  for (const state of crashStates(recording, { seed: prng.below(2 ** 31), count: STATES })) {
    seen += await checkState(aio, state);
  }
  assertGreater(seen, 0);
}

testEachMethod(
  "a pool's beforeWrite has no page on disk before its record in a log",
  (method) => cutPower(method, FLUSHES),
);

Deno.test("sync: canary: without beforeWrite a page is on disk before its record", async () => {
  await assertFound((seed) => cutPower("sync", () => {}, seed));
});
