/**
 * soak_workers.ts: the pool of the worker method for longer than the suite has time: 100,000
 * verified IOs while Workers die, in each way, and a pool that is started and ended 200 times.
 *
 *     deno task soak:workers [--ios N] [--cycles N] [--seed N]
 *
 * Fails if a byte was wrong, if anything was left, if threads or descriptors are not as before, or
 * if the last 180 cycles took more than 10 MiB of resident memory.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Aio } from "../mod.ts";
import { Prng } from "./support/prng.ts";
import { collect } from "./support/rings/uring.ts";
import { tempDir } from "./support/temp.ts";
import { DEATHS, runDeaths } from "./support/deaths/worker_deaths.ts";
import { METHODS_FOR_TESTS, poolUp } from "./support/workers/worker_pool.ts";

const MEBIBYTE = 1024 * 1024;
const WARM_UP_CYCLES = 20;
const GROWTH_BYTES_MAX = 10 * MEBIBYTE;

interface Belongings {
  readonly threads: number;
  readonly descriptors: number;
  readonly bytes: number;
}

async function belongings(): Promise<Belongings> {
  for (let i = 0; i < 5; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const count = (path: string) => [...Deno.readDirSync(path)].length;
  return {
    threads: count("/proc/self/task"),
    descriptors: count("/proc/self/fd"),
    bytes: Deno.memoryUsage().rss,
  };
}

async function cycle(path: string): Promise<void> {
  const workers = { min: 2, launchIntervalMs: 0 };
  const options = { method: "worker", arenaBytes: MEBIBYTE, workers };
  await using aio = await poolUp(await Aio.open(options, METHODS_FOR_TESTS));
  await using file = await aio.openFile(path);
  const view = aio.alloc(4096);
  if (await file.readAt(view, 0) !== 4096) throw new Error("a short read");
}

async function runCycles(count: number): Promise<void> {
  await using dir = await tempDir();
  await Deno.writeFile(dir.join("data"), new Uint8Array(4096));
  for (let i = 0; i < WARM_UP_CYCLES; i++) await cycle(dir.join("data"));
  const before = await belongings();
  for (let i = WARM_UP_CYCLES; i < count; i++) await cycle(dir.join("data"));
  const after = await belongings();
  const grown = after.bytes - before.bytes;
  console.log(
    `${count} cycles: ${(grown / MEBIBYTE).toFixed(1)} MiB more, ${after.threads} threads`,
  );
  if (after.threads > before.threads || after.descriptors > before.descriptors) {
    throw new Error(`threads or descriptors were left: ${JSON.stringify([before, after])}`);
  }
  if (grown > GROWTH_BYTES_MAX) throw new Error(`${grown} bytes more`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ios: { type: "string", default: "100000" },
      cycles: { type: "string", default: "200" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    },
  });
  console.log(`seed ${values.seed}`);
  await runCycles(Number(values.cycles));
  for (const family of Object.keys(DEATHS) as (keyof typeof DEATHS)[]) {
    const outcome = await runDeaths(Number(values.ios), new Prng(Number(values.seed)), family);
    console.log(family, outcome);
    if (outcome.wrong > 0 || outcome.left.length > 0) throw new Error("IOs were lost or wrong");
  }
}

if (import.meta.main) await main();
