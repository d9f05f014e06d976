/**
 * worker/demand.ts: one thread's demand for IO Workers: has the opener start the pool once IO
 * waits, takes over from an opener that has died, as its Workers end with it, has another Worker
 * woken for IO that waits behind one that takes long, and warns when no Worker comes.
 *
 * @module
 */

import type { MethodBackend } from "../../core/io/method.ts";
import { CHECK_ALIVE_MS, LOOK_AGAIN_MS } from "../../core/base/pauses.ts";
import { HEADER } from "../../core/memory/shared_memory.ts";
import { POOL, poolAt } from "./memory.ts";
import { type IsPools, WorkerPool } from "./pool.ts";
import type { WorkerQueue } from "./queue.ts";

/** How long IO waits without any Worker before a warning says so. */
const WARN_AFTER_MS = 30_000;

/** The demand of one backend. */
export class WorkerDemand {
  readonly #backend: MethodBackend;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  readonly #queue: WorkerQueue;
  readonly #isPools: IsPools;
  /** Null: another thread starts the Workers. */
  #pool: WorkerPool | null = null;
  /** Since when no Worker has been seen, and none has taken an IO; -1: one runs. */
  #since = -1;
  /** What the queue's count of those taken was then. */
  #sinceTaken = 0;
  /** Since when IO has waited while Workers sleep, and none was taken; -1: it is not so. */
  #restSince = -1;
  /** What the queue's count of those taken was then. */
  #restTaken = 0;
  #hasWarned = false;

  /**
   * For a backend.
   *
   * @param backend whose it is
   * @param queue as this thread sees it
   * @param isPools as of `createWorkerMethod()`
   */
  constructor(backend: MethodBackend, queue: WorkerQueue, isPools: IsPools) {
    this.#backend = backend;
    this.#words = backend.control.words;
    this.#at = poolAt(backend.control);
    this.#queue = queue;
    this.#isPools = isPools;
    if (backend.control.words[HEADER.openerBackend] === backend.id) this.#keepPool(0);
  }

  /** The pool, if this thread starts its Workers. */
  get pool(): WorkerPool | null {
    return this.#pool;
  }

  /** Starts Workers from now on, in place of another thread. */
  #keepPool(keeper: number): void {
    const own = this.#backend.libc.threadId();
    const at = this.#at + POOL.keeper;
    if (Atomics.compareExchange(this.#words, at, keeper, own) !== keeper) return;
    Atomics.store(this.#words, this.#at + POOL.isEnding, 0);
    this.#pool = new WorkerPool(this.#backend, this.#queue, this.#isPools);
  }

  #takeOverFromDead(): void {
    const { libc } = this.#backend;
    const keeper = this.#load(POOL.keeper);
    // This thread has no pool: with its number, it is another one's that had the number before.
    const isGone = keeper === 0 || keeper === libc.threadId() || !libc.isThreadAlive(keeper);
    if (isGone) this.#keepPool(keeper);
    this.#pool?.schedule();
  }

  /** Ends the Workers that this thread started. Another thread that misses them starts some. */
  async end(): Promise<void> {
    if (this.#pool === null) return;
    await this.#pool.end();
    Atomics.store(this.#words, this.#at + POOL.keeper, 0);
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

  /** How long the thread may sleep until it looks again, in ms. */
  get sleepMsMax(): number {
    return this.#queue.hasRest ? LOOK_AGAIN_MS : Infinity;
  }

  /**
   * A Worker takes an IO and wakes no other for the rest, as it is usually back soon. Where it is
   * not, this wakes another.
   */
  lookForRest(): void {
    const queue = this.#queue;
    if (!queue.hasRest) {
      this.#restSince = -1;
      return;
    }
    const now = performance.now();
    const { takenCount } = queue;
    if (this.#restSince < 0 || takenCount !== this.#restTaken) {
      this.#restSince = now;
      this.#restTaken = takenCount;
    } else if (now - this.#restSince >= LOOK_AGAIN_MS) {
      this.#restSince = now;
      queue.wakeForRest();
    }
  }

  /** To be called while own IO is awaited. */
  look(): void {
    if (this.#load(POOL.running) !== 0) {
      this.#since = -1;
      this.lookForRest();
      return;
    }
    const now = performance.now();
    this.#pool?.stepIfOverdue(now);
    const { takenCount } = this.#queue;
    if (this.#since < 0 || takenCount !== this.#sinceTaken) {
      this.#since = now;
      this.#sinceTaken = takenCount;
    }
    if (this.#pool === null && now - this.#since >= CHECK_ALIVE_MS) this.#takeOverFromDead();
    if (this.#hasWarned || now - this.#since < WARN_AFTER_MS) return;
    this.#hasWarned = true;
    this.#backend.warn(
      `IO has waited ${
        WARN_AFTER_MS / 1000
      } s for an IO worker, and none has come: the thread that ` +
        "opened the Aio starts them, so its event loop must not be blocked",
    );
  }
}
