/**
 * pg_checksums.ts: examples/pg_checksums.ts beside PostgreSQL's own `pg_checksums --check`, on two
 * made-up clusters: one with a segment of 1 GiB, and one of 13,000 small files.
 *
 * The two alternate, each as a process of its own, from its start until it is gone; before each run
 * the page cache is warmed, or dropped. "processor" is what a run takes of all processors, user and
 * system: a machine that does other things meanwhile changes that less than the time. The ratio is
 * that of speeds, above 1 where ours is faster.
 *
 * Run: deno task bench:pg_checksums [--rounds N] [--dir DIR]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { describeMachine } from "./machine.ts";
import { makeClusters, PG_CHECKSUMS } from "./pg_checksums/clusters.ts";
import { dropFiles, filesUnder, warmFiles } from "./pg_checksums/files.ts";
import { runTimed, type Timed } from "./pg_checksums/timed.ts";
import { figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

const PROGRAM = new URL("../examples/pg_checksums.ts", import.meta.url).href;

interface Case {
  readonly what: string;
  readonly cluster: "large" | "small";
  readonly isCold: boolean;
  readonly options: readonly string[];
  /** The ratio of speeds that is wanted. */
  readonly wanted: number | "";
}

const CASES: readonly Case[] = [
  {
    what: "1 GiB, cold, --direct",
    cluster: "large",
    isCold: true,
    options: ["--direct"],
    wanted: 1.2,
  },
  {
    what: "1 GiB, cold, --direct --jobs 2, a pool",
    cluster: "large",
    isCold: true,
    options: ["--direct", "--jobs", "2"],
    wanted: "",
  },
  { what: "1 GiB, warm", cluster: "large", isCold: false, options: [], wanted: "" },
  {
    what: "1 GiB, warm, --jobs 2",
    cluster: "large",
    isCold: false,
    options: ["--jobs", "2"],
    wanted: 0.8,
  },
  { what: "13,000 small files, warm", cluster: "small", isCold: false, options: [], wanted: 0.4 },
  {
    what: "13,000 small files, warm, --jobs 2",
    cluster: "small",
    isCold: false,
    options: ["--jobs", "2"],
    wanted: "",
  },
];

async function measure(
  { isCold, options, wanted }: Case,
  cluster: string,
  rounds: number,
): Promise<Record<string, unknown>> {
  const files = filesUnder(cluster);
  const ours = [Deno.execPath(), "run", "-A", "--no-lock", PROGRAM, ...options, cluster];
  const theirs = [PG_CHECKSUMS, "--check", "-D", cluster];
  const runs: { ours: Timed[]; theirs: Timed[] } = { ours: [], theirs: [] };
  for (let round = -1; round < rounds; round++) {
    for (const [name, command] of [["ours", ours], ["theirs", theirs]] as const) {
      if (isCold) dropFiles(files);
      else warmFiles(files);
      const run = await runTimed(command);
      if (round >= 0) runs[name].push(run);
    }
  }
  const times = (all: readonly Timed[]) => all.map(({ wholeMs }) => wholeMs);
  const processor = (all: readonly Timed[]) => figures(all.map((run) => run.processorMs)).median;
  const [mine, peer] = [times(runs.ours), times(runs.theirs)];
  const spread = ratios(peer, mine);
  return {
    "ours ms": Math.round(figures(mine).median),
    "C ms": Math.round(figures(peer).median),
    "ratio of medians": (figures(peer).median / figures(mine).median).toFixed(2),
    "rounds": `${spread.min.toFixed(2)} to ${spread.max.toFixed(2)}`,
    wanted,
    "processor ms": `${processor(runs.ours)}, C ${processor(runs.theirs)}`,
  };
}

async function main(): Promise<void> {
  const { rounds, dir } = ROUND_OPTIONS;
  const { values } = parseArgs({ options: { rounds, dir } });
  console.log(await describeMachine(values.dir));
  const folder = await Deno.makeTempDir({ dir: values.dir, prefix: "aio-bench-" });
  try {
    const clusters = await makeClusters(folder);
    const table: Record<string, unknown> = {};
    for (const one of CASES) {
      table[one.what] = await measure(one, clusters[one.cluster], Number(values.rounds));
    }
    console.table(table);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) await main();
