/**
 * log_threads_worker.ts: a thread of `log_threads.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type Log } from "../../../mod.ts";
import { backendOf } from "../../../core/inside.ts";
import { AtomicSteps } from "../deaths/atomic_steps.ts";
import { Prng } from "../prng.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import { type LogAnswer, type LogAsk, threadRecord } from "./log_threads.ts";

const TASKS = 6;
const WORDS_MAX = 100;
/** One in so many is larger than the log's buffer. */
const LARGE_EVERY = 400;
const LARGE_WORDS = 65_000;
const SYNC_EVERY = 20;
/** One in so many ends its turn of the event loop. */
const PAUSE_EVERY = 5;

function answer(message: LogAnswer): void {
  self.postMessage(message);
}

self.onmessage = async ({ data: ask }: MessageEvent<LogAsk>) => {
  const prng = new Prng(ask.seed);
  let begun = 0;
  let isDead = false;
  const append = async (log: Log): Promise<void> => {
    const number = ask.first + begun++;
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
  const runTask = async (log: Log): Promise<void> => {
    // What a thread does may go on after its end, to the end of the turn of the event loop.
    while (begun < ask.records && !isDead) {
      await append(log);
      if (prng.chance(1, PAUSE_EVERY)) await new Promise((resolve) => setTimeout(resolve));
    }
  };
  try {
    const aio = await Aio.attach(ask.token, {}, METHODS_FOR_TESTS);
    const log = aio.attachLog(ask.log);
    if (ask.diesAt < Infinity) {
      const { arena, control } = backendOf(aio);
      const steps = new AtomicSteps(arena.buffer, control.words.buffer);
      steps.onDeath = () => {
        isDead = true;
        answer({ begun, isDead });
      };
      steps.diesAt = ask.diesAt;
    }
    await Promise.all(Array.from({ length: TASKS }, () => runTask(log)));
    await log.close();
    await aio.close();
    answer({ begun, isDead: false });
  } catch (error) {
    answer({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
};
