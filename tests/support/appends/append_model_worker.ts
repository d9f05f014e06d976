/**
 * append_model_worker.ts: a thread of `append_model.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type AioFile, AioSystemError } from "../../../mod.ts";
import { Prng } from "../prng.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import { MortalTasks } from "../threads/mortal_tasks.ts";
import type { AppendAnswer, AppendAsk } from "./append_model.ts";
import { makeRecord, UNIT_BYTES } from "./make_record.ts";

const UNITS_MAX = 20;
/** One in so many is long: more than one IO. */
const LONG_EVERY = 2000;
const LONG_UNITS = 40_000;
const SYNC_EVERY = 20;
const DURABLE_EVERY = 200;

function answer(message: AppendAnswer): void {
  self.postMessage(message);
}

self.onmessage = async ({ data: ask }: MessageEvent<AppendAsk>) => {
  const prng = new Prng(ask.seed);
  const tasks = new MortalTasks(ask, prng);
  const append = async (file: AioFile): Promise<void> => {
    const number = tasks.next();
    const units = prng.chance(1, LONG_EVERY) ? LONG_UNITS : prng.between(1, UNITS_MAX);
    const record = makeRecord(ask.thread, number, units * UNIT_BYTES);
    const durable = prng.chance(1, DURABLE_EVERY);
    let offset: number;
    try {
      offset = prng.chance(1, SYNC_EVERY)
        ? file.appendSync(record, { durable })
        : await file.append(record, { durable });
    } catch (error) {
      const isFull = error instanceof AioSystemError && "code" in error && error.code === "ENOSPC";
      if (!isFull) throw error;
      answer({ refusal: error.message });
      return;
    }
    const lie = ask.lies && prng.chance(1, 100) ? UNIT_BYTES : 0;
    ask.told[ask.thread * (ask.told.length / ask.threads) + number] = offset + lie + 1;
  };
  try {
    const onWarning = (warning: string) => answer({ warning });
    const aio = await Aio.attach(ask.token, { onWarning }, METHODS_FOR_TESTS);
    // Every second thread has an opening of its own.
    const file = ask.thread % 2 === 0
      ? aio.attachFile(ask.file)
      : await aio.openFile(ask.path, { read: true, write: true });
    const die = () => answer({ begun: tasks.begun, isDead: true });
    await tasks.run(aio, die, () => append(file));
    await file.close();
    await aio.close();
    answer({ begun: tasks.begun, isDead: false });
  } catch (error) {
    answer({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
};
