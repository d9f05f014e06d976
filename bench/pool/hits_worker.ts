/**
 * hits_worker.ts: one of several threads of `bench/pool.ts` that read pages of one pool.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type AioToken, type FileToken, type PoolToken } from "../../mod.ts";
import { hitsIn, shuffled, whileSeconds } from "./hits.ts";

/** Which pages are the thread's. */
export interface ThreadOrder {
  readonly aio: AioToken;
  readonly pool: PoolToken;
  readonly file: FileToken;
  readonly first: number;
  readonly count: number;
}

self.onmessage = async ({ data: order }: MessageEvent<ThreadOrder>) => {
  const aio = await Aio.attach(order.aio);
  const pool = aio.attachPool(order.pool);
  const run = hitsIn(pool, aio.attachFile(order.file), shuffled(order.first, order.count));
  // Until it is compiled.
  for (let i = 0; i < 20; i++) run();
  self.onmessage = ({ data: seconds }: MessageEvent<number>) => {
    self.postMessage(whileSeconds(seconds, run));
  };
  self.postMessage(0);
};
