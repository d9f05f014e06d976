/**
 * io_worker_main.ts: what the thread of an IO Worker runs. The pool (worker_pool.ts) starts it.
 *
 * @module
 */

import { parentPort, workerData } from "node:worker_threads";
import { Helper, type HelperToken } from "../core/helper.ts";
import { IoWorker } from "./io_worker.ts";

/** What the opener posts to a Worker that it starts. */
export interface IoWorkerData extends HelperToken {
  /** The number of the Worker. */
  readonly number: number;
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

/** Runs the Worker's whole life. */
async function main(data: IoWorkerData): Promise<void> {
  const helper = await Helper.join(data, (message, cause) => post("warning", message, cause));
  if (helper === null) return;
  new IoWorker(helper, data.number).run();
  helper.leave();
}

try {
  await main(workerData);
} catch (error) {
  post("failed", error instanceof Error ? error.message : String(error), error);
}
// Its port would keep the thread for a while. process.exit() would never return in one that was terminated.
parentPort!.unref();
