/**
 * uring_choices.ts: each choice of the io_uring method with and without, side by side: registered
 * memory, files known by number, kernel threads for large submits, flags of the ring, lone cached
 * reads without it; how long a submit holds up the event loop; and what a thread that waits for one
 * slow IO of a busy backend costs that one.
 *
 * Run: deno task bench:choices [--rounds N] [--seconds N] [--dir DIR]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Aio, type AioFile, type AioOptions } from "../mod.ts";
import { createIoUringMethod } from "../methods/io_uring.ts";
import { DEFAULT_TUNING, type UringTuning } from "../methods/io_uring/tuning.ts";
import { BLOCK_BYTES, FILE_BYTES, onCache, runBatches, withFile } from "./batches.ts";
import { randomOffsets } from "./compare/tasks.mjs";
import type { PageCache } from "./page_cache.ts";
import { figures, ROUND_OPTIONS } from "./rounds.ts";
import { busyBesideWaiter } from "./slow_io.ts";

const MEBIBYTE = 1024 * 1024;
/** IORING_SETUP_COOP_TASKRUN: completions come when the thread enters the kernel by itself. */
const COOP_TASKRUN = 1 << 8;
const READS_PER_LOOK = 64;
const NEVER = Number.MAX_SAFE_INTEGER;

/** What one side of a comparison is opened with. */
interface Side {
  readonly options?: AioOptions;
  readonly tuning?: Partial<UringTuning>;
}

interface Choice {
  readonly what: string;
  readonly direct: boolean;
  /** One read at a time instead of batches. */
  readonly isAlone?: boolean;
  /** What this version does, and what it could do instead. */
  readonly sides: readonly [Side, Side];
}

const CHOICES: readonly Choice[] = [
  {
    what: "cached reads, arena registered / not",
    direct: false,
    sides: [{}, { options: { registeredBytes: 0 } }],
  },
  {
    what: "direct reads, arena registered / not",
    direct: true,
    sides: [{}, { options: { registeredBytes: 0 } }],
  },
  {
    what: "cached reads, file by number / by descriptor",
    direct: false,
    sides: [{}, { tuning: { fileUsesMin: NEVER } }],
  },
  {
    what: "direct reads, file by number / by descriptor",
    direct: true,
    sides: [{}, { tuning: { fileUsesMin: NEVER } }],
  },
  {
    what: "cached reads, inline / all by IOSQE_ASYNC",
    direct: false,
    sides: [{}, { tuning: { inlineBytesMax: 0 } }],
  },
  {
    what: "direct reads, inline / all by IOSQE_ASYNC",
    direct: true,
    sides: [{}, { tuning: { inlineBytesMax: 0 } }],
  },
  {
    what: "cached reads, no flags / COOP_TASKRUN",
    direct: false,
    sides: [{}, { tuning: { setupFlags: COOP_TASKRUN } }],
  },
  {
    what: "direct reads, no flags / COOP_TASKRUN",
    direct: true,
    sides: [{}, { tuning: { setupFlags: COOP_TASKRUN } }],
  },
  {
    what: "cached reads, one at a time, tried without the ring / not",
    direct: false,
    isAlone: true,
    sides: [{}, { tuning: { cachedReadsMin: NEVER } }],
  },
];

/** Reads of 1 MiB that are issued in one turn. */
const TURNS = [
  { what: "64 direct reads of 1 MiB", direct: true, count: 64 },
  { what: "16 cached reads of 1 MiB", direct: false, count: 16 },
] as const;

async function withSide<T>(
  { options, tuning }: Side,
  path: string,
  direct: boolean,
  use: (aio: Aio, file: AioFile) => Promise<T>,
): Promise<T> {
  const method = createIoUringMethod(null, { ...DEFAULT_TUNING, ...tuning });
  const opening = { method: "io_uring", arenaBytes: 128 * MEBIBYTE, ...options } as const;
  await using aio = await Aio.open(opening, [method]);
  await using file = await aio.openFile(path, { direct: direct ? "required" : "off" });
  return await use(aio, file);
}

interface Plan {
  readonly path: string;
  readonly cache: PageCache;
  readonly rounds: number;
  readonly seconds: number;
}

/** One task that awaits one read after another. @returns IOs a second */
async function runAlone(aio: Aio, file: AioFile, seconds: number): Promise<number> {
  const nextOffset = randomOffsets(FILE_BYTES / BLOCK_BYTES, BLOCK_BYTES);
  const page = aio.alloc(BLOCK_BYTES);
  const start = performance.now();
  let [count, ms] = [0, 0];
  for (; ms < seconds * 1000; ms = performance.now() - start) {
    for (let i = 0; i < READS_PER_LOOK; i++, count++) await file.readAt(page, nextOffset());
  }
  aio.free(page);
  return count / ms * 1000;
}

async function compare({ direct, isAlone = false, sides }: Choice, plan: Plan) {
  const rates: [number[], number[]] = [[], []];
  for (let round = 0; round < plan.rounds; round++) {
    for (const [i, side] of sides.entries()) {
      const rate = await withSide(side, plan.path, direct, async (aio, file) => {
        const runFor = async (seconds: number) =>
          isAlone ? await runAlone(aio, file, seconds) : runBatches(aio, file, "randread", seconds);
        await runFor(plan.seconds / 5);
        const run = () => runFor(plan.seconds);
        return await onCache(plan.cache, direct, run);
      });
      if (rate !== null) rates[i]!.push(rate);
    }
  }
  const [ours, others] = rates.map((values) => Math.round(figures(values).median));
  return { "as it is, IOPS": ours, "instead, IOPS": others, ratio: (ours! / others!).toFixed(2) };
}

/** How long the turn of the event loop takes that issues so many reads of 1 MiB, in ms. */
async function timeTurn(aio: Aio, file: AioFile, count: number): Promise<number> {
  const views = Array.from({ length: count }, () => aio.alloc(MEBIBYTE));
  const start = performance.now();
  aio.enterBatchmode();
  const refs = views.map((view, i) => {
    const handle = aio.acquire();
    const ref = handle.waitRef();
    handle.setIovec(view);
    file.startReadv(handle, i * MEBIBYTE);
    return ref;
  });
  aio.exitBatchmode();
  const ms = performance.now() - start;
  for (const ref of refs) await aio.wait(ref);
  for (const view of views) aio.free(view);
  return ms;
}

async function measureTurns({ direct, count }: typeof TURNS[number], plan: Plan) {
  const times: number[][] = [];
  for (const inlineBytesMax of [DEFAULT_TUNING.inlineBytesMax, NEVER]) {
    const side = { tuning: { inlineBytesMax } };
    times.push(
      await withSide(side, plan.path, direct, async (aio, file) => {
        const all: number[] = [];
        for (let round = 0; round < plan.rounds; round++) {
          const run = () => timeTurn(aio, file, count);
          // The first one finds memory that was never touched.
          if (round === 0) await run();
          const ms = await onCache(plan.cache, direct, run);
          if (ms !== null) all.push(ms);
        }
        return all;
      }),
    );
  }
  const [ours, inline] = times.map(figures);
  return {
    "by bytes, ms": ours!.median.toFixed(2),
    "longest": ours!.max.toFixed(2),
    "all inline, ms": inline!.median.toFixed(2),
    "wanted": "at most 2",
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { ...ROUND_OPTIONS, seconds: { type: "string", default: "0.5" } },
  });
  const { rounds, seconds } = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  await withFile(values.dir, async (path, cache) => {
    const plan: Plan = { path, cache, rounds, seconds };
    const [choices, turns]: Record<string, unknown>[] = [{}, {}];
    for (const choice of CHOICES) choices![choice.what] = await compare(choice, plan);
    console.table(choices);
    for (const turn of TURNS) turns![turn.what] = await measureTurns(turn, plan);
    console.table(turns);
    console.table({ "cached reads of a busy backend": await busyBesideWaiter(plan) });
  });
}

if (import.meta.main) await main();
