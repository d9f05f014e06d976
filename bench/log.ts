/**
 * log.ts: the log beside what else makes records durable: one `Deno.FsFile.write` and `syncData` a
 * record, fio that overwrites a file by the same batches, SQLite with a transaction a record; its
 * threads beside one; what it reads back beside `dd`; and what it only writes beside Node.js.
 *
 * Ours and the peers alternate, each in a process of its own.
 *
 * Run: deno task bench:log [--rounds N] [--seconds N] [--dir DIR]
 *
 * @module
 */

import { join } from "@std/path";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { Aio, type Log } from "../mod.ts";
import { CHILD, runChild } from "./child.ts";
import { hasFio } from "./fio.ts";
import type { ThreadAsk } from "./log_worker.ts";
import { describeMachine } from "./machine.ts";
import { findNode } from "./node.ts";
import {
  measure,
  type Outcome,
  RECORD_BYTES,
  repeat,
  runFioBatches,
  TASKS,
  WARM_UP_MS,
} from "./records.ts";
import { figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

const THREAD = new URL("./log_worker.ts", import.meta.url);

/** What 32 records of 256 bytes take in the log. */
const BATCH_BYTES = (RECORD_BYTES + 24) * TASKS;
const SEGMENT_BYTES = 16 * 1024 * 1024;
const THREADS = 4;
const LATENCIES_MS = 500;
const WRITES_A_FLUSH = 1000;
/** Segments are used again, as a store's checkpoints see to it. */
const TRIM_MS = 500;
const REPLAY_BYTES = 1024 * 1024 * 1024;
const REPLAY_RECORD_BYTES = 16 * 1024;

/** What a child does. */
type Order =
  | "append"
  | "append buffered"
  | "append fdatasync"
  | "append 4 threads"
  | "write"
  | "write on"
  | "Deno"
  | "SQLite"
  | "fill"
  | "replay";

/** What a child measured. */
interface LogOutcome extends Outcome {
  /** Milliseconds of 99 % of appends, and of flushes; 0: not measured. */
  readonly append99: number;
  readonly flush99: number;
}

const RECORD = new Uint8Array(RECORD_BYTES).fill(0x2e);

/** Times appends, one in each task, by their own clocks. */
class Latencies {
  readonly #ms: number[] = [];

  async time<T>(work: () => Promise<T>): Promise<void> {
    const start = performance.now();
    await work();
    this.#ms.push(performance.now() - start);
  }

  get p99(): number {
    const sorted = this.#ms.toSorted((a, b) => a - b);
    return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0;
  }
}

async function append(dir: string, order: Order, seconds: number): Promise<LogOutcome> {
  await using aio = await Aio.open();
  await using log = await aio.openLog(dir, {
    segmentBytes: SEGMENT_BYTES,
    direct: order === "append buffered" ? false : undefined,
    sync: order === "append fdatasync" ? "fdatasync" : "dsync",
  });
  const latencies = new Latencies();
  const trim = setInterval(() => void log.truncateBefore(log.flushed), TRIM_MS);
  let outcome: Outcome;
  if (order === "append 4 threads") outcome = await measureThreads(aio, log, seconds);
  else {
    outcome = await measure(() => log.append(RECORD), TASKS, seconds);
    // By themselves, as the clock costs as much as an append.
    await repeat(() => latencies.time(() => log.append(RECORD)), TASKS, LATENCIES_MS);
  }
  clearInterval(trim);
  return { ...outcome, append99: latencies.p99, flush99: log.stats().flushMs99 };
}

async function measureThreads(aio: Aio, log: Log, seconds: number): Promise<Outcome> {
  const runs = Array.from({ length: THREADS }, () => {
    const worker = new Worker(THREAD, { type: "module" });
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.postMessage(
      {
        aio: aio.token,
        log: log.token,
        tasks: TASKS / THREADS,
        seconds,
        // Each compiles for itself, and does only a part of the appends.
        warmUpMs: WARM_UP_MS * THREADS,
      } satisfies ThreadAsk,
    );
    return promise;
  });
  const outcomes = await Promise.all(runs);
  const perSecond = outcomes.reduce((sum, one) => sum + one.perSecond, 0);
  // Each has measured the processor time of the whole process.
  const cpuMicros = outcomes[0]!.cpuMicros * outcomes[0]!.perSecond / perSecond;
  return { perSecond, cpuMicros };
}

/** One flush a batch: awaited at once, or while the next batch is written already. */
async function write(dir: string, order: Order, seconds: number): Promise<Outcome> {
  await using aio = await Aio.open();
  await using log = await aio.openLog(dir, { segmentBytes: SEGMENT_BYTES });
  let flushed = Promise.resolve();
  const batch = async () => {
    for (let i = 0; i < WRITES_A_FLUSH; i++) log.write(RECORD);
    await flushed;
    flushed = log.flush();
    if (order === "write") await flushed;
  };
  const trim = setInterval(() => void log.truncateBefore(log.flushed), TRIM_MS);
  const outcome = await measure(batch, 1, seconds);
  clearInterval(trim);
  return perRecord(outcome, WRITES_A_FLUSH);
}

function perRecord({ perSecond, cpuMicros }: Outcome, records: number): Outcome {
  return { perSecond: perSecond * records, cpuMicros: cpuMicros / records };
}

async function byDeno(path: string, seconds: number): Promise<Outcome> {
  using file = await Deno.open(path, { write: true, create: true });
  return await measure(
    async () => {
      await file.write(RECORD);
      await file.syncData();
    },
    1,
    seconds,
  );
}

function bySqlite(path: string, seconds: number): Promise<Outcome> {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE log (data BLOB)");
  const insert = db.prepare("INSERT INTO log VALUES (?)");
  return measure(() => Promise.resolve(insert.run(RECORD)), 1, seconds).finally(() => db.close());
}

/** What `fs.write` of Node.js makes of the same, without a flush. */
async function byNode(node: string, path: string, seconds: number): Promise<LogOutcome> {
  const program = new URL("./log_node.mjs", import.meta.url).pathname;
  const numbers = [seconds, WARM_UP_MS / 1000, RECORD_BYTES, WRITES_A_FLUSH];
  try {
    const command = { args: [program, path, ...numbers.map(String)] };
    const { stdout, success } = await new Deno.Command(node, command).output();
    if (!success) throw new Error("log_node.mjs failed");
    const outcome: Outcome = JSON.parse(new TextDecoder().decode(stdout));
    return { ...outcome, append99: 0, flush99: 0 };
  } finally {
    await Deno.remove(path);
  }
}

async function fill(dir: string): Promise<Outcome> {
  await using aio = await Aio.open();
  await using log = await aio.openLog(dir, { segmentBytes: SEGMENT_BYTES });
  const record = new Uint8Array(REPLAY_RECORD_BYTES).fill(0x2e);
  for (let bytes = 0; bytes < REPLAY_BYTES; bytes += 16 * record.length) {
    await log.append(Array.from({ length: 16 }, () => record));
  }
  return { perSecond: 0, cpuMicros: 0 };
}

async function replay(dir: string): Promise<Outcome> {
  await using aio = await Aio.open();
  await using log = await aio.openLog(dir);
  const start = performance.now();
  let bytes = 0;
  for await (const { data } of log.read()) bytes += data.length;
  return { perSecond: bytes / (performance.now() - start) * 1000, cpuMicros: 0 };
}

async function beChild(order: Order, path: string, seconds: number): Promise<void> {
  const outcome = order.startsWith("append")
    ? await append(path, order, seconds)
    : order.startsWith("write")
    ? await write(path, order, seconds)
    : order === "fill"
    ? await fill(path)
    : order === "replay"
    ? await replay(path)
    : await { Deno: byDeno, SQLite: bySqlite }[order as "Deno"](path, seconds);
  console.log(JSON.stringify({ append99: 0, flush99: 0, ...outcome }));
}

async function runOrder(order: Order, path: string, seconds: number): Promise<LogOutcome> {
  try {
    return await runChild<LogOutcome>(import.meta.filename!, order, path, `${seconds}`);
  } finally {
    for (const suffix of ["", "-wal", "-shm"]) {
      await Deno.remove(path + suffix, { recursive: true }).catch(() => {});
    }
  }
}

async function fioOutcome(path: string, seconds: number): Promise<LogOutcome> {
  try {
    const outcome = await runFioBatches(path, seconds, BATCH_BYTES, SEGMENT_BYTES);
    return { ...outcome, append99: 0, flush99: 0 };
  } finally {
    await Deno.remove(path);
  }
}

async function measureRecords(dir: string, rounds: number, seconds: number): Promise<void> {
  const path = join(dir, "bench_log");
  const orders: readonly Order[] = [
    "append",
    "append buffered",
    "append fdatasync",
    "append 4 threads",
    "Deno",
    "SQLite",
    "write",
    "write on",
  ];
  const peers: Record<string, () => Promise<LogOutcome>> = {};
  for (const order of orders) peers[order] = () => runOrder(order, path, seconds);
  const node = await findNode();
  if (node !== null) peers["Node.js"] = () => byNode(node, path, seconds);
  if (await hasFio()) peers["fio, fdatasync"] = () => fioOutcome(path, seconds);
  const outcomes = new Map<string, LogOutcome[]>(Object.keys(peers).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(peers)) outcomes.get(name)!.push(await run());
  }
  const rates = (name: string) => outcomes.get(name)!.map(({ perSecond }) => perSecond);
  console.table(Object.fromEntries([...outcomes].map(([name, all]) => {
    const { median, min, max } = figures(rates(name));
    const middle = (of: (one: LogOutcome) => number) => figures(all.map(of)).median.toFixed(2);
    return [name, {
      "records/s": Math.round(median),
      from: Math.round(min),
      to: Math.round(max),
      "CPU µs/record": middle(({ cpuMicros }) => cpuMicros),
      "append / it": ratios(rates("append"), rates(name)).median.toFixed(2),
      "p99 ms": middle(({ append99 }) => append99),
      "p99 of a flush": middle(({ flush99 }) => flush99),
    }];
  })));
  if (node === null) return;
  for (const order of ["write", "write on"]) {
    console.log(`${order} / Node.js:`, ratios(rates(order), rates("Node.js")).median.toFixed(2));
  }
}

async function measureReplay(dir: string, rounds: number): Promise<void> {
  const path = join(dir, "bench_log");
  const [ours, dd]: [number[], number[]] = [[], []];
  try {
    await runChild(import.meta.filename!, "fill", path, "0");
    for (let round = 0; round < rounds; round++) {
      ours.push((await runChild<Outcome>(import.meta.filename!, "replay", path, "0")).perSecond);
      const start = performance.now();
      const script = `cat ${path}/*.log | dd of=/dev/null bs=128k`;
      await new Deno.Command("sh", { args: ["-c", script], stderr: "null" }).output();
      dd.push(REPLAY_BYTES / (performance.now() - start) * 1000);
    }
    console.log(
      `replay, MB/s: ours ${(figures(ours).median / 1e6).toFixed(0)},`,
      `dd ${(figures(dd).median / 1e6).toFixed(0)},`,
      `ours / dd ${ratios(ours, dd).median.toFixed(2)}`,
    );
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: ROUND_OPTIONS });
  console.log(await describeMachine(values.dir));
  await measureRecords(values.dir, Number(values.rounds), Number(values.seconds));
  await measureReplay(values.dir, Number(values.rounds));
}

if (Deno.args[0] === CHILD) {
  const [, order, path, seconds] = Deno.args;
  await beChild(order as Order, path!, Number(seconds));
} else if (import.meta.main) await main();
