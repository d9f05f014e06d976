/**
 * pool_scan.ts: threads that scan one file through one pool, in several orders, while another one
 * forgets pages all the time: each page must be right in each of its words.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Aio, AioFile, PagePool } from "../../../mod.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import { openAio } from "../methods.ts";
import { HANG_MS } from "../patience.ts";
import { tempDir } from "../temp.ts";
import { AskedThread } from "../threads/asked_thread.ts";

/** Bytes of a page. */
export const PAGE_BYTES = 2048;

/** What is done. */
export interface ScanPlan {
  readonly method: IoMethodName;
  readonly threads: number;
  /** Scans of each thread. */
  readonly scans: number;
  readonly blocks: number;
  /** Pages of the pool. */
  readonly pages: number;
  readonly seed: number;
  /** Whether threads lose pins, as a canary. */
  readonly losesPins?: boolean;
}

/** What a thread is sent. */
export type ScanAsk =
  | { what: "attach"; aio: Aio["token"]; pool: PagePool["token"]; file: AioFile["token"] }
  | { what: "scan"; scans: number; blocks: number; seed: number; losesPins: boolean }
  | { what: "invalidate"; over: Int32Array<SharedArrayBuffer>; seed: number }
  | { what: "close" };

/** What a block says in all of its words. */
export function wordOf(block: number): number {
  return Math.imul(block + 1, 0x9e37_79b1);
}

/** Does it. */
export async function runScans(plan: ScanPlan): Promise<void> {
  const { method, threads, blocks, pages, scans, seed, losesPins = false } = plan;
  await using dir = await tempDir();
  const path = dir.join("file");
  const content = new Int32Array(blocks * PAGE_BYTES / 4);
  for (let block = 0; block < blocks; block++) {
    content.fill(wordOf(block), block * PAGE_BYTES / 4, (block + 1) * PAGE_BYTES / 4);
  }
  await Deno.writeFile(path, new Uint8Array(content.buffer));
  await using aio = await openAio(method, { arenaBytes: 4 * 1024 * 1024 });
  await using file = await aio.openFile(path);
  const pool = await aio.openPool({ pages, pageSize: PAGE_BYTES });
  const module = new URL("./pool_scan_worker.ts", import.meta.url);
  const all = Array.from({ length: threads + 1 }, () => new AskedThread<ScanAsk>(module));
  const [invalidator, ...scanners] = all;
  try {
    const tokens = { aio: aio.token, pool: pool.token, file: file.token };
    await Promise.all(all.map((thread) => thread.ask({ what: "attach", ...tokens })));
    const over = new Int32Array(new SharedArrayBuffer(4));
    const forgotten = invalidator!.ask<number>({ what: "invalidate", over, seed });
    const scanning = scanners.map((thread, i) =>
      thread.ask<number>({ what: "scan", scans, blocks, seed: seed + i, losesPins })
    );
    const outcomes = await within(Promise.allSettled(scanning), () => describe(pool));
    Atomics.store(over, 0, 1);
    const failed = outcomes.find(({ status }) => status === "rejected");
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    for (const outcome of outcomes) {
      assertEquals((outcome as PromiseFulfilledResult<number>).value, scans * blocks);
    }
    assert(await forgotten > 0, "no page was forgotten meanwhile");
    await Promise.all(all.map((thread) => thread.ask({ what: "close" })));
  } finally {
    for (const thread of all) thread.terminate();
  }
  const left = pool.pages().filter((row) => row.io !== null || row.pinningBackends.length > 0);
  assertEquals(left, []);
  await pool.close();
}

/** Rejects where it hangs: with what the pool looks like then. */
async function within<T>(promise: Promise<T>, describe: () => string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`It hangs: ${describe()}`)), HANG_MS);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function describe(pool: PagePool): string {
  return pool.pages().map(({ block, pinningBackends, io }) =>
    `${block}: ${pinningBackends}${io === null ? "" : " in progress"}`
  ).join("; ");
}
