/**
 * io_uring.ts: the core on io_uring, in batches of 32 that are waited for, beside fio with the
 * same.
 *
 * 4 KiB at random places of a 1 GiB file. Ours and fio's alternate; before each timed run the page
 * cache is warmed, or dropped for direct I/O, and a round after which less than 99 % of the file
 * was in memory does not count. A row falls short only if the ratio of its medians and its best
 * round do.
 *
 * Run: deno task bench:io_uring [--rounds N] [--seconds N] [--dir DIR]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Aio } from "../mod.ts";
import { BLOCK_BYTES, DEPTH, type Direction, onCache, runBatches, withFile } from "./batches.ts";
import { hasFio, runFio } from "./fio.ts";
import type { PageCache } from "./page_cache.ts";
import { figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

const WARM_UP_SECONDS = 0.3;

interface Case {
  readonly what: string;
  readonly direct: boolean;
  readonly rw: Direction;
  readonly wanted: number;
}

const CASES: readonly Case[] = [
  { what: "cached reads", direct: false, rw: "randread", wanted: 1.0 },
  { what: "direct reads", direct: true, rw: "randread", wanted: 0.95 },
  { what: "direct writes", direct: true, rw: "randwrite", wanted: 0.95 },
];

interface Rates {
  readonly ours: number[];
  readonly theirs: number[];
}

async function measure(
  { direct, rw }: Case,
  path: string,
  cache: PageCache,
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<Rates> {
  const rates: Rates = { ours: [], theirs: [] };
  await using aio = await Aio.open({ method: "io_uring" });
  await using file = await aio.openFile(path, {
    read: true,
    write: rw === "randwrite",
    direct: direct ? "required" : "off",
  });
  const job = { path, engine: "io_uring", rw, direct, depth: DEPTH, seconds } as const;
  runBatches(aio, file, rw, WARM_UP_SECONDS);
  for (let round = 0; round < rounds; round++) {
    const ours = await onCache(cache, direct, () => runBatches(aio, file, rw, seconds));
    const theirs = await onCache(cache, direct, () => runFio({ ...job, blockBytes: BLOCK_BYTES }));
    if (ours === null || theirs === null) continue;
    rates.ours.push(ours);
    rates.theirs.push(theirs);
  }
  return rates;
}

function rowOf({ ours, theirs }: Rates, wanted: number) {
  const [mine, fio] = [figures(ours).median, figures(theirs).median];
  const rounds = ratios(ours, theirs);
  return {
    "ours IOPS": Math.round(mine),
    "fio IOPS": Math.round(fio),
    "ratio of medians": (mine / fio).toFixed(2),
    "rounds": `${rounds.min.toFixed(2)} to ${rounds.max.toFixed(2)}`,
    wanted,
    counted: ours.length,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: ROUND_OPTIONS });
  if (!await hasFio()) throw new Error("fio is not installed: on Debian, apt-get install fio");
  const plan = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  await withFile(values.dir, async (path, cache) => {
    const table: Record<string, unknown> = {};
    for (const one of CASES) {
      const name = `${one.what}, ${DEPTH} a batch`;
      table[name] = rowOf(await measure(one, path, cache, plan), one.wanted);
    }
    console.table(table);
  });
}

if (import.meta.main) await main();
