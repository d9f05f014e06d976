/**
 * demonstrate.ts: what `page_store.ts` shows as a program: four Workers fill one store, which is
 * then read back.
 *
 * @module
 */

import type { PageStore } from "../page_store.ts";
import type { WorkerOrder } from "./worker.ts";

const WORKERS = 4;
const ROWS_PER_WORKER = 5000;

/** Fills a store, and reads it back. */
export async function demonstrate(open: () => Promise<PageStore>): Promise<void> {
  const rows = WORKERS * ROWS_PER_WORKER;
  const start = performance.now();
  {
    await using store = await open();
    const { token } = store;
    const orders = Array.from({ length: WORKERS }, (_, first) => {
      return { token, first, step: WORKERS, count: ROWS_PER_WORKER };
    });
    await Promise.all(orders.map(run));
    const seconds = (performance.now() - start) / 1000;
    console.log(`${rows} rows by ${WORKERS} Workers, committed, in ${seconds.toFixed(1)} s`);
  }
  await using store = await open();
  for (let id = 0; id < rows; id++) {
    const row = await store.get(id);
    if (row?.[0] !== id % 256) throw new Error(`Row ${id} is not as it was put`);
  }
  console.log("All of them are there");
}

function run(order: WorkerOrder): Promise<void> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  worker.postMessage(order);
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => data === "done" && resolve();
    worker.onerror = ({ message }) => reject(new Error(message));
  });
}
