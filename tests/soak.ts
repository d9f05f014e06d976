/**
 * soak.ts: the load of threads_test.ts for as long as it takes to meet what happens once in ten
 * million times: 10^8 IOs by default, half an hour to an hour.
 *
 *     deno task soak [--method held|io_uring|linux_aio|worker|sync] [--handles N] [--ios N]
 *       [--seed N] [--minutes N]
 *
 * `--handles` is how many IOs a thread has at a time, and so the size of its ring; `deno task
 * soak:mapped` does the same with rings as kernels before Linux 6.5 have them.
 *
 * Prints a line every ten seconds. Fails if content was wrong, if nothing was done for half a
 * minute (a wake-up was lost), if the time limit (120 minutes) is over, or if handles, arena,
 * descriptors or threads are not what they were.
 *
 * @module
 */

import { parseArgs } from "node:util";
import type { WorkerPoolOptions } from "../mod.ts";
import { type Fixture, openHeld, openSync } from "./support/core.ts";
import { missingBelongings, quietBelongings } from "./support/belongings.ts";
import { type LoadAnswer, type RunningLoad, startLoad } from "./support/threads/load.ts";

const THREADS = 4;
const PROGRESS_MS = 10_000;
const STALLED_MS = 30_000;
const HANDLES = 16;
/**
 * So many IOs run before anything is counted, so that whatever Deno opens only once, such as when
 * the first Worker ends, is open by then.
 */
const WARM_UP_IOS = 60_000;
/** The pool grows during the load, and has shrunk again when belongings are counted. */
const WORKERS: WorkerPoolOptions = { min: 2, max: 8, idleTimeoutMs: 100 };

interface Plan {
  readonly method: string;
  readonly handles: number;
  readonly ios: number;
  readonly seed: number;
  readonly minutes: number;
}

function planOf(args: string[]): Plan {
  const { values } = parseArgs({
    args,
    options: {
      method: { type: "string", default: "held" },
      handles: { type: "string", default: String(HANDLES) },
      ios: { type: "string", default: "100000000" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
      minutes: { type: "string", default: "120" },
    },
  });
  const positive = (name: "handles" | "ios" | "seed" | "minutes") => {
    const number = Number(values[name]);
    if (Number.isSafeInteger(number) && number > 0) return number;
    throw new RangeError(`--${name} must be a positive integer, not ${values[name]}`);
  };
  return {
    method: values.method,
    handles: positive("handles"),
    ios: positive("ios"),
    seed: positive("seed"),
    minutes: positive("minutes"),
  };
}

/** Prints the progress; ends the program if there is none. @returns stops watching */
function watch(load: RunningLoad, plan: Plan): () => void {
  const start = performance.now();
  let [last, movedAt] = [0, start];
  const timer = setInterval(() => {
    const now = performance.now();
    const done = load.done();
    if (done !== last) [last, movedAt] = [done, now];
    const seconds = Math.round((now - start) / 1000);
    const percent = (100 * done / plan.ios).toFixed(1);
    const rate = Math.round(done / (now - start));
    console.log(`${seconds} s: ${done} IOs, ${percent} %, ${rate} thousand/s, seed ${plan.seed}`);
    if (now - movedAt < STALLED_MS) return;
    console.error(`Nothing was done for ${STALLED_MS / 1000} s: seed ${plan.seed}`);
    Deno.exit(1);
  }, PROGRESS_MS);
  return () => clearInterval(timer);
}

async function run(fixture: Fixture, plan: Plan, isWatched: boolean): Promise<LoadAnswer[]> {
  const { aio, file } = fixture;
  await using load = startLoad(THREADS);
  const end = isWatched ? watch(load, plan) : () => {};
  try {
    const ios = Math.ceil(plan.ios / THREADS);
    const order = { token: aio.token, file: file.token, method: aio.method, ios, seed: plan.seed };
    return await load.run(order, plan.minutes * 60_000);
  } finally {
    end();
  }
}

async function main(): Promise<void> {
  const plan = planOf(Deno.args);
  const start = performance.now();
  const options = { maxBackends: THREADS + 1, maxConcurrency: plan.handles, workers: WORKERS };
  await using fixture = plan.method === "held"
    ? await openHeld(options)
    : await openSync({ ...options, method: plan.method });
  await run(fixture, { ...plan, ios: WARM_UP_IOS }, false);
  const before = await quietBelongings(fixture.aio);
  const answers = await run(fixture, plan, true);
  const missing = await missingBelongings(fixture.aio, before);
  const sum = (name: keyof LoadAnswer) => answers.reduce((all, one) => all + one[name], 0);
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(
    `${plan.method}: ${sum("done")} IOs in ${seconds} s, ${sum("wrong")} wrong, ` +
      `${sum("foreign")} awaited by other threads, seed ${plan.seed}`,
  );
  for (const what of missing) console.error(`Not as before: ${what}`);
  if (missing.length > 0 || sum("wrong") > 0) Deno.exitCode = 1;
}

if (import.meta.main) await main();
