/**
 * append.ts: durable appends of 32 tasks, 256 bytes each, beside one `Deno.FsFile.write` and
 * `syncData` a record, and beside fio, which extends a file by the same batches and flushes after
 * each. Ours and the peers alternate, each in a process of its own.
 *
 * Run: deno task bench:append [--rounds N] [--seconds N] [--dir DIR]
 *
 * @module
 */

import { join } from "@std/path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Aio, type AioFile } from "../mod.ts";
import { CHILD, runChild } from "./child.ts";
import { hasFio } from "./fio.ts";
import { describeMachine } from "./machine.ts";
import { figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

const RECORD_BYTES = 256;
const TASKS = 32;
/** What one append does before the clock starts, so that the code is compiled. */
const WARM_UP_MS = 300;

/** Whose appends are measured. */
type Order = "ours" | "Deno";

/** What was reached: records a second, and processor time of the whole process for each. */
interface Outcome {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Calls it over and over in some tasks. */
async function repeat(append: () => Promise<unknown>, tasks: number, ms: number): Promise<number> {
  const end = performance.now() + ms;
  let count = 0;
  await Promise.all(Array.from({ length: tasks }, async () => {
    for (; performance.now() < end; count++) await append();
  }));
  return count;
}

async function measure(
  append: () => Promise<unknown>,
  tasks: number,
  seconds: number,
): Promise<Outcome> {
  await repeat(append, tasks, WARM_UP_MS);
  const before = [performance.now(), cpuMs()] as const;
  const count = await repeat(append, tasks, seconds * 1000);
  const ms = performance.now() - before[0];
  return { perSecond: count / ms * 1000, cpuMicros: (cpuMs() - before[1]) / count * 1000 };
}

/** The child's part. */
async function beChild(order: Order, path: string, seconds: number): Promise<void> {
  const record = new Uint8Array(RECORD_BYTES).fill(0x2e);
  let outcome: Outcome;
  if (order === "Deno") {
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    const append = async () => {
      await file.write(record);
      await file.syncData();
    };
    outcome = await measure(append, 1, seconds);
  } else {
    await using aio = await Aio.open();
    await using file: AioFile = await aio.openFile(path, {
      write: true,
      create: true,
      truncate: true,
    });
    outcome = await measure(() => file.append(record, { durable: true }), TASKS, seconds);
  }
  console.log(JSON.stringify(outcome));
}

async function runOrder(order: Order, path: string, seconds: number): Promise<Outcome> {
  try {
    return await runChild<Outcome>(import.meta.filename!, order, path, `${seconds}`);
  } finally {
    await Deno.remove(path);
  }
}

/** fio with one batch a write. */
async function runFioBatches(path: string, seconds: number): Promise<Outcome> {
  const args = [
    "--name=append",
    `--filename=${path}`,
    "--rw=write",
    `--bs=${RECORD_BYTES * TASKS}`,
    "--fdatasync=1",
    "--fallocate=none",
    "--create_on_open=1",
    "--size=4g",
    `--runtime=${seconds}`,
    "--ioengine=psync",
    "--output-format=json",
  ];
  const { stdout } = await new Deno.Command("fio", { args }).output();
  await Deno.remove(path);
  const [job] = JSON.parse(new TextDecoder().decode(stdout)).jobs;
  const records = job.write.total_ios * TASKS;
  const cpuMs = (job.usr_cpu + job.sys_cpu) / 100 * job.write.runtime;
  return { perSecond: job.write.iops * TASKS, cpuMicros: cpuMs / records * 1000 };
}

if (Deno.args[0] === CHILD) {
  const [, order, path, seconds] = Deno.args;
  await beChild(order as Order, path!, Number(seconds));
} else {
  const { values } = parseArgs({ options: ROUND_OPTIONS });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  const path = join(values.dir, "bench_append.log");
  const peers: Readonly<Record<string, () => Promise<Outcome>>> = {
    ours: () => runOrder("ours", path, seconds),
    Deno: () => runOrder("Deno", path, seconds),
    ...(await hasFio() ? { fio: () => runFioBatches(path, seconds) } : {}),
  };
  const outcomes = new Map<string, Outcome[]>(Object.keys(peers).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(peers)) outcomes.get(name)!.push(await run());
  }
  const rates = (name: string) => outcomes.get(name)!.map(({ perSecond }) => perSecond);
  console.log(await describeMachine(values.dir));
  console.table(Object.fromEntries([...outcomes].map(([name, all]) => {
    const { median, min, max } = figures(rates(name));
    const { median: cpu } = figures(all.map(({ cpuMicros }) => cpuMicros));
    return [name, {
      "records/s": Math.round(median),
      from: Math.round(min),
      to: Math.round(max),
      "CPU µs/record": cpu.toFixed(1),
      "ours / it": ratios(rates("ours"), rates(name)).median.toFixed(2),
    }];
  })));
}
