/**
 * log_worker.ts: a thread of log.ts that appends.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type LogToken } from "../mod.ts";
import { measure, RECORD_BYTES } from "./records.ts";

/** What it is sent. */
export interface ThreadAsk {
  readonly aio: Aio["token"];
  readonly log: LogToken;
  readonly tasks: number;
  readonly seconds: number;
  readonly warmUpMs: number;
}

const RECORD = new Uint8Array(RECORD_BYTES).fill(0x2e);

self.onmessage = async ({ data }: MessageEvent<ThreadAsk>) => {
  const { tasks, seconds, warmUpMs } = data;
  const aio = await Aio.attach(data.aio);
  const log = aio.attachLog(data.log);
  const outcome = await measure(() => log.append(RECORD), tasks, seconds, warmUpMs);
  await aio.close();
  self.postMessage(outcome);
};
