/**
 * pool_child.ts: one contender of `bench/pool.ts`: the pool, or what is set beside it in the same
 * program.
 *
 * Arguments: which one, the path of the file, its bytes.
 *
 * @module
 */

import { Aio, type Page } from "../../mod.ts";
import { randomOffsets, runTasks, serveRuns } from "../compare/tasks.mjs";
import type { RunResult } from "../compare/contender.ts";
import type { ThreadOrder } from "./hits_worker.ts";
import { hitsIn, LOOPS, shuffled, whileSeconds } from "./hits.ts";

const PAGE_BYTES = 4096;
const STREAM_PAGE_BYTES = 8192;
const STREAM_POOL_BYTES = 64 * 1024 ** 2;
const TASKS = 32;
/** A hundredth of the pages of the file are there. */
const RANDOM_SHARE = 0.01;
const DIRTY_PAGES = 4096;
const ARENA_BYTES = 512 * 1024 ** 2;
const THREADS = 4;
/** As a key for a block of a file: slot · 2³² + block. */
const SLOT = 3;
const SLOT_STEP = 2 ** 32;
/** What a run says of latency, which nobody asks for here. */
const NO_LATENCY = { p50Us: 0, p99Us: 0 } as const;

const [what, path, bytes] = Deno.args as [keyof typeof CONTENDERS, string, string];
const fileBytes = Number(bytes);
const aio = await Aio.open({ arenaBytes: ARENA_BYTES });

async function openPool(pages: number, pageSize: number, direct: boolean) {
  const file = await aio.openFile(path, {
    read: true,
    write: true,
    direct: direct ? "required" : "off",
  });
  return { file, pool: await aio.openPool({ pages, pageSize }) };
}

async function hits(pages: number, threads: number) {
  const { file, pool } = await openPool(pages, PAGE_BYTES, false);
  for (let block = 0; block < pages; block++) (await pool.read(file, block)).release();
  if (threads === 1) {
    const run = hitsIn(pool, file, shuffled(0, pages));
    return (seconds: number) => Promise.resolve(rateOf(whileSeconds(seconds, run)));
  }
  const workers = Array.from({ length: threads }, (_, i) => {
    const worker = new Worker(new URL("./hits_worker.ts", import.meta.url), { type: "module" });
    const share = pages / threads;
    const order: ThreadOrder = {
      aio: aio.token,
      pool: pool.token,
      file: file.token,
      first: i * share,
      count: share,
    };
    worker.postMessage(order);
    return worker;
  });
  const answers = () =>
    Promise.all(
      workers.map((worker) =>
        new Promise<number>((resolve) => worker.onmessage = ({ data }) => resolve(data))
      ),
    );
  await answers();
  return async (seconds: number) => {
    const rates = answers();
    for (const worker of workers) worker.postMessage(seconds);
    return rateOf((await rates).reduce((sum, rate) => sum + rate, 0));
  };
}

function rateOf(iops: number): RunResult {
  return { ...NO_LATENCY, iops, cpuUs: 0 };
}

function mapGets(pages: number) {
  const map = new Map<number, object>();
  for (let block = 0; block < pages; block++) map.set(SLOT * SLOT_STEP + block, { block });
  const order = shuffled(0, pages);
  let found = 0;
  const run = () => {
    for (let i = 0; i < LOOPS; i++) {
      if (map.get(SLOT * SLOT_STEP + order[i & (pages - 1)]!) !== undefined) found++;
    }
  };
  return (seconds: number) => Promise.resolve(rateOf(whileSeconds(seconds, run)));
}

async function randomReads() {
  const pages = Math.floor(fileBytes / PAGE_BYTES * RANDOM_SHARE);
  const { file, pool } = await openPool(pages, PAGE_BYTES, true);
  const next = randomOffsets(fileBytes / PAGE_BYTES, 1);
  const read = async () => (await pool.read(file, next())).release();
  return (seconds: number) => runTasks(TASKS, seconds, read);
}

async function bareReads() {
  const file = await aio.openFile(path, { direct: "required" });
  const buffers = Array.from({ length: TASKS }, () => aio.alloc(PAGE_BYTES));
  const next = randomOffsets(fileBytes / PAGE_BYTES, PAGE_BYTES);
  const read = (task: number) => file.readAt(buffers[task]!, next());
  return (seconds: number) => runTasks(TASKS, seconds, read);
}

/** Each page is new, so that nothing is read, and one that was changed is written for its room. */
async function dirtyEvictions() {
  const { file, pool } = await openPool(DIRTY_PAGES, PAGE_BYTES, true);
  const next = randomOffsets(fileBytes / PAGE_BYTES, 1);
  const change = async () => {
    const page: Page = await pool.read(file, next(), { mode: "zero" });
    const lock = page.tryLock("exclusive") ?? await page.lock("exclusive");
    page.bytes[0] = 1;
    page.markDirty();
    lock.release();
    page.release();
  };
  return async (seconds: number) => {
    const before = pool.stats().blocksWritten;
    const start = performance.now();
    const result = await runTasks(TASKS, seconds, change);
    const blocks = pool.stats().blocksWritten - before;
    const iops = blocks / (performance.now() - start) * 1000;
    return { ...result, iops, cpuUs: result.cpuUs * result.iops / iops };
  };
}

/** The whole file, however long that takes: IOs a second, as if each was a page. */
async function stream() {
  const pages = STREAM_POOL_BYTES / STREAM_PAGE_BYTES;
  const { file, pool } = await openPool(pages, STREAM_PAGE_BYTES, true);
  const scan = async () => {
    const start = performance.now();
    let count = 0;
    for await (const _page of pool.readStream(file)) count++;
    return rateOf(count / (performance.now() - start) * 1000);
  };
  return scan;
}

const CONTENDERS = {
  "hits, 1024 pages": () => hits(1024, 1),
  "Map.get, 1024": () => mapGets(1024),
  "hits, 65536 pages": () => hits(65_536, 1),
  "Map.get, 65536": () => mapGets(65_536),
  "hits, four threads": () => hits(1024, THREADS),
  "random reads": randomReads,
  "bare readAt": bareReads,
  "dirty evictions": dirtyEvictions,
  "stream": stream,
} as const;

await serveRuns(await CONTENDERS[what]());
