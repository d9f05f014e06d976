/**
 * fio.ts: runs fio, the peer that C programmers measure with, and reads what it reached.
 *
 * @module
 */

/** One run of fio. */
export interface FioJob {
  readonly path: string;
  readonly engine: "io_uring" | "libaio" | "psync";
  readonly rw: "randread" | "randwrite" | "read";
  readonly direct: boolean;
  /** IOs in flight, submitted and completed in batches of the same number. */
  readonly depth: number;
  /** Threads that each do so; one where it is not said. */
  readonly threads?: number;
  readonly blockBytes: number;
  readonly seconds: number;
}

/** Whether fio is installed. */
export async function hasFio(): Promise<boolean> {
  try {
    return (await new Deno.Command("fio", { args: ["--version"] }).output()).success;
  } catch {
    return false;
  }
}

/** What a run came to. */
export interface FioResult {
  /** IOs a second. */
  readonly iops: number;
  /** Half of all IOs took at most so long, in µs. */
  readonly p50Us: number;
  /** The same of 99 %. */
  readonly p99Us: number;
  /** Processor time of one IO, in µs. */
  readonly cpuUs: number;
}

/** @returns IOs a second */
export async function runFio(job: FioJob): Promise<number> {
  return (await runFioWhole(job)).iops;
}

/** The same with all that is known of the run. */
export async function runFioWhole(job: FioJob): Promise<FioResult> {
  const threads = job.threads ?? 1;
  const args = [
    "--name=peer",
    "--thread",
    `--numjobs=${threads}`,
    "--group_reporting",
    `--filename=${job.path}`,
    `--ioengine=${job.engine}`,
    `--rw=${job.rw}`,
    `--direct=${job.direct ? 1 : 0}`,
    `--bs=${job.blockBytes}`,
    `--iodepth=${job.depth}`,
    `--iodepth_batch_submit=${job.depth}`,
    `--iodepth_batch_complete_min=${job.depth}`,
    "--time_based",
    `--runtime=${job.seconds}`,
    "--invalidate=0",
    "--norandommap",
    "--random_generator=lfsr",
    // From the submit on, which does most of a cached read.
    "--lat_percentiles=1",
    "--clat_percentiles=0",
    "--output-format=json",
  ];
  const { success, stdout, stderr } = await new Deno.Command("fio", { args }).output();
  if (!success) throw new Error(`fio failed: ${new TextDecoder().decode(stderr)}`);
  const report = JSON.parse(new TextDecoder().decode(stdout));
  const [one] = report.jobs;
  const io = job.rw === "randwrite" ? one.write : one.read;
  const { percentile } = io.lat_ns;
  return {
    iops: io.iops,
    p50Us: percentile["50.000000"] / 1000,
    p99Us: percentile["99.000000"] / 1000,
    // That of the average thread.
    cpuUs: threads * (one.usr_cpu + one.sys_cpu) / 100 * 1e6 / io.iops,
  };
}
