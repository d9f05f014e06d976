/**
 * The Workers of a check: threads beside the main one, each with `check_worker.ts`.
 * `../pg_checksums.ts` starts them, `main.ts` tells them what to do.
 *
 * This file imports types only, so that nothing else is loaded before the Workers start.
 *
 * @module
 */

import type { OnParts, Order } from "./check_files.ts";
import type { Part } from "./part.ts";

/** As many threads as one Aio can have. */
export const JOBS_MAX = 32;

/** What a Worker says at its end. */
const DONE = "done";

const MODULE = new URL("./check_worker.ts", import.meta.url);

/** The Workers of a check. */
export class Workers {
  readonly #workers: CheckWorker[] = [];

  /**
   * Starts as many as a command line seems to ask for, but no more than there are processors: those
   * would only hold the others up. {@linkcode adjust} puts the number right once the command line
   * is read. Without permission to load Workers it starts none: other errors come first.
   */
  static startEarly(args: readonly string[]): Workers {
    const workers = new Workers();
    const { state } = Deno.permissions.querySync({ name: "read", path: MODULE });
    const threads = Math.min(jobsAtFirstSight(args), navigator.hardwareConcurrency);
    if (state === "granted") workers.adjust(threads - 1);
    return workers;
  }

  /** Starts or ends Workers until there are so many. */
  adjust(count: number): void {
    while (this.#workers.length < count) this.#workers.push(new CheckWorker());
    for (const worker of this.#workers.splice(count)) worker.terminate();
  }

  /**
   * Has them check files until none is left.
   *
   * @param order What is to be done.
   * @param onParts Hears what was found.
   */
  async check(order: Order, onParts: OnParts): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.check(order, onParts)));
  }
}

/** One Worker; it loads its modules from the start. */
class CheckWorker {
  readonly #worker = new Worker(MODULE, { type: "module" });
  readonly #failure = Promise.withResolvers<never>();

  constructor() {
    // It may fail before `check()` looks.
    this.#failure.promise.catch(() => {});
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failure.reject(new Error(event.message));
    };
  }

  async check(order: Order, onParts: OnParts): Promise<void> {
    const { promise: done, resolve } = Promise.withResolvers<void>();
    this.#worker.onmessage = ({ data }: MessageEvent<Part[] | typeof DONE>) => {
      if (data === DONE) resolve();
      else onParts(data);
    };
    this.#worker.postMessage(order);
    await Promise.race([done, this.#failure.promise]);
  }

  terminate(): void {
    this.#worker.terminate();
  }
}

/** How many threads a command line seems to ask for; 1 if it asks for help, or is wrong. */
export function jobsAtFirstSight(args: readonly string[]): number {
  const at = args.findLastIndex((arg) => arg === "--jobs" || arg.startsWith("--jobs="));
  if (at < 0 || args.includes("--help")) return 1;
  const text = args[at]!.split("=")[1] ?? args[at + 1] ?? "";
  const jobs = /^\d+$/.test(text) ? Number(text) : 0;
  return jobs >= 1 && jobs <= JOBS_MAX ? jobs : 1;
}
