/**
 * worker/pool.ts: the IO Workers of an Aio, as its opener sees them: it starts them, replaces those
 * that die, and ends them all.
 *
 * Workers are started by the opener alone, as a Worker ends with the thread that started it. The
 * others ask by a word that the opener waits for without keeping its event loop alive. To start one
 * blocks the opener for some 30 ms: one at a time, the next when the last has joined in, never
 * inside a submit.
 *
 * They are `node:worker_threads`, which let a program end while they sleep; Web Workers do not.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { Worker } from "node:worker_threads";
import { startOf, untilGone } from "../../core/base/own_threads.ts";
import { LOOK_AGAIN_MS } from "../../core/base/pauses.ts";
import { tryClaimSubmitted } from "../../core/memory/claim.ts";
import { SUBMITTED } from "../../core/memory/handle_state.ts";
import type { HelperToken } from "../../core/life/helper_thread.ts";
import { IN_START_CALL } from "../../core/io/handle_flag.ts";
import type { MethodBackend } from "../../core/io/method.ts";
import { BACKEND, HANDLE } from "../../core/memory/shared_memory.ts";
import { EAGAIN } from "../../ffi/errno.ts";
import type { IoWorkerData, IoWorkerMessage } from "./io_worker_main.ts";
import { WorkerLog } from "./log.ts";
import { POOL, poolAt, WORKER, workerAt, WORKERS_MAX } from "./memory.ts";
import type { WorkerQueue } from "./queue.ts";

/** Pauses after starts that failed: each is twice the one before. */
const RETRY_PAUSE_MIN_MS = 100;
const RETRY_PAUSE_MAX_MS = 10_000;
/** After so many starts in a row that failed, 1.5 s of them, IO fails too instead of waiting. */
const FAILURES_MAX = 5;
/**
 * A step that has waited so long for its turn is made at once: the thread looks for IO in a loop.
 */
const OVERDUE_MS = 20;

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
}

/** The thread's first module. */
const START = startOf(import.meta.resolve("./io_worker_main.ts"));

/**
 * Never called. `deno compile`, `deno cache` and `deno info` follow an import that is written out,
 * and so take the Workers' modules along; the URL in `START` is computed.
 */
export function importIoWorker(): Promise<unknown> {
  return import("./io_worker_main.ts");
}

/**
 * Whether the pool is to execute the IO of a handle, which is submitted; else the method that the
 * pool is a part of does.
 */
export type IsPools = (words: Int32Array, base: number) => boolean;

/** A Worker that was started and has not ended. */
interface StartedWorker {
  readonly number: number;
  readonly thread: Worker;
  readonly ended: Promise<void>;
}

/** The pool, in the opener's thread. */
export class WorkerPool {
  readonly #backend: MethodBackend;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  readonly #queue: WorkerQueue;
  readonly #isPools: IsPools;
  readonly #workers = new Map<number, StartedWorker>();
  /** Those whose event came, and whose threads may not be gone yet. */
  readonly #ending = new Set<number>();
  /** Null: no lines are wanted. */
  readonly #log: WorkerLog | null;
  #isStepScheduled = false;
  #scheduledAt = 0;
  #isEnding = false;
  #launchAt = 0;
  /** Starts in a row that failed. */
  #failures = 0;
  #retryAt = 0;
  #lastStarted = -1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #looks = new Set<ReturnType<typeof setTimeout>>();

  /**
   * For the opener's backend.
   *
   * @param backend whose it is
   * @param queue as this thread sees it
   * @param isPools which IO fails where no Worker can be started
   */
  constructor(backend: MethodBackend, queue: WorkerQueue, isPools: IsPools) {
    this.#backend = backend;
    this.#words = backend.control.words;
    this.#at = poolAt(backend.control);
    this.#queue = queue;
    this.#isPools = isPools;
    this.#log = backend.log === null ? null : new WorkerLog(backend.log);
    this.#listen();
  }

  /** The threads, for tests that end one. */
  get threads(): ReadonlyMap<number, { readonly thread: Worker }> {
    return this.#workers;
  }

  #load(word: number): number {
    return Atomics.load(this.#words, this.#at + word);
  }

  /** Hears whoever rings. What waits here lets the event loop end. */
  #listen(): void {
    const seen = this.#load(POOL.bell);
    const wait = Atomics.waitAsync(this.#words, this.#at + POOL.bell, seen);
    const next = () => {
      if (this.#isEnding) return;
      this.#listen();
      this.#log?.bring();
      this.schedule();
    };
    if (wait.async) wait.value.then(next);
    else queueMicrotask(next);
  }

  /** Looks after the pool in a turn of the event loop of its own. */
  schedule(): void {
    if (this.#isStepScheduled || this.#isEnding) return;
    this.#isStepScheduled = true;
    this.#scheduledAt = performance.now();
    setImmediate(() => {
      this.#isStepScheduled = false;
      if (!this.#isEnding) this.#step();
    });
  }

  /** For a thread that looks for IO in a loop, and so never comes to its event loop. */
  stepIfOverdue(now: number): void {
    if (this.#isStepScheduled && now - this.#scheduledAt >= OVERDUE_MS) this.#step();
  }

  #step(): void {
    if (this.#load(POOL.isStarted) === 0 || this.#isStarting()) return;
    const count = this.#workers.size;
    if (this.#failures > 0 && !this.#isToRetry()) return;
    if (count < this.#load(POOL.min)) {
      this.#start();
      return;
    }
    if (this.#load(POOL.isGrowthWanted) === 0 || count >= this.#load(POOL.max)) return;
    const now = performance.now();
    if (now < this.#launchAt) {
      this.#stepAt(this.#launchAt - now);
      return;
    }
    Atomics.store(this.#words, this.#at + POOL.isGrowthWanted, 0);
    const intervalMs = this.#load(POOL.launchIntervalMs);
    this.#launchAt = Math.max(this.#launchAt + intervalMs, now);
    this.#start();
  }

  /** A Worker rings when it has joined in, and ends if it cannot: either way this runs again. */
  #isStarting(): boolean {
    for (const number of this.#workers.keys()) {
      if (Atomics.load(this.#words, this.#wordOf(number, WORKER.hasJoined)) === 0) return true;
    }
    return false;
  }

  /** After a start that failed: whether it is time for the next. */
  #isToRetry(): boolean {
    if (this.#workers.has(this.#lastStarted)) {
      this.#failures = 0;
      return true;
    }
    const pauseMs = this.#retryAt - performance.now();
    if (pauseMs > 0) {
      if (this.#load(POOL.hasFailed) !== 0) this.#failWaiting();
      this.#stepAt(pauseMs);
      return false;
    }
    if (this.#queue.depth > 0) return true;
    // Nothing waits: the next IO asks again. What came in between is seen by the second look.
    Atomics.store(this.#words, this.#at + POOL.isStarted, 0);
    if (this.#queue.depth === 0) return false;
    Atomics.store(this.#words, this.#at + POOL.isStarted, 1);
    return true;
  }

  /** Ends IO that no Worker will take. */
  #failWaiting(): void {
    const { control } = this.#backend;
    for (let index = 0; index < control.handleCount; index++) {
      const base = control.handleAt(index);
      // The claim is of the use that was looked at: the next one may be the kernel's.
      const low = Atomics.load(this.#words, base + HANDLE.generationLow);
      if (Atomics.load(this.#words, base + HANDLE.state) !== SUBMITTED) continue;
      if ((this.#words[base + HANDLE.flags]! & IN_START_CALL) !== 0) continue;
      if (!this.#isPools(this.#words, base)) continue;
      if (!tryClaimSubmitted(this.#words, base, this.#backend.id, low)) continue;
      this.#backend.processCompletion(this.#backend.handleOf(index), -EAGAIN);
    }
    this.#queue.dropOver();
  }

  #stepAt(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.schedule(), delayMs);
    Deno.unrefTimer(this.#timer);
  }

  #start(): void {
    const number = this.#freeNumber();
    if (number < 0) return;
    this.#lastStarted = number;
    const { control, arena, options, layerModules: layers } = this.#backend;
    Atomics.store(this.#words, this.#wordOf(number, WORKER.isToEnd), 0);
    Atomics.store(this.#words, this.#wordOf(number, WORKER.hasJoined), 0);
    const token: HelperToken = {
      control: control.buffer,
      arena: arena.buffer,
      options,
      layers,
      id: options.maxBackends + number,
    };
    const log = this.#log?.open(number) ?? null;
    const workerData: IoWorkerData = { ...token, number, log };
    const transferList = log === null ? [] : [log.port];
    const name = `aio worker ${number}`;
    let thread: Worker;
    try {
      thread = new Worker(START, { workerData, transferList, name });
    } catch (error) {
      this.#log?.close(number);
      this.#noticeFailure(number, error instanceof Error ? error.message : String(error), error);
      return;
    }
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    thread.on("message", ({ kind, message, cause }: IoWorkerMessage) => {
      if (kind === "warning") this.#backend.warn(message, cause);
      else this.#noticeFailure(number, message, cause);
    });
    thread.on("error", (error: Error) => this.#noticeFailure(number, error.message, error));
    thread.on("exit", () => {
      this.#noticeEnd(number);
      resolve();
    });
    thread.unref();
    this.#workers.set(number, { number, thread, ended });
  }

  #wordOf(number: number, word: number): number {
    return workerAt(this.#backend.control, number) + word;
  }

  #threadIdOf(number: number): number {
    const { control, options } = this.#backend;
    const at = control.backendAt(options.maxBackends + number) + BACKEND.threadId;
    return Atomics.load(control.words, at);
  }

  /** The lowest that no thread has, and none is about to have; -1: none. */
  #freeNumber(): number {
    for (let number = 0; number < WORKERS_MAX; number++) {
      const isTaken = this.#workers.has(number) || this.#ending.has(number);
      if (!isTaken && this.#threadIdOf(number) === 0) return number;
    }
    return -1;
  }

  #noticeFailure(number: number, message: string, cause: unknown): void {
    if (Atomics.load(this.#words, this.#wordOf(number, WORKER.hasJoined)) !== 0) {
      this.#backend.warn(`IO worker ${number} has died: ${message}`, cause);
      return;
    }
    const pauseMs = Math.min(RETRY_PAUSE_MAX_MS, RETRY_PAUSE_MIN_MS * 2 ** this.#failures);
    this.#retryAt = performance.now() + pauseMs;
    this.#failures++;
    if (this.#failures === 1) {
      this.#backend.warn(`Cannot start an IO worker, so it is tried again: ${message}`, cause);
    }
    if (this.#failures >= FAILURES_MAX && this.#queue.running === 0) this.#giveUp(message, cause);
    this.schedule();
  }

  #giveUp(message: string, cause: unknown): void {
    if (Atomics.exchange(this.#words, this.#at + POOL.hasFailed, 1) === 0) {
      this.#backend.warn(
        `Cannot start IO workers, so IO fails with EAGAIN until one can be started: ${message}`,
        cause,
      );
    }
    this.#failWaiting();
  }

  /** The event comes from the thread's last moments; it can have claimed IO until it is gone. */
  #noticeEnd(number: number): void {
    this.#workers.delete(number);
    if (this.#isEnding) return;
    this.#ending.add(number);
    if (this.#threadIdOf(number) === 0) {
      this.#ending.delete(number);
      this.#log?.close(number);
      this.schedule();
      return;
    }
    // To terminate a thread does not interrupt it, and the loop of a Worker does not end by itself.
    Atomics.store(this.#words, this.#wordOf(number, WORKER.isToEnd), 1);
    this.#queue.wake(number);
    this.#backend.reapDead("eventLoop");
    const timer = setTimeout(() => {
      this.#looks.delete(timer);
      this.#noticeEnd(number);
    }, LOOK_AGAIN_MS);
    Deno.unrefTimer(timer);
    this.#looks.add(timer);
  }

  /** Ends all Workers, and resolves when their threads are gone. */
  async end(): Promise<void> {
    this.#isEnding = true;
    clearTimeout(this.#timer);
    for (const timer of this.#looks) clearTimeout(timer);
    Atomics.store(this.#words, this.#at + POOL.isEnding, 1);
    this.#queue.ringOpener();
    const workers = [...this.#workers.values()];
    const threadIds = workers.map(({ number }) => Math.abs(this.#threadIdOf(number)));
    for (const { thread } of workers) thread.ref();
    this.#queue.wakeAll();
    await Promise.all(workers.map(({ ended }) => ended));
    for (const { number } of workers) {
      await until(() => {
        if (this.#threadIdOf(number) !== 0) this.#backend.reapDead("eventLoop");
        return this.#threadIdOf(number) === 0;
      });
    }
    this.#log?.closeAll();
    await untilGone(this.#backend.libc, threadIds);
  }
}
