/**
 * io_worker_main.ts: what the thread of an IO Worker runs. The pool (worker/pool.ts) starts it.
 *
 * @module
 */

import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { Helper, type HelperToken } from "../../core/life/helper_thread.ts";
import type { LogReceiver } from "../../core/io/io_log.ts";
import type { LogLevel } from "../../core/base/log_level.ts";
import { Control } from "../../core/memory/shared_memory.ts";
import { IoWorker } from "./io_worker.ts";
import { ringOpener } from "./queue.ts";

/** What the opener posts to a Worker that it starts. */
export interface IoWorkerData extends HelperToken {
  /** The number of the Worker. */
  readonly number: number;
  /** Takes the Worker's lines for the opener's log; null: none are wanted. */
  readonly log: { readonly port: MessagePort; readonly level: LogLevel } | null;
}

/** A line of the log that a Worker posts. */
export interface IoWorkerLine {
  /** The whole line. */
  readonly line: string;
  /** How detailed it is. */
  readonly level: LogLevel;
}

/** What a Worker posts to the opener: a warning for its hook, or why it ends. */
export interface IoWorkerMessage {
  /** `"failed"`: the Worker ends. */
  readonly kind: "warning" | "failed";
  /** In words. */
  readonly message: string;
  /** What was thrown, as far as it can be posted. */
  readonly cause: unknown;
}

function post(kind: IoWorkerMessage["kind"], message: string, cause?: unknown): void {
  try {
    parentPort!.postMessage({ kind, message, cause } satisfies IoWorkerMessage);
  } catch {
    // Not everything that is thrown can be posted.
    parentPort!.postMessage({ kind, message, cause: String(cause) } satisfies IoWorkerMessage);
  }
}

/** The opener is rung for each line, as it may have nothing else to wake up for. */
function logOf({ log, control }: IoWorkerData): LogReceiver | null {
  if (log === null) return null;
  const { port, level } = log;
  const shared = new Control(control);
  const hook: LogReceiver["hook"] = (line, level) => {
    port.postMessage({ line, level } satisfies IoWorkerLine);
    ringOpener(shared);
  };
  return { hook, level };
}

/** Runs the Worker's whole life. */
async function main(data: IoWorkerData): Promise<void> {
  const warn = (message: string, cause?: unknown) => post("warning", message, cause);
  const helper = await Helper.join(data, warn, logOf(data));
  if (helper === null) return;
  new IoWorker(helper, data.number).run();
  helper.leave();
}

try {
  await main(workerData);
} catch (error) {
  post("failed", error instanceof Error ? error.message : String(error), error);
}
// Its port would keep the thread for a while. process.exit() would never return in one that was
// terminated.
parentPort!.unref();
