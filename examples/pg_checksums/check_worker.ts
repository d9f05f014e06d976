/**
 * A Worker of `workers.ts`: attaches itself to the Aio and the pool of the main thread, takes part
 * in the check, and posts what it has found.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio } from "../../mod.ts";
import { checkFiles, type Order } from "./check_files.ts";

self.onmessage = async ({ data: order }: MessageEvent<Order>) => {
  await check(order);
  self.postMessage("done");
};

async function check(order: Order): Promise<void> {
  await using aio = await Aio.attach(order.aio);
  await using pool = order.pool && aio.attachPool(order.pool);
  await checkFiles(aio, pool, order, (parts) => self.postMessage(parts));
}
