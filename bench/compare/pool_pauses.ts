/**
 * pool_pauses.ts: how long the opener's event loop stands still while the pool of the worker method
 * grows to 16, beside the constructor of such Workers alone: the longest pause of a 1 ms timer.
 *
 * Arguments: "pool" or "alone", path of a file that is read meanwhile. Prints milliseconds.
 *
 * @module
 */

import { Worker } from "node:worker_threads";
import { Aio } from "../../mod.ts";

const WORKERS = 16;
const TICK_MS = 1;
/** About as far apart as the pool's: when the last one has loaded its modules. */
const APART_MS = 50;

/** Runs with a timer, and tells its longest pause. */
async function longestPause(run: () => Promise<void>): Promise<number> {
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, TICK_MS);
  await run();
  clearInterval(timer);
  return longest;
}

async function growPool(path: string): Promise<number> {
  await using aio = await Aio.open({ method: "worker", workers: { max: WORKERS } });
  await using file = await aio.openFile(path, { direct: "optional" });
  const view = aio.alloc(4096);
  await file.readAt(view, 0);
  return await longestPause(async () => {
    aio.setWorkers({ min: WORKERS });
    while (aio.workers().length < WORKERS) await file.readAt(view, 0);
  });
}

async function construct(): Promise<number> {
  const workers: Worker[] = [];
  const program = "import { parentPort } from 'node:worker_threads'; parentPort.ref();";
  const longest = await longestPause(async () => {
    for (let i = 0; i < WORKERS; i++) {
      workers.push(new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`)));
      await new Promise((resolve) => setTimeout(resolve, APART_MS));
    }
  });
  for (const worker of workers) await worker.terminate();
  return longest;
}

const [kind, path] = Deno.args;
console.log(kind === "pool" ? await growPool(path!) : await construct());
Deno.exit();
