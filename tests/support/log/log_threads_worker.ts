/**
 * log_threads_worker.ts: a thread of `log_threads.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type Log } from "../../../mod.ts";
import { Prng } from "../prng.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import { MortalTasks } from "../threads/mortal_tasks.ts";
import type { LifeAnswer } from "../threads/mortal_worker.ts";
import { type LogAsk, threadRecord } from "./log_threads.ts";

const WORDS_MAX = 100;
/** One in so many is larger than the log's buffer. */
const LARGE_EVERY = 400;
const LARGE_WORDS = 65_000;
const SYNC_EVERY = 20;

function answer(message: LifeAnswer): void {
  self.postMessage(message);
}

self.onmessage = async ({ data: ask }: MessageEvent<LogAsk>) => {
  const prng = new Prng(ask.seed);
  const tasks = new MortalTasks(ask, prng);
  const append = async (log: Log): Promise<void> => {
    const number = tasks.next();
    const words = prng.chance(1, LARGE_EVERY) ? LARGE_WORDS : prng.below(WORDS_MAX);
    const record = threadRecord(ask.thread, number, words);
    const position = await appendSomehow(log, record);
    const lie = ask.lies && prng.chance(1, 100) ? 8 : 0;
    ask.told[number] = position + lie + 1;
  };
  const appendSomehow = async (log: Log, record: Uint8Array): Promise<number> => {
    if (!prng.chance(1, SYNC_EVERY)) return await log.append(record);
    try {
      return log.appendSync(record);
    } catch (error) {
      // Tasks of this thread wait for room, or await a flush.
      if (!(error instanceof Deno.errors.Busy)) throw error;
      return await log.append(record);
    }
  };
  try {
    const aio = await Aio.attach(ask.token, {}, METHODS_FOR_TESTS);
    const log = aio.attachLog(ask.log);
    const die = () => answer({ begun: tasks.begun, isDead: true });
    await tasks.run(aio, die, () => append(log));
    await log.close();
    await aio.close();
    answer({ begun: tasks.begun, isDead: false });
  } catch (error) {
    answer({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
};
