/**
 * The threads of a check: this one, and Workers beside it, each with `check_files.ts`. All are
 * attached to one Aio, and perhaps to one pool, and each verifies the pages that it reads.
 *
 * @module
 */

import type { Aio, PagePool } from "../../mod.ts";
import { checkFiles, type OnParts, type Order } from "./check_files.ts";
import type { Part } from "./part.ts";

/** What a Worker says at its end. */
export const DONE = "done";

/** The threads of a check. */
export class Threads implements Disposable {
  readonly #workers: Worker[];

  /** @param count How many, with this one. Workers load their modules from now on. */
  constructor(count: number) {
    const url = new URL("./check_worker.ts", import.meta.url);
    this.#workers = Array.from({ length: count - 1 }, () => new Worker(url, { type: "module" }));
  }

  /**
   * Checks files until none is left.
   *
   * @param aio What reads them.
   * @param pool Where their pages go; if not given, each file has some of its own.
   * @param order What is to be done.
   * @param onParts Hears what was found, by any thread.
   */
  async check(aio: Aio, pool: PagePool | undefined, order: Order, onParts: OnParts): Promise<void> {
    const others = this.#workers.map((worker) => checkInWorker(worker, order, onParts));
    await Promise.all([checkFiles(aio, pool, order, onParts), ...others]);
  }

  /** Ends the Workers. */
  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
  }
}

function checkInWorker(worker: Worker, order: Order, onParts: OnParts): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Part[] | typeof DONE>) => {
      if (data === DONE) resolve();
      else onParts(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    worker.postMessage(order);
  });
}
