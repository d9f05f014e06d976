/**
 * records.ts: durable records a second: how the benchmarks of appends and of logs measure, and what
 * fio reaches with the same batches.
 *
 * @module
 */

import process from "node:process";

/** Bytes of a record. */
export const RECORD_BYTES = 256;
/** Records that are under way at once. */
export const TASKS = 32;
/**
 * How long appends go on before the clock starts, in each thread: by then what runs once a flush,
 * some 5,000 times a second, is compiled as well.
 */
export const WARM_UP_MS = 5000;
/** Calls between two looks at the clock, which costs as much as the promise of a call. */
const CALLS_A_LOOK = 16;

/** What was reached: records a second, and processor time of the whole process for each. */
export interface Outcome {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Calls it over and over in some tasks. */
export async function repeat(
  append: () => Promise<unknown>,
  tasks: number,
  ms: number,
): Promise<number> {
  const end = performance.now() + ms;
  let count = 0;
  await Promise.all(Array.from({ length: tasks }, async () => {
    for (let call = 0; call % CALLS_A_LOOK !== 0 || performance.now() < end; call++) {
      await append();
      count++;
    }
  }));
  return count;
}

/** Measures an append in some tasks. */
export async function measure(
  append: () => Promise<unknown>,
  tasks: number,
  seconds: number,
  warmUpMs: number = WARM_UP_MS,
): Promise<Outcome> {
  await repeat(append, tasks, warmUpMs);
  const before = [performance.now(), cpuMs()] as const;
  const count = await repeat(append, tasks, seconds * 1000);
  const ms = performance.now() - before[0];
  return { perSecond: count / ms * 1000, cpuMicros: (cpuMs() - before[1]) / count * 1000 };
}

/**
 * fio with one batch a write, and a flush after each.
 *
 * @param path of its file; to extend it, there is none
 * @param seconds how long it runs
 * @param bytes of a batch
 * @param fileBytes of a file that is there, and overwritten again and again; 0: it is extended
 */
export async function runFioBatches(
  path: string,
  seconds: number,
  bytes: number,
  fileBytes: number,
): Promise<Outcome> {
  const file = fileBytes === 0
    ? ["--fallocate=none", "--create_on_open=1", "--size=4g"]
    : ["--overwrite=1", `--size=${fileBytes}`, "--time_based"];
  const args = [
    "--name=append",
    `--filename=${path}`,
    "--rw=write",
    `--bs=${bytes}`,
    "--fdatasync=1",
    ...file,
    `--runtime=${seconds}`,
    "--ioengine=psync",
    "--output-format=json",
  ];
  const { stdout } = await new Deno.Command("fio", { args }).output();
  const [job] = JSON.parse(new TextDecoder().decode(stdout)).jobs;
  const records = job.write.total_ios * TASKS;
  const cpuMs = (job.usr_cpu + job.sys_cpu) / 100 * job.write.runtime;
  return { perSecond: job.write.iops * TASKS, cpuMicros: cpuMs / records * 1000 };
}
