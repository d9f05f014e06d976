/**
 * ours.ts: this library, as its users have it: tasks that await `readAt` or `writeAt`.
 *
 * One argument, JSON: see {@linkcode OursOrder}.
 *
 * @module
 */

import { backendOf } from "../../core/inside.ts";
import { METHODS } from "../../methods/mod.ts";
import { createWorkerMethod } from "../../methods/worker.ts";
import { Aio } from "../../mod.ts";
import { randomOffsets, runTasks, serveRuns } from "./tasks.mjs";

/** What is measured. */
export interface OursOrder {
  readonly path: string;
  readonly fileBytes: number;
  readonly blockBytes: number;
  readonly tasks: number;
  readonly method: string;
  readonly direct: boolean;
  readonly writes: boolean;
  /** Plain memory of each task, which goes through bounce buffers; else that of the arena. */
  readonly isPlain: boolean;
  /** Each read with what a user's loop has beside it: a look at the clock and a random number. */
  readonly isUsers: boolean;
  /** All tasks' blocks by one call, which one task awaits again and again. */
  readonly isMany: boolean;
  /**
   * Whether each block is a record that is made durable before the next: by a flush, or with the
   * write itself; null: neither.
   */
  readonly commits: "flush" | "durable" | null;
  /** One block after another instead of random ones. */
  readonly isSequential: boolean;
  /** The arena in pages of 4 KiB, which lie anywhere, instead of huge ones. */
  readonly hasSmallPages: boolean;
  /** Workers of the method `worker`; null: as many as it takes, by default. */
  readonly workers: number | null;
  /**
   * Whether Workers get cached reads, too, which the method `worker` else executes in the submit.
   */
  readonly isAllPooled: boolean;
  /** Whether the ticks of an interval are counted, too. */
  readonly ticks: boolean;
}

const TICK_MS = 10;
/** Advice of `madvise(2)` (`<bits/mman-linux.h>`). */
const MADV_NOHUGEPAGE = 15;

const order: OursOrder = JSON.parse(Deno.args[0]!);
const { path, fileBytes, blockBytes, tasks, method, direct, writes, isPlain } = order;
const aio = await Aio.open({ method }, order.isAllPooled ? [createWorkerMethod(false)] : METHODS);
if (order.hasSmallPages) takeSmallPages();
if (order.workers !== null) await startWorkers(order.workers);
const file = await aio.openFile(path, {
  read: true,
  write: writes,
  direct: direct ? "required" : "off",
});
const makeBuffer = () => isPlain ? new Uint8Array(blockBytes) : aio.alloc(blockBytes);
const buffers = Array.from({ length: tasks }, makeBuffer);
const nextOffset = order.isSequential
  ? sequentialOffsets()
  : randomOffsets(fileBytes / blockBytes, blockBytes);
const operation = order.commits !== null
  ? (task: number) => commit(buffers[task]!, nextOffset())
  : writes
  ? (task: number) => file.writeAt(buffers[task]!, nextOffset())
  : order.isUsers
  ? (task: number) => readAsUser(buffers[task]!)
  : (task: number) => file.readAt(buffers[task]!, nextOffset());
/** The longest read of a user's loop, in ms. */
let longestMs = 0;

async function commit(record: Uint8Array, offset: number): Promise<void> {
  await file.writeAt(record, offset, { durable: order.commits === "durable" });
  if (order.commits === "flush") await file.syncData();
}

async function readAsUser(buffer: Uint8Array): Promise<number> {
  const start = performance.now();
  const bytes = await file.readAt(
    buffer,
    Math.floor(Math.random() * fileBytes / blockBytes) * blockBytes,
  );
  longestMs = Math.max(longestMs, performance.now() - start);
  return bytes;
}

/** @returns reads all blocks at the next offsets, by one call */
function manyReads(): () => Promise<unknown> {
  const list = buffers.map((buffer) => ({ buffer, offset: 0 }));
  return () => {
    for (const transfer of list) transfer.offset = nextOffset();
    return file.readAtMany(list);
  };
}

async function runMany(seconds: number) {
  const { iops, cpuUs, ...latencies } = await runTasks(1, seconds, manyReads());
  return { ...latencies, iops: iops * tasks, cpuUs: cpuUs / tasks };
}

/** What the system is asked for counts for memory that nobody has touched yet. */
function takeSmallPages(): void {
  const { libc, arena } = backendOf(aio);
  const library = Deno.dlopen(libc.path, {
    madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  });
  const { address, bytes } = arena;
  const result = library.symbols.madvise(BigInt(address), BigInt(bytes), MADV_NOHUGEPAGE);
  library.close();
  if (result !== 0) throw new Error("The system has no huge pages to do without");
}

/** Has them run before anything is measured: they come with the first IO that finds none. */
async function startWorkers(count: number): Promise<void> {
  aio.setWorkers({ min: count, max: count });
  await using file = await aio.openFile(path);
  await file.readAt(new Uint8Array(1), fileBytes);
  while (aio.workers().length < count) await new Promise((resolve) => setTimeout(resolve, 10));
}

function sequentialOffsets(): () => number {
  let at = 0;
  return () => {
    const offset = at;
    at = (at + blockBytes) % fileBytes;
    return offset;
  };
}

async function runTicking(seconds: number) {
  let ticks = 0;
  const timer = setInterval(() => ticks++, TICK_MS);
  const result = await runTasks(tasks, seconds, operation);
  clearInterval(timer);
  return { ...result, ticksKept: ticks / (seconds * 1000 / TICK_MS) };
}

await serveRuns((seconds: number) => {
  if (order.isMany) return runMany(seconds);
  return order.ticks ? runTicking(seconds) : runTasks(tasks, seconds, operation);
});
