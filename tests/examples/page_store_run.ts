/**
 * page_store_run.ts: Workers of examples/page_store.ts, and what a store must hold of their rows.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { ROW_BYTES } from "../../examples/page_store/rows.ts";
import type { WorkerOrder } from "../../examples/page_store/worker.ts";
import type { PageStore, StoreToken } from "../../examples/page_store.ts";

/** Workers at a time. */
export const WORKERS = 4;
const WORKER_URL = new URL("../../examples/page_store/worker.ts", import.meta.url);

/** One of them. */
export interface StoreWorker {
  readonly worker: Worker;
  /** Resolves once it has left the store. */
  readonly done: Promise<void>;
}

/**
 * Starts Workers that put so many rows each.
 *
 * @param onCommitted hears how many of its rows a Worker has committed
 */
export function startWorkers(
  token: StoreToken,
  count: number,
  onCommitted: (first: number, committed: number) => void,
): StoreWorker[] {
  return Array.from({ length: WORKERS }, (_, first) => {
    const worker = new Worker(WORKER_URL, { type: "module" });
    const done = new Promise<void>((resolve) => {
      worker.onmessage = ({ data }: MessageEvent<number | "done">) => {
        if (data === "done") resolve();
        else onCommitted(first, data);
      };
    });
    worker.postMessage({ token, first, step: WORKERS, count } satisfies WorkerOrder);
    return { worker, done };
  });
}

/** Checks that a store has what was committed, and that no other row is half of one. */
export async function checkRows(
  store: PageStore,
  committed: readonly number[],
  count: number,
  message: string,
): Promise<void> {
  for (let id = 0; id < WORKERS * count; id++) {
    const row = await store.get(id);
    const isCommitted = Math.floor(id / WORKERS) < committed[id % WORKERS]!;
    const put = new Uint8Array(ROW_BYTES).fill(id);
    if (isCommitted) assertEquals(row, put, `row ${id}; ${message}`);
    const isWhole = row === null || row.every((byte) => byte === row[0]);
    assert(isWhole && (!row || row[0] === 0 || row[0] === put[0]), `row ${id}; ${message}`);
  }
}
