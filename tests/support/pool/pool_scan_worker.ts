/**
 * pool_scan_worker.ts: a thread of `pool_scan.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type AioFile, type PagePool } from "../../../mod.ts";
import { Prng } from "../prng.ts";
import { answering } from "../threads/answering.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import { losePins } from "./lost_pins.ts";
import { PAGE_BYTES, type ScanAsk, wordOf } from "./pool_scan.ts";

let aio: Aio;
let pool: PagePool;
let file: AioFile;

/** The orders in which a file is read. */
const ORDERS: readonly ((i: number, blocks: number) => number)[] = [
  (i) => i,
  (i, blocks) => blocks - 1 - i,
  (i, blocks) => i % 2 === 0 ? i : blocks - 1 - i + blocks % 2,
  // Ten to and ten fro.
  (i, blocks) => i % 20 < 10 || i - i % 20 + 20 > blocks ? i : i - i % 20 + 29 - i % 20,
];

function check(block: number, bytes: Uint8Array): void {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, PAGE_BYTES / 4);
  const word = wordOf(block);
  for (let i = 0; i < words.length; i++) {
    if (words[i] !== word) throw new Error(`Block ${block} is wrong in word ${i}: ${words[i]}`);
  }
}

/** @returns how many pages came */
async function scan(ask: ScanAsk & { what: "scan" }): Promise<number> {
  const { scans, blocks, seed } = ask;
  const prng = new Prng(seed);
  if (ask.losesPins) losePins(prng);
  let pages = 0;
  for (let round = 0; round < scans; round++) {
    const order = prng.pick(ORDERS);
    const isBlocking = prng.chance(1, 2);
    let i = 0;
    await using stream = pool.readStream(file, {
      next: () => i < blocks ? order(i++, blocks) : null,
      full: prng.chance(1, 2),
      batching: prng.chance(1, 2),
    });
    for (let at = 0; at < blocks; at++, pages++) {
      const page = isBlocking ? stream.nextSync() : await stream.next();
      if (page!.block !== order(at, blocks)) throw new Error(`Block ${page!.block} comes too soon`);
      check(page!.block, page!.bytes);
    }
    if (await stream.next() !== null) throw new Error("There are more pages than blocks");
  }
  return pages;
}

/** @returns how many pages it has forgotten */
async function invalidate(ask: ScanAsk & { what: "invalidate" }): Promise<number> {
  const prng = new Prng(ask.seed);
  let count = 0;
  while (Atomics.load(ask.over, 0) === 0) {
    count += await pool.invalidate(file, ...(prng.chance(1, 4) ? [] : [prng.below(100)]));
  }
  return count;
}

async function answer(ask: ScanAsk): Promise<unknown> {
  switch (ask.what) {
    case "attach":
      aio = await Aio.attach(ask.aio, {}, METHODS_FOR_TESTS);
      file = aio.attachFile(ask.file);
      pool = aio.attachPool(ask.pool);
      return;
    case "scan":
      return await scan(ask);
    case "invalidate":
      return await invalidate(ask);
    case "close":
      await pool.close();
      await file.close();
      await aio.close();
      return;
  }
}

self.onmessage = answering(answer);
