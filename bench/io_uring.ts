/**
 * io_uring.ts: the core on io_uring, in batches of 32 that are waited for, beside fio with the same.
 *
 * 4 KiB at random places of a 1 GiB file. Ours and fio's alternate; before each timed run the page
 * cache is warmed, or dropped for direct I/O, and a round after which less than 99 % of the file was in
 * memory does not count. A row falls short only if its median and its best round do.
 *
 * Run: deno task bench:io_uring [--rounds N] [--seconds N]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Aio, type AioFile, AioReturn, type WaitRef } from "../mod.ts";
import { hasFio, runFio } from "./fio.ts";
import { PageCache } from "./page_cache.ts";
import { figures, ratios } from "./rounds.ts";

const FILE_BYTES = 1024 * 1024 * 1024;
const CHUNK_BYTES = 16 * 1024 * 1024;
const BLOCK_BYTES = 4096;
const BLOCKS = FILE_BYTES / BLOCK_BYTES;
const DEPTH = 32;
const RESIDENT_MIN = 0.99;
const ROUND_ATTEMPTS = 3;

interface Case {
  readonly what: string;
  readonly direct: boolean;
  readonly rw: "randread" | "randwrite";
  readonly wanted: number;
}

const CASES: readonly Case[] = [
  { what: "cached reads", direct: false, rw: "randread", wanted: 1.0 },
  { what: "direct reads", direct: true, rw: "randread", wanted: 0.95 },
  { what: "direct writes", direct: true, rw: "randwrite", wanted: 0.95 },
];

/** Batches of 32, each waited for, for so long. @returns IOs a second */
function batches(aio: Aio, file: AioFile, isRead: boolean, seconds: number): number {
  const pages = Array.from({ length: DEPTH }, () => aio.alloc(BLOCK_BYTES));
  const returns = pages.map(() => new AioReturn());
  const refs: WaitRef[] = pages.map(() => ({ index: 0, generation: 0 }));
  let state = 12345;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) % BLOCKS) * BLOCK_BYTES;
  };
  const start = performance.now();
  const end = start + seconds * 1000;
  let ios = 0;
  while (performance.now() < end) {
    aio.enterBatchmode();
    for (let i = 0; i < DEPTH; i++) {
      const handle = aio.acquire(null, returns[i]!);
      handle.waitRef(refs[i]!);
      handle.setIovec(pages[i]!);
      if (isRead) file.startReadv(handle, next());
      else file.startWritev(handle, next());
    }
    aio.exitBatchmode();
    for (let i = 0; i < DEPTH; i++) {
      aio.waitSync(refs[i]!);
      if (returns[i]!.result.result !== BLOCK_BYTES) throw new Error("A transfer was short");
    }
    ios += DEPTH;
  }
  const iops = ios / (performance.now() - start) * 1000;
  for (const page of pages) aio.free(page);
  return iops;
}

/** Runs something on a cache in the right state. @returns null if it was not in the end */
async function onCache<T>(
  cache: PageCache,
  direct: boolean,
  run: () => T | Promise<T>,
): Promise<T | null> {
  for (let attempt = 0; attempt < ROUND_ATTEMPTS; attempt++) {
    if (direct) cache.drop();
    else cache.warm();
    const value = await run();
    if (direct || cache.residency() >= RESIDENT_MIN) return value;
  }
  return null;
}

async function measure(
  { direct, rw }: Case,
  path: string,
  cache: PageCache,
  rounds: number,
  seconds: number,
): Promise<{ ours: number[]; theirs: number[] }> {
  const [ours, theirs]: number[][] = [[], []];
  await using aio = await Aio.open({ method: "io_uring" });
  const options = { read: true, write: rw === "randwrite", direct: direct ? "required" : "off" };
  await using file = await aio.openFile(path, options as Parameters<Aio["openFile"]>[1]);
  const job = { path, engine: "io_uring", rw, direct, depth: DEPTH, seconds } as const;
  batches(aio, file, rw === "randread", 0.3);
  for (let round = 0; round < rounds; round++) {
    const mine = await onCache(
      cache,
      direct,
      () => batches(aio, file, rw === "randread", seconds),
    );
    const fio = await onCache(cache, direct, () => runFio({ ...job, blockBytes: BLOCK_BYTES }));
    if (mine === null || fio === null) continue;
    ours!.push(mine);
    theirs!.push(fio);
  }
  return { ours: ours!, theirs: theirs! };
}

async function makeFile(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  const chunk = new Uint8Array(CHUNK_BYTES).fill(1);
  for (let bytes = 0; bytes < FILE_BYTES; bytes += CHUNK_BYTES) {
    for (let done = 0; done < CHUNK_BYTES;) done += await file.write(chunk.subarray(done));
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "9" },
      seconds: { type: "string", default: "1" },
      dir: { type: "string", default: "." },
    },
  });
  if (!await hasFio()) throw new Error("fio is not installed: on Debian, apt-get install fio");
  const path = await Deno.makeTempFile({ dir: values.dir, prefix: "aio-bench-" });
  try {
    await makeFile(path);
    using cache = new PageCache(path);
    const table: Record<string, unknown> = {};
    for (const one of CASES) {
      const { ours, theirs } = await measure(
        one,
        path,
        cache,
        Number(values.rounds),
        Number(values.seconds),
      );
      const ratio = ratios(ours, theirs);
      table[`${one.what}, ${DEPTH} a batch`] = {
        "ours IOPS": Math.round(figures(ours).median),
        "fio IOPS": Math.round(figures(theirs).median),
        ratio: ratio.median.toFixed(2),
        spread: `${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}`,
        wanted: one.wanted,
        rounds: ours.length,
      };
    }
    console.table(table);
  } finally {
    await Deno.remove(path);
  }
}

if (import.meta.main) await main();
