/**
 * worker.ts: the method that has a pool of Workers execute IO, for kernels and sandboxes without
 * io_uring.
 *
 * What is in the page cache is copied in the submit, by a call that does not wait. The rest goes into a
 * queue in shared memory, for the Workers to take out (io_worker.ts). What finds no room there, or no
 * Worker yet, is executed in the issuer's thread, and its flags say so.
 *
 * @module
 */

import * as counting from "../core/counters.ts";
import { readCounters } from "../core/counters.ts";
import type { AioHandle } from "../core/handle.ts";
import * as flags from "../core/handle_flag.ts";
import * as states from "../core/handle_state.ts";
import type { Availability, IoMethod, MethodBackend, WorkerRow } from "../core/method.ts";
import { type EffectiveOptions, type WorkerPoolOptions, workersOption } from "../core/options.ts";
import * as layout from "../core/shared_memory.ts";
import { BACKEND, type Control } from "../core/shared_memory.ts";
import { WAIT_EVENT_NAMES } from "../core/wait_event.ts";
import { ECANCELED } from "../ffi/errno.ts";
import { CachedTries } from "./cached_reads.ts";
import { POOL, POOL_BYTES, poolAt, WORKER, workerAt, WORKERS_MAX } from "./worker_memory.ts";
import { WorkerPool } from "./worker_pool.ts";
import { WorkerQueue } from "./worker_queue.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { COUNTER } = counting;
const { FLAG_BITS } = flags;
const { SUBMITTED } = states;
const { HANDLE, HEADER } = layout;

/** How long a blocking wait sleeps before it looks whether there is still any Worker. */
const WAIT_SLICE_MS = 1;
/** After so many in vain the Workers are asked whether they live. */
const PATIENCE_SLICES = 100;

function makeQueue({ control, libc }: MethodBackend): WorkerQueue {
  return new WorkerQueue(control, libc.threadId(), (thread) => libc.isThreadAlive(thread));
}

/** What the method keeps for one backend. */
class WorkerSubmission {
  readonly queue: WorkerQueue;
  /** Null: this thread did not open the Aio. */
  readonly pool: WorkerPool | null;
  readonly #backend: MethodBackend;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  /** Null: every read goes to the pool. */
  readonly #tries: CachedTries | null;
  /** What is to go into the queue. It grows, but is never emptied. */
  readonly #rest: AioHandle[] = [];
  #slices = 0;

  constructor(backend: MethodBackend, triesCached: boolean) {
    const { control, id } = backend;
    this.#backend = backend;
    this.#words = control.words;
    this.#at = poolAt(control);
    this.queue = makeQueue(backend);
    const isOpener = control.words[HEADER.openerBackend] === id;
    this.pool = isOpener ? new WorkerPool(backend, this.queue) : null;
    this.#tries = triesCached ? new CachedTries(backend) : null;
  }

  submit(staged: readonly AioHandle[], count: number): number {
    const rest = this.#rest;
    let restCount = 0;
    this.#tries?.begin();
    for (let i = 0; i < count; i++) {
      const handle = staged[i]!;
      if (this.#tries !== null && this.#tries.tryPerform(handle)) continue;
      this.#backend.prepareSubmit(handle);
      rest[restCount++] = handle;
    }
    if (restCount === 0) return count;
    const isForPool = this.#hasWorkers() && !this.#backend.hasHooks;
    for (let next = 0; next < restCount; next++) {
      // Meanwhile the lock may be free again, or there may be room.
      if (isForPool) next += this.queue.tryInsert(rest, next, restCount);
      if (next < restCount) this.#performHere(rest[next]!);
    }
    return count;
  }

  /** Where there is no Worker any more, or not again yet, nobody else does it. */
  check(handle: AioHandle): void {
    if (handle.backendId !== this.#backend.id || this.queue.running !== 0) return;
    if (this.#backend.claim(handle)) this.#backend.performSynchronously(handle);
  }

  wait(handle: AioHandle): void {
    if (handle.backendId !== this.#backend.id) return;
    const words = this.#words;
    // Whoever completes an own IO moves this, and notifies.
    const counter = this.#backend.control.backendAt(this.#backend.id) + BACKEND.foreignCompletions;
    const seen = Atomics.load(words, counter);
    this.check(handle);
    if (Atomics.load(words, handle.base + HANDLE.state) !== SUBMITTED) return;
    if (Atomics.wait(words, counter, seen, WAIT_SLICE_MS) !== "timed-out") this.#slices = 0;
    else if (++this.#slices % PATIENCE_SLICES === 0) this.#backend.reapDead();
  }

  #hasWorkers(): boolean {
    const words = this.#words;
    const at = this.#at;
    if (Atomics.load(words, at + POOL.isStarted) === 0) {
      Atomics.store(words, at + POOL.isStarted, 1);
      this.queue.ringOpener();
    }
    return Atomics.load(words, at + POOL.running) !== 0;
  }

  #performHere(handle: AioHandle): void {
    const { words, base } = handle;
    words[base + HANDLE.flags]! |= FLAG_BITS.synchronous;
    this.#backend.counters[COUNTER.synchronousByMethod]!++;
    this.#backend.performSynchronously(handle);
  }
}

const SUBMISSIONS = new WeakMap<MethodBackend, WorkerSubmission>();

function of(backend: MethodBackend): WorkerSubmission {
  return SUBMISSIONS.get(backend)!;
}

/** Who names the method gets it: without Workers IO is executed at once, and a warning says why. */
function workerAvailability(options: EffectiveOptions): Availability {
  const flag = options.method === "auto" ? missingFlag() : null;
  if (flag === null) return { ok: true };
  return { ok: false, reason: `Cannot load IO Workers without permission: run again with ${flag}` };
}

/**
 * What Deno wants for the modules of a Worker, if that was not granted; modules by URL are cached, and a
 * compiled program has them in itself.
 */
function missingFlag(): string | null {
  if (Deno.build.standalone) return null;
  const root = new URL("../", import.meta.url);
  if (root.protocol !== "file:") return null;
  const { state } = Deno.permissions.querySync({ name: "read", path: root });
  return state === "granted" ? null : `--allow-read=${decodeURIComponent(root.pathname)}`;
}

function listWorkers({ control, options }: MethodBackend): WorkerRow[] {
  const { words } = control;
  const rows: WorkerRow[] = [];
  for (let worker = 0; worker < WORKERS_MAX; worker++) {
    const id = options.maxBackends + worker;
    const backendAt = control.backendAt(id);
    const threadId = Math.abs(Atomics.load(words, backendAt + BACKEND.threadId));
    if (threadId === 0) continue;
    const at = workerAt(control, worker);
    const handle = Atomics.load(words, at + WORKER.handle);
    rows.push({
      worker,
      threadId,
      ioId: handle === 0 ? null : handle - 1,
      waitEvent: WAIT_EVENT_NAMES[Atomics.load(words, backendAt + BACKEND.waitEvent)] ?? null,
      ios: readCounters(control, id).completedForOthers,
      wakeUps: Atomics.load(words, at + WORKER.wakeUps),
    });
  }
  return rows;
}

/** The pool of an Aio that this thread opened; null in others. For tests. */
export function poolOf(backend: MethodBackend): WorkerPool | null {
  return of(backend).pool;
}

/**
 * The method.
 *
 * @param triesCached whether reads are tried in the page cache before they go to the pool; not so for
 *   tests and benchmarks of the pool itself
 */
export function createWorkerMethod(triesCached = true): IoMethod {
  return {
    name: "worker",
    waitOnFdBeforeClose: true,
    helpersMax: WORKERS_MAX,
    available: workerAvailability,
    shmemSize: () => POOL_BYTES,
    initBackend(backend) {
      SUBMISSIONS.set(backend, new WorkerSubmission(backend, triesCached));
      const { control, options } = backend;
      if (control.words[HEADER.openerBackend] === backend.id) configure(control, options.workers);
    },
    async shutdownBackend(backend) {
      await SUBMISSIONS.get(backend)?.pool?.end();
      SUBMISSIONS.delete(backend);
    },
    submit: (backend, staged, count) => of(backend).submit(staged, count),
    waitOne: (backend, handle) => of(backend).wait(handle),
    checkOne: (backend, handle) => of(backend).check(handle),
    cancelOne(backend, handle) {
      // What no Worker has taken yet is nobody's any more.
      if (backend.claim(handle)) backend.processCompletion(handle, -ECANCELED);
    },
    listWorkers,
    configureWorkers(backend, change) {
      const { control } = backend;
      const settings = workersOption(change, "set workers", settingsOf(control));
      configure(control, settings);
      const { queue } = of(backend);
      queue.wakeAll();
      queue.ringOpener();
      return settings;
    },
    reapBackend(backend, dead) {
      const number = dead - backend.options.maxBackends;
      // A thread that attaches may have to do it before it has joined in.
      const queue = SUBMISSIONS.get(backend)?.queue ?? makeQueue(backend);
      if (number >= 0) queue.remove(number);
      // It may have chosen one of them, and died before it could wake it.
      queue.wakeAll();
      queue.wakeForRest();
      queue.ringOpener();
      return true;
    },
  };
}

/** Has a pool of Workers execute IO. */
export const workerMethod: IoMethod = createWorkerMethod();

const SETTINGS = ["min", "max", "idleTimeoutMs", "launchIntervalMs"] as const;

function settingsOf(control: Control): Required<WorkerPoolOptions> {
  const read = (name: typeof SETTINGS[number]) =>
    Atomics.load(control.words, poolAt(control) + POOL[name]);
  return {
    min: read("min"),
    max: read("max"),
    idleTimeoutMs: read("idleTimeoutMs"),
    launchIntervalMs: read("launchIntervalMs"),
  };
}

/** Sets how many Workers there are to be, and for how long they stay. */
function configure(control: Control, settings: MethodBackend["options"]["workers"]): void {
  const at = poolAt(control);
  for (const name of SETTINGS) {
    Atomics.store(control.words, at + POOL[name], settings[name]);
  }
}
