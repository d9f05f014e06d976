/**
 * batches.ts: the core in batches of 32 transfers of 4 KiB that are waited for, on a file of 1 GiB,
 * with the page cache in a known state: what the benchmarks of io_uring time.
 *
 * @module
 */

import { AioReturn, type WaitRef } from "../core/mod.ts";
import type { Aio, AioFile } from "../mod.ts";
import { PageCache } from "./page_cache.ts";

/** IOs of a batch. */
export const DEPTH = 32;
/** Bytes of each. */
export const BLOCK_BYTES = 4096;

/** Bytes of the file. */
export const FILE_BYTES = 1024 * 1024 * 1024;
const CHUNK_BYTES = 16 * 1024 * 1024;
/** As many upper bits of 32 as the blocks of the file are counted with. */
const BLOCK_SHIFT = 32 - Math.log2(FILE_BYTES / BLOCK_BYTES);
/** A round after which less of the file is in memory does not count. */
const RESIDENT_MIN = 0.99;
const ROUND_ATTEMPTS = 3;

/** What a batch consists of. */
export type Direction = "randread" | "randwrite";

/** Runs batches for so long. @returns IOs a second */
export function runBatches(
  aio: Aio,
  file: AioFile,
  direction: Direction,
  seconds: number,
): number {
  const pages = Array.from({ length: DEPTH }, () => aio.alloc(BLOCK_BYTES));
  const returns = pages.map(() => new AioReturn());
  const refs: WaitRef[] = pages.map(() => ({ index: 0, generation: 0 }));
  const isRead = direction === "randread";
  const offsets = new RandomOffsets();
  const start = performance.now();
  const end = start + seconds * 1000;
  let ios = 0;
  while (performance.now() < end) {
    aio.enterBatchmode();
    for (let i = 0; i < DEPTH; i++) {
      const handle = aio.acquire(null, returns[i]!);
      handle.waitRef(refs[i]!);
      handle.setIovec(pages[i]!);
      if (isRead) file.startReadv(handle, offsets.next());
      else file.startWritev(handle, offsets.next());
    }
    aio.exitBatchmode();
    for (let i = 0; i < DEPTH; i++) {
      aio.waitSync(refs[i]!);
      if (returns[i]!.result.result !== BLOCK_BYTES) throw new Error("A transfer was short");
    }
    ios += DEPTH;
  }
  const rate = ios / (performance.now() - start) * 1000;
  for (const page of pages) aio.free(page);
  return rate;
}

/**
 * Places in the file, the same ones each time: the upper bits of a linear congruential generator,
 * whose cost is that of fio's.
 */
class RandomOffsets {
  #state = 12345;

  next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0;
    return (this.#state >>> BLOCK_SHIFT) * BLOCK_BYTES;
  }
}

/** Runs something on a cache in the right state. @returns null if it was not in the end */
export async function onCache<T>(
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

/**
 * Runs something with a file in a folder, which is removed at the end.
 *
 * @param bytes of it, a multiple of 16 MiB
 */
export async function withFile(
  dir: string,
  use: (path: string, cache: PageCache) => Promise<void>,
  bytes = FILE_BYTES,
): Promise<void> {
  const path = await Deno.makeTempFile({ dir, prefix: "aio-bench-" });
  try {
    await fill(path, bytes);
    using cache = new PageCache(path);
    await use(path, cache);
  } finally {
    await Deno.remove(path);
  }
}

async function fill(path: string, fileBytes: number): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  const chunk = new Uint8Array(CHUNK_BYTES).fill(1);
  for (let bytes = 0; bytes < fileBytes; bytes += CHUNK_BYTES) {
    for (let done = 0; done < CHUNK_BYTES;) done += await file.write(chunk.subarray(done));
  }
}
