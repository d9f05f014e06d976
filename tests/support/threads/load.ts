/**
 * load.ts: several Workers on one Aio that issue, await and complete each other's IO.
 *
 * @module
 */

import type { AioToken, FileToken } from "../../../mod.ts";

/** What to do, for all threads. */
export interface LoadPlan {
  readonly token: AioToken;
  readonly file: FileToken;
  /** `"held"`, or a method of this version. */
  readonly method: string;
  /** IOs of each thread, at least. */
  readonly ios: number;
  readonly seed: number;
}

/** The order of one thread. */
export interface LoadOrder extends LoadPlan {
  readonly number: number;
  readonly threads: number;
  /**
   * How many threads are done, what each has done so far, how many began, a wait reference a task.
   */
  readonly mailbox: SharedArrayBuffer;
}

/** What one thread did. */
export interface LoadAnswer {
  /** IOs of its own that ended. */
  done: number;
  /** Of these with the wrong status or content. */
  wrong: number;
  /** IOs of others that it awaited. */
  foreign: number;
  /** IOs that it completed, for itself or others. */
  performed: number;
}

const MAILBOX_BYTES = 65_536;
/** Where in the mailbox the IOs of each thread are counted. */
export const MAILBOX_COUNTS = 1;
/** How many threads have published an IO. */
export const MAILBOX_STARTED = 63;
/** Where the wait references begin. */
export const MAILBOX_REFS = 64;

/** Workers that were started and end with the scope. */
export interface RunningLoad extends AsyncDisposable {
  /** Runs the load. @throws if it is not over in time: a wake-up was lost */
  run(plan: LoadPlan, timeLimitMs: number): Promise<LoadAnswer[]>;
  /** IOs that all threads have done in the run that is under way. */
  done(): number;
}

/** Starts the Workers. */
export function startLoad(threads: number): RunningLoad {
  const url = new URL("./load_worker.ts", import.meta.url);
  const workers = Array.from({ length: threads }, () => new Worker(url, { type: "module" }));
  const mailbox = new SharedArrayBuffer(MAILBOX_BYTES);
  return {
    done() {
      const counts = new Int32Array(mailbox).subarray(MAILBOX_COUNTS, MAILBOX_COUNTS + threads);
      return counts.reduce((sum, count) => sum + count, 0);
    },
    async run(plan, timeLimitMs) {
      new Int32Array(mailbox).fill(0);
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => reject(new Error(`The load hangs: seed ${plan.seed}`)),
        timeLimitMs,
      );
      try {
        const answers = workers.map((worker, number) =>
          answerOf(worker, { ...plan, number, threads, mailbox })
        );
        return await Promise.race([Promise.all(answers), late]);
      } finally {
        clearTimeout(timer);
      }
    },
    [Symbol.asyncDispose]() {
      for (const worker of workers) worker.terminate();
      return Promise.resolve();
    },
  };
}

function answerOf(worker: Worker, order: LoadOrder): Promise<LoadAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<LoadAnswer>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  worker.postMessage(order);
  return promise;
}
