/**
 * Shares the work of verifying out to the machine's cores. What `pieces.ts` read is in the arena,
 * which is shared memory: a worker gets to know where the pages are, and nothing is copied.
 *
 * The main thread takes what is small, what comes before there are workers, and what comes while
 * they have enough to do.
 *
 * @module
 */

import { type BadPage, type PageRun, verifyPages } from "./verify.ts";

/** Telling a worker costs as much as verifying a few pages. */
const SHARED_BYTES_MIN = 128 * 1024;
/** Starting a worker costs as much as verifying this many bytes. */
const BYTES_BEFORE_WORKERS = 64 * 1024 * 1024;
/** More than this, and reading is what takes the time. */
const WORKERS_MAX = 4;
/**
 * The runs that all workers together may have. Answers are heard of only between turns of the event
 * loop, so each worker needs some in reserve; but of all that `pieces.ts` has under way, a part is
 * left to the main thread, which would only wait.
 */
const WORKER_RUNS_MAX = 12;

/** A thread, and those who wait for it, in the order in which it will answer. */
class PoolWorker {
  isReady = false;
  readonly waiting: PromiseWithResolvers<BadPage[]>[] = [];
  readonly #worker = new Worker(new URL("./verify_worker.ts", import.meta.url), { type: "module" });

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<"ready" | BadPage[]>) => {
      if (data === "ready") this.isReady = true;
      else this.waiting.shift()!.resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.isReady = false;
      for (const { reject } of this.waiting.splice(0)) reject(new Error(event.message));
    };
  }

  verify(run: PageRun): Promise<BadPage[]> {
    const answer = Promise.withResolvers<BadPage[]>();
    this.waiting.push(answer);
    this.#worker.postMessage(run);
    return answer.promise;
  }

  terminate(): void {
    this.#worker.terminate();
  }
}

/** Verifies runs of pages on as many cores as are worth it. */
export class VerifyPool implements Disposable {
  readonly #workers: PoolWorker[] = [];
  #bytes = 0;

  /**
   * Verifies the pages of a run, whose bytes stay as they are until the answer is there.
   *
   * @returns The bad ones, in order.
   */
  verify(run: PageRun): BadPage[] | Promise<BadPage[]> {
    this.#bytes += run.bytes.byteLength;
    if (run.bytes.byteLength < SHARED_BYTES_MIN) return verifyPages(run);
    this.#startWorkers();
    const worker = this.#idlestWorker();
    return worker ? worker.verify(run) : verifyPages(run);
  }

  #idlestWorker(): PoolWorker | undefined {
    const runsMax = Math.floor(WORKER_RUNS_MAX / this.#workers.length);
    return this.#workers
      .filter(({ isReady, waiting }) => isReady && waiting.length < runsMax)
      .sort((one, other) => one.waiting.length - other.waiting.length)[0];
  }

  #startWorkers(): void {
    if (this.#workers.length > 0 || this.#bytes < BYTES_BEFORE_WORKERS) return;
    const count = Math.min(navigator.hardwareConcurrency - 1, WORKERS_MAX);
    for (let index = 0; index < count; index++) this.#workers.push(new PoolWorker());
  }

  /** Ends the workers. Nothing may be waited for any more. */
  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
  }
}
