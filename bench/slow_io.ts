/**
 * slow_io.ts: what it costs a busy backend that another thread waits for one slow IO of it: a read
 * of a pipe that stays empty.
 *
 * @module
 */

import { closeSync, constants, openSync, writeSync } from "node:fs";
import type { WaitRef } from "../core/mod.ts";
import { Aio, type AioToken } from "../mod.ts";
import { onCache, runBatches } from "./batches.ts";
import type { PageCache } from "./page_cache.ts";
import { figures, ratios } from "./rounds.ts";

/** The orders of the thread that waits. */
export interface SlowOrder {
  readonly token: AioToken;
  readonly ref: WaitRef;
  /** Whether it blocks, or awaits. */
  readonly blocks: boolean;
}

interface Plan {
  readonly path: string;
  readonly cache: PageCache;
  readonly rounds: number;
  readonly seconds: number;
}

/** Times batches of cached reads alone and with the waiter, in turn. */
export async function busyBesideWaiter({ path, cache, rounds, seconds }: Plan) {
  const callbackModules = [new URL("./pipe_target.ts", import.meta.url)];
  await using aio = await Aio.open({ method: "io_uring", callbackModules });
  await using file = await aio.openFile(path);
  const pipe = await makePipe();
  const run = () => onCache(cache, false, () => runBatches(aio, file, "randread", seconds));
  const rates: Record<"alone" | "awaited" | "blocked", number[]> = {
    alone: [],
    awaited: [],
    blocked: [],
  };
  try {
    await run();
    for (let round = 0; round < rounds; round++) {
      rates.alone.push(await run() ?? NaN);
      for (const name of ["awaited", "blocked"] as const) {
        rates[name].push(await withWaiter(aio, pipe, name === "blocked", run) ?? NaN);
      }
    }
  } finally {
    closeSync(pipe);
  }
  return {
    "alone, IOPS": Math.round(figures(rates.alone).median),
    "one awaits": ratios(rates.awaited, rates.alone).median.toFixed(2),
    "one blocks": ratios(rates.blocked, rates.alone).median.toFixed(2),
    "wanted": "at least 0.9",
  };
}

async function makePipe(): Promise<number> {
  const dir = await Deno.makeTempDir();
  try {
    await new Deno.Command("mkfifo", { args: [`${dir}/pipe`] }).output();
    return openSync(`${dir}/pipe`, constants.O_RDWR);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function withWaiter<T>(
  aio: Aio,
  pipe: number,
  blocks: boolean,
  run: () => Promise<T>,
): Promise<T> {
  const handle = aio.acquire();
  const ref = handle.waitRef();
  const view = aio.alloc(1);
  handle.setIovec(view);
  handle.setTarget(aio.targetId("pipe"));
  handle.startReadv(pipe, 0);
  const worker = new Worker(new URL("./slow_io_worker.ts", import.meta.url), { type: "module" });
  const answer = () => new Promise((resolve) => worker.onmessage = resolve);
  const order: SlowOrder = { token: aio.token, ref, blocks };
  const begun = answer();
  worker.postMessage(order);
  await begun;
  const over = answer();
  const value = await run();
  writeSync(pipe, new Uint8Array(1));
  await over;
  worker.terminate();
  aio.waitSync(ref);
  aio.free(view);
  return value;
}
