/**
 * worker_demand.ts: one thread's demand for IO Workers: has the opener start the pool once IO waits, and
 * warns when none comes.
 *
 * @module
 */

import type { MethodBackend } from "../core/method.ts";
import { POOL, poolAt } from "./worker_memory.ts";
import type { WorkerPool } from "./worker_pool.ts";
import type { WorkerQueue } from "./worker_queue.ts";

/** How long IO waits without any Worker before a warning says so. */
const PATIENCE_MS = 30_000;

/** The demand of one backend. */
export class WorkerDemand {
  readonly #backend: MethodBackend;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  readonly #queue: WorkerQueue;
  readonly #pool: WorkerPool | null;
  /** Since when no Worker has been seen; -1: one runs. */
  #since = -1;
  #hasWarned = false;

  /**
   * For a backend.
   *
   * @param backend whose it is
   * @param queue as this thread sees it
   * @param pool null: this thread did not open the Aio
   */
  constructor(backend: MethodBackend, queue: WorkerQueue, pool: WorkerPool | null) {
    this.#backend = backend;
    this.#words = backend.control.words;
    this.#at = poolAt(backend.control);
    this.#queue = queue;
    this.#pool = pool;
  }

  #load(word: number): number {
    return Atomics.load(this.#words, this.#at + word);
  }

  /** To be called when IO was put into the queue. */
  notice(): void {
    if (this.#load(POOL.isStarted) !== 0 && this.#load(POOL.hasFailed) === 0) return;
    Atomics.store(this.#words, this.#at + POOL.isStarted, 1);
    this.#pool?.schedule();
    this.#queue.ringOpener();
  }

  /** To be called while own IO is awaited. */
  look(): void {
    if (this.#load(POOL.running) !== 0) {
      this.#since = -1;
      return;
    }
    const now = performance.now();
    this.#pool?.stepIfOverdue(now);
    if (this.#since < 0) this.#since = now;
    if (this.#hasWarned || now - this.#since < PATIENCE_MS) return;
    this.#hasWarned = true;
    this.#backend.warn(
      `IO has waited ${
        PATIENCE_MS / 1000
      } s for an IO worker, and none has come: the thread that ` +
        "opened the Aio starts them, so its event loop must not be blocked",
    );
  }
}
