/**
 * compare.ts: awaiting through this library beside what its users would take instead: 4 KiB at
 * random places of a file of 1 GiB, or 256 MiB with `--quick`, in the page cache and past it.
 *
 * Ours and theirs take turns, to and fro, each in a process of its own; before each timed run the
 * page cache is warmed, or dropped for direct I/O, and a run after which less than 99 % of the file
 * was in memory does not count. Prints what the machine is, and a table of medians; a row falls
 * short only if the ratio of its medians and its best round do. Peers that are not installed are
 * named and left out.
 *
 * Run: deno task bench:compare [--quick] [--rounds N] [--seconds N] [--dir DIR] [--only TEXT]
 * [--json FILE] [--svg FILE]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { availableMethods } from "../methods/mod.ts";
import { FILE_BYTES, onCache, withFile } from "./batches.ts";
import { type Bar, drawChart } from "./compare/chart.ts";
import {
  BLOCK_BYTES,
  type Group,
  groupsOn,
  type Peers,
  type Row,
  tickingOn,
} from "./compare/cases.ts";
import type { Contender, RunResult } from "./compare/contender.ts";
import { hasFio } from "./fio.ts";
import { describeMachine } from "./machine.ts";
import { findNode } from "./node.ts";
import type { PageCache } from "./page_cache.ts";
import { type Figures, figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

const WARM_UP_SECONDS = 0.5;
/** V8 compiles what has run for some thousand times, for which slow IOs take longer. */
const WARM_UP_OPERATIONS = 10_000;
const WARM_UPS_MAX = 6;
const IDLE_SECONDS = 5;
const MEGABYTE = 1e6;

interface Plan {
  readonly path: string;
  readonly fileBytes: number;
  readonly cache: PageCache;
  readonly rounds: number;
  readonly seconds: number;
}

/** What a row came to. */
interface Outcome {
  readonly what: string;
  readonly peer: string;
  readonly wanted: number;
  /** Wanted at most, of {@linkcode processor}. */
  readonly processorMax: number;
  /** Processor time an IO, ours over theirs: of the medians, and the best round. */
  readonly processor: number;
  readonly processorMin: number;
  readonly blockBytes: number;
  /** Of the medians. */
  readonly ratio: number;
  readonly roundMin: number;
  readonly roundMax: number;
  readonly ours: RunResult;
  readonly theirs: RunResult;
  readonly rounds: number;
}

/** The runs of one contender, round by round; null where the cache did not hold. */
type Runs = (RunResult | null)[];

async function runGroup(group: Group, plan: Plan): Promise<Map<string, Runs>> {
  await using stack = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  for (const make of Object.values(group.contenders)) {
    if (make !== null) contenders.push(stack.use(make()));
  }
  const runs = new Map<string, Runs>(contenders.map(({ name }) => [name, []]));
  const { cache, rounds, seconds } = plan;
  for (const contender of contenders) await warmUp(contender);
  for (let round = 1; round <= rounds; round++) {
    await note(`${group.name}: round ${round} of ${rounds}`);
    // A disk that allows bursts is kinder to a contender that comes after a slow one, so the order
    // changes.
    contenders.reverse();
    for (const contender of contenders) {
      const run = () => contender.run(seconds);
      runs.get(contender.name)!.push(await onCache(cache, group.direct, run));
    }
  }
  return runs;
}

async function warmUp(contender: Contender): Promise<void> {
  let operations = 0;
  for (let i = 0; i < WARM_UPS_MAX && operations < WARM_UP_OPERATIONS; i++) {
    operations += (await contender.run(WARM_UP_SECONDS)).iops * WARM_UP_SECONDS;
  }
}

/** How far it is, where somebody looks. */
async function note(text: string): Promise<void> {
  if (!Deno.stderr.isTerminal()) return;
  await Deno.stderr.write(new TextEncoder().encode(`\r\x1b[K${text}`));
}

function outcomeOf(row: Row, runs: Map<string, Runs>): Outcome | null {
  const [mine, theirs] = [runs.get(row.ours), runs.get(row.peer)];
  if (mine === undefined || theirs === undefined) return null;
  const pairs = mine.flatMap((one, i) => {
    const other = theirs[i]!;
    return one === null || other === null ? [] : [[one, other] as const];
  });
  const [a, b] = [pairs.map(([one]) => one), pairs.map(([, other]) => other)];
  const each = ratios(a.map(({ iops }) => iops), b.map(({ iops }) => iops));
  const processors = ratios(a.map(({ cpuUs }) => cpuUs), b.map(({ cpuUs }) => cpuUs));
  const [ours, peer] = [medianOf(a), medianOf(b)];
  return {
    what: row.what,
    peer: row.peer,
    wanted: row.wanted,
    processorMax: row.processorMax ?? Infinity,
    processor: ours.cpuUs / peer.cpuUs,
    processorMin: processors.min,
    blockBytes: row.blockBytes ?? BLOCK_BYTES,
    ratio: ours.iops / peer.iops,
    roundMin: each.min,
    roundMax: each.max,
    ours,
    theirs: peer,
    rounds: pairs.length,
  };
}

function medianOf(runs: readonly RunResult[]): RunResult {
  const of = (name: "iops" | "p50Us" | "p99Us" | "cpuUs") =>
    figures(runs.map((run) => run[name])).median;
  return { iops: of("iops"), p50Us: of("p50Us"), p99Us: of("p99Us"), cpuUs: of("cpuUs") };
}

function tableOf(outcomes: readonly Outcome[]) {
  const number = (value: number, digits = 0) => value.toFixed(digits);
  const side = ({ iops, p50Us, p99Us, cpuUs }: RunResult, blockBytes: number) =>
    `${number(iops / 1000, 1)}k, ${number(iops * blockBytes / MEGABYTE)} MB/s, ` +
    `${number(p50Us)}/${number(p99Us)} µs, ${number(cpuUs, 1)} µs`;
  return outcomes.map((row) => ({
    case: row.what,
    peer: row.peer,
    ratio: number(row.ratio, 2),
    rounds: `${number(row.roundMin, 2)} to ${number(row.roundMax, 2)}`,
    wanted: row.wanted,
    processor: number(row.processor, 2),
    "at most": row.processorMax === Infinity ? "" : row.processorMax,
    short: shortOf(row),
    "ours: IOPS, rate, p50/p99, CPU an IO": side(row.ours, row.blockBytes),
    "theirs": side(row.theirs, row.blockBytes),
    counted: row.rounds,
  }));
}

/** In what a row falls short: its medians and its best round do. */
function shortOf(row: Outcome): string {
  const isSlow = row.ratio < row.wanted && row.roundMax < row.wanted;
  const isCostly = row.processor > row.processorMax && row.processorMin > row.processorMax;
  return [isSlow ? "rate" : "", isCostly ? "processor" : ""].filter((it) => it !== "").join(", ");
}

/** The share of a 10 ms interval's ticks that come beside 32 tasks, by method. */
async function measureTicks(plan: Plan): Promise<Record<string, number>> {
  const methods = availableMethods().filter(({ ok }) => ok).map(({ name }) => name);
  const kept: Record<string, number> = {};
  for (const contender of tickingOn(plan.path, plan.fileBytes, methods)) {
    await using running = contender;
    await warmUp(running);
    const shares: number[] = [];
    for (let round = 0; round < plan.rounds; round++) {
      const result = await onCache(plan.cache, false, () => running.run(plan.seconds));
      if (result !== null) shares.push(result.ticksKept!);
    }
    kept[contender.name] = figures(shares).median;
  }
  return kept;
}

/** The share of one processor that a read of an empty pipe takes. */
async function measureIdle(dir: string): Promise<number> {
  const path = await Deno.makeTempFile({ dir, prefix: "aio-bench-pipe-" });
  await Deno.remove(path);
  await new Deno.Command("mkfifo", { args: [path] }).output();
  try {
    return await runForNumber("idle_pipe.ts", path, String(IDLE_SECONDS));
  } finally {
    await Deno.remove(path);
  }
}

/**
 * The longest pause of a 1 ms timer while the pool grows to 16, and of the constructor alone, in
 * ms.
 */
async function measurePauses({ path, rounds }: Plan) {
  const pool: number[] = [];
  const alone: number[] = [];
  for (let round = 0; round < rounds; round++) {
    pool.push(await runForNumber("pool_pauses.ts", "pool", path));
    alone.push(await runForNumber("pool_pauses.ts", "alone", path));
  }
  return { pool: figures(pool), alone: figures(alone) };
}

/** Runs a program of the folder that prints one number. */
async function runForNumber(program: string, ...args: string[]): Promise<number> {
  const path = new URL(`./compare/${program}`, import.meta.url).pathname;
  const command = { args: ["run", "-A", "--no-lock", path, ...args] };
  const { stdout, success } = await new Deno.Command(Deno.execPath(), command).output();
  if (!success) throw new Error(`${program} failed`);
  return Number(new TextDecoder().decode(stdout));
}

async function findPeers(): Promise<Peers> {
  const peers: Peers = { hasFio: await hasFio(), node: await findNode() };
  if (!peers.hasFio) {
    console.error("fio is not installed, its rows are left out: apt-get install fio");
  }
  if (peers.node === null) console.error("Node.js is not installed, its row is left out");
  return peers;
}

/** Two lines below a chart. */
function legendOf(machine: string, fileBytes: number): string[] {
  return [
    `4 KiB at random places of a file of ${fileBytes / 1024 ** 2} MiB. ${machine}.`,
    "Black marks: what is wanted at least. Medians of alternating rounds.",
  ];
}

/**
 * Fewer and shorter rounds on a smaller file, for a first look: about three minutes. To warm a GiB
 * again and again takes longer than what is measured.
 */
const QUICK = { rounds: "3", seconds: "0.4", fileBytes: FILE_BYTES / 4 } as const;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...ROUND_OPTIONS,
      rounds: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean", default: false },
      only: { type: "string", default: "" },
      json: { type: "string" },
      svg: { type: "string" },
    },
  });
  const peers = await findPeers();
  const { rounds, seconds } = ROUND_OPTIONS;
  const usual = values.quick
    ? QUICK
    : { rounds: rounds.default, seconds: seconds.default, fileBytes: FILE_BYTES };
  const { fileBytes } = usual;
  await withFile(values.dir, async (path, cache) => {
    const machine = await describeMachine(values.dir);
    console.log(machine);
    const plan: Plan = {
      path,
      fileBytes,
      cache,
      rounds: Number(values.rounds ?? usual.rounds),
      seconds: Number(values.seconds ?? usual.seconds),
    };
    const outcomes: Outcome[] = [];
    for (const group of groupsOn(path, fileBytes, peers)) {
      if (!group.name.includes(values.only)) continue;
      const runs = await runGroup(group, plan);
      for (const row of group.rows) {
        const outcome = outcomeOf(row, runs);
        if (outcome !== null) outcomes.push(outcome);
      }
    }
    await note("");
    console.table(tableOf(outcomes));
    const rest = values.only === "" ? await measureRest(plan, values.dir) : {};
    if (values.json !== undefined) {
      const report = { machine, outcomes, ...rest };
      await Deno.writeTextFile(values.json, JSON.stringify(report, null, 2) + "\n");
    }
    if (values.svg !== undefined) {
      const bars: Bar[] = outcomes;
      const legend = legendOf(machine, fileBytes);
      await Deno.writeTextFile(values.svg, await drawChart(bars, legend) + "\n");
    }
  }, fileBytes);
}

async function measureRest(plan: Plan, dir: string) {
  const ticksKept = await measureTicks(plan);
  const idleProcessor = await measureIdle(dir);
  const pausesMs = await measurePauses(plan);
  console.table(
    Object.entries(ticksKept).map(([method, kept]) => ({
      case: "ticks of a 10 ms interval beside 32 tasks, page cache",
      method,
      kept: kept.toFixed(2),
      wanted: "at least 0.8",
    })),
  );
  const share = `${(idleProcessor * 100).toFixed(2)} % of a processor`;
  console.log(`A read of an empty pipe takes ${share} (wanted: under 2 %)`);
  const shown = ({ median, min, max }: Figures) =>
    `${median.toFixed(0)} ms (${min.toFixed(0)} to ${max.toFixed(0)})`;
  console.log(
    `The longest pause while the pool grows to 16 is ${shown(pausesMs.pool)}, ` +
      `wanted: at most 50; of Deno's constructor alone ${shown(pausesMs.alone)}`,
  );
  return { ticksKept, idleProcessor, pausesMs };
}

if (import.meta.main) await main();
