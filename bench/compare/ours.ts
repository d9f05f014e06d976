/**
 * ours.ts: this library, as its users have it: tasks that await `readAt` or `writeAt`.
 *
 * One argument, JSON: see {@linkcode OursOrder}.
 *
 * @module
 */

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
  /** Whether the ticks of an interval are counted, too. */
  readonly ticks: boolean;
}

const TICK_MS = 10;

const order: OursOrder = JSON.parse(Deno.args[0]!);
const { path, fileBytes, blockBytes, tasks, method, direct, writes, isPlain } = order;
const aio = await Aio.open({ method });
const file = await aio.openFile(path, {
  read: true,
  write: writes,
  direct: direct ? "required" : "off",
});
const makeBuffer = () => isPlain ? new Uint8Array(blockBytes) : aio.alloc(blockBytes);
const buffers = Array.from({ length: tasks }, makeBuffer);
const nextOffset = randomOffsets(fileBytes / blockBytes, blockBytes);
const operation = writes
  ? (task: number) => file.writeAt(buffers[task]!, nextOffset())
  : (task: number) => file.readAt(buffers[task]!, nextOffset());

async function runTicking(seconds: number) {
  let ticks = 0;
  const timer = setInterval(() => ticks++, TICK_MS);
  const result = await runTasks(tasks, seconds, operation);
  clearInterval(timer);
  return { ...result, ticksKept: ticks / (seconds * 1000 / TICK_MS) };
}

await serveRuns((seconds: number) =>
  order.ticks ? runTicking(seconds) : runTasks(tasks, seconds, operation)
);
