/**
 * sentinel_worker.ts: a Worker of `sentinel_program.ts`: it issues IO, forgets where it goes, fills
 * its memory with sentinels, and ends as its order says.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio } from "../../../mod.ts";
import { HeldMethod } from "../held_method.ts";
import { Prng } from "../prng.ts";
import {
  collect,
  issueAndForget,
  type SentinelAnswer,
  type SentinelOrder,
  Sentinels,
} from "./sentinel.ts";

const READS_OF_EACH_KIND = 3;
const SENTINEL_BYTES = 4 * 1_048_576;

/** Ends what was begun, where the Worker lives long enough for that. */
let end: () => Promise<SentinelAnswer>;

async function begin(order: SentinelOrder): Promise<void> {
  const aio = await Aio.attach(order.token, {}, [new HeldMethod()]);
  const file = aio.attachFile(order.file);
  const random = new Prng(order.seed);
  const { plain } = issueAndForget(aio, file, random, READS_OF_EACH_KIND);
  aio.submitStaged();
  // Of those that end without a word some leave IO that is not submitted.
  if (order.ending !== "close") aio.enterBatchmode();
  const { plain: more } = issueAndForget(aio, file, random, 1);
  const sentinels = new Sentinels();
  sentinels.addOfEachSize(SENTINEL_BYTES);
  collect();
  end = async () => {
    const results = await Promise.all([...plain, ...more]);
    sentinels.addOfEachSize(SENTINEL_BYTES);
    collect();
    await file.close();
    await aio.close();
    const bytes = results.reduce((sum, one) => sum + one, 0);
    return { changed: sentinels.changed(), bytes };
  };
}

self.onmessage = async ({ data }: MessageEvent<SentinelOrder | "end" | "selfClose">) => {
  if (data === "selfClose") self.close();
  else if (data === "end") self.postMessage(await end());
  else self.postMessage(await begin(data));
};
