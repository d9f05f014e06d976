/**
 * fio.ts: runs fio, the peer that C programmers measure with, and reads what it reached.
 *
 * @module
 */

/** One run of fio. */
export interface FioJob {
  readonly path: string;
  readonly engine: "io_uring" | "psync";
  readonly rw: "randread" | "randwrite" | "read";
  readonly direct: boolean;
  /** IOs in flight, submitted and completed in batches of the same number. */
  readonly depth: number;
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

/** @returns IOs a second */
export async function runFio(job: FioJob): Promise<number> {
  const args = [
    "--name=peer",
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
    "--output-format=json",
  ];
  const { success, stdout, stderr } = await new Deno.Command("fio", { args }).output();
  if (!success) throw new Error(`fio failed: ${new TextDecoder().decode(stderr)}`);
  const report = JSON.parse(new TextDecoder().decode(stdout));
  const { read, write } = report.jobs[0];
  return job.rw === "randwrite" ? write.iops : read.iops;
}
