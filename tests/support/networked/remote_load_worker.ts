/**
 * remote_load_worker.ts: a thread of `remote_load.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type Log } from "../../../mod.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import { type LoadAnswer, type LoadAsk, loadRecord } from "./remote_load.ts";

const TASKS = 8;

let begun = 0;
let isStopping = false;

function say(answer: LoadAnswer): void {
  self.postMessage(answer);
}

/** Appends one record after another, until one fails or the test says stop. */
async function append(log: Log, { thread, isHasty }: LoadAsk): Promise<void> {
  try {
    while (!isStopping) {
      const number = begun++;
      const record = loadRecord(thread, number);
      if (!isHasty) {
        say({ number, position: await log.append(record) });
        continue;
      }
      const position = log.write(record);
      say({ number, position });
      await log.flush(position);
    }
  } finally {
    isStopping = true;
  }
}

async function work(ask: LoadAsk): Promise<void> {
  const aio = await Aio.attach(ask.token, {}, METHODS_FOR_TESTS);
  const log = aio.attachLog(ask.log);
  const tasks = Array.from({ length: TASKS }, () => append(log, ask));
  const outcomes = await Promise.allSettled<unknown>(tasks);
  outcomes.push(...await Promise.allSettled([log.close()]));
  await aio.close();
  const failed = outcomes.find(({ status }) => status === "rejected");
  say({ begun, failure: failed?.status === "rejected" ? String(failed.reason) : null });
}

self.onmessage = async ({ data }: MessageEvent<LoadAsk | "stop">) => {
  if (data === "stop") isStopping = true;
  else await work(data);
};
