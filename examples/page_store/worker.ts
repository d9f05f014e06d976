/**
 * worker.ts: a Worker of `page_store.ts`: it puts rows, and commits some at a time.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { PageStore, type StoreToken } from "../page_store.ts";
import { ROW_BYTES } from "./rows.ts";

/** What one Worker is to do. */
export interface WorkerOrder {
  readonly token: StoreToken;
  /** The rows `first`, `first + step` and so on. */
  readonly first: number;
  readonly step: number;
  readonly count: number;
}

/** Rows that are committed together. */
const COMMIT_EVERY = 100;

self.onmessage = async ({ data: { token, first, step, count } }: MessageEvent<WorkerOrder>) => {
  {
    await using store = await PageStore.attach(token);
    for (let i = 0; i < count; i++) {
      const id = first + i * step;
      await store.put(id, new Uint8Array(ROW_BYTES).fill(id));
      if (i % COMMIT_EVERY === COMMIT_EVERY - 1) {
        await store.commit();
        self.postMessage(i + 1);
      }
    }
  }
  self.postMessage("done");
  self.close();
};
