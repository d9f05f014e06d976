/**
 * worker.ts: the method that has a pool of Workers execute IO, for kernels and sandboxes without
 * io_uring.
 *
 * What is in the page cache is copied in the submit, by a call that does not wait. The rest goes
 * into a queue in shared memory, for the Workers to take out (worker/io_worker.ts), also while the
 * first one is still on its way. A thread executes IO only while it blocks for that IO anyway and
 * no Worker would take it; the flags of the IO say so.
 *
 * @module
 */

import { releaseClaim } from "../core/memory/claim.ts";
import * as counting from "../core/io/counters.ts";
import { readCounters } from "../core/io/counters.ts";
import type { AioHandle } from "../core/io/handle.ts";
import * as flags from "../core/io/handle_flag.ts";
import * as states from "../core/memory/handle_state.ts";
import type { Availability, IoMethod, MethodBackend, WorkerRow } from "../core/io/method.ts";
import { type WorkerPoolOptions, workersOption } from "../core/base/options.ts";
import { missingFlag } from "../core/base/own_threads.ts";
import { LOOK_AGAIN_MS, LOOKS_UNTIL_CHECK } from "../core/base/pauses.ts";
import * as layout from "../core/memory/shared_memory.ts";
import { BACKEND, type Control } from "../core/memory/shared_memory.ts";
import { WAIT_EVENT_NAMES } from "../core/io/wait_event.ts";
import { ECANCELED } from "../ffi/errno.ts";
import { CachedTries } from "./cached_reads.ts";
import { WorkerDemand } from "./worker/demand.ts";
import {
  isOutside,
  markOutside,
  POOL,
  poolAt,
  poolBytes,
  WORKER,
  workerAt,
  WORKERS_MAX,
} from "./worker/memory.ts";
import type { IsPools, WorkerPool } from "./worker/pool.ts";
import { WorkerQueue } from "./worker/queue.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { COUNTER } = counting;
const { FLAG_BITS } = flags;
const { SUBMITTED } = states;
const { HANDLE, HEADER } = layout;

function makeQueue({ control, libc }: MethodBackend): WorkerQueue {
  return new WorkerQueue(control, libc.threadId(), (thread) => libc.isThreadAlive(thread));
}

/** What the method keeps for one backend. */
class WorkerSubmission {
  readonly queue: WorkerQueue;
  readonly demand: WorkerDemand;
  readonly #backend: MethodBackend;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  /** Null: every read goes to the pool. */
  readonly #tries: CachedTries | null;
  /** What is to go into the queue. It grows, but is never emptied. */
  readonly #rest: AioHandle[] = [];
  #looks = 0;

  constructor(backend: MethodBackend, triesCached: boolean, isPools: IsPools) {
    const { control } = backend;
    this.#backend = backend;
    this.#words = control.words;
    this.#at = poolAt(control);
    this.queue = makeQueue(backend);
    this.demand = new WorkerDemand(backend, this.queue, isPools);
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
    if (this.#backend.completesHere) {
      for (let i = 0; i < restCount; i++) this.#performIfFree(rest[i]!);
      return count;
    }
    this.queue.insert(rest, restCount);
    this.demand.notice();
    return count;
  }

  /**
   * Sees to it that an IO comes to a Worker. Executes nothing: whoever awaits it comes here, too.
   */
  check(handle: AioHandle): void {
    if (isOutside(this.#words, handle.base)) this.queue.bringInOf(handle);
    if (handle.backendId === this.#backend.id) this.demand.look();
  }

  /**
   * Blocks for a moment, or executes an IO that no Worker would take: none runs, and the opener,
   * which starts them, may be blocked in this very wait; or another thread has the queue's lock.
   *
   * @param generation of which use of the handle: another thread's may be over, and the next one be
   *   one that its issuer executes in the start call
   */
  wait(handle: AioHandle, generation: number): void {
    const words = this.#words;
    const { base } = handle;
    const isOwn = handle.backendId === this.#backend.id;
    // Whoever completes an own IO moves this, and notifies.
    const counter = this.#backend.control.backendAt(this.#backend.id) + BACKEND.foreignCompletions;
    const seen = Atomics.load(words, counter);
    const isStuck = isOutside(words, base) || Atomics.load(words, this.#at + POOL.running) === 0;
    if (isStuck) this.#performIfFree(handle, generation | 0);
    if (!isOwn || Atomics.load(words, base + HANDLE.state) !== SUBMITTED) return;
    this.#backend.counters[COUNTER.blockingSleeps]!++;
    if (Atomics.wait(words, counter, seen, LOOK_AGAIN_MS) !== "timed-out") this.#looks = 0;
    else if (++this.#looks % LOOKS_UNTIL_CHECK === 0) this.#backend.reapDead();
    else this.demand.lookForRest();
  }

  /** Executes a submitted IO in this thread, unless another one does. */
  #performIfFree(handle: AioHandle, generationLow?: number): void {
    if (!this.#backend.claim(handle, generationLow)) return;
    const { words, base } = handle;
    const { counters, id } = this.#backend;
    words[base + HANDLE.flags]! |= FLAG_BITS.synchronous;
    if (handle.backendId === id) counters[COUNTER.synchronousByMethod]!++;
    this.#backend.performSynchronously(handle);
  }
}

const SUBMISSIONS = new WeakMap<MethodBackend, WorkerSubmission>();

function of(backend: MethodBackend): WorkerSubmission {
  return SUBMISSIONS.get(backend)!;
}

/** A thread that attaches may have to reap another one before it has joined in. */
function queueOf(backend: MethodBackend): WorkerQueue {
  return SUBMISSIONS.get(backend)?.queue ?? makeQueue(backend);
}

/**
 * Says that a submitted IO is the pool's, by a few stores, so that nothing is lost if this thread
 * ends in between. {@linkcode bringIn} is to be called next.
 */
export function leaveOutside(backend: MethodBackend, handle: AioHandle): void {
  queueOf(backend).leaveOutside(handle);
}

/** The same for one that this thread, or a dead one, has claimed, which nobody has after that. */
export function leaveClaimedOutside(
  backend: MethodBackend,
  handle: AioHandle,
  claimant: number,
): void {
  markOutside(handle.words, handle.base);
  releaseClaim(handle.words, handle.base, claimant);
  // From here on it may be over at any time, and its handle be used anew.
  queueOf(backend).announce(handle);
}

/**
 * Sees to it that the pool's IO goes on, if any waits: for a method that the pool is a part of, and
 * that looks for IO which is not the pool's.
 */
export function lookAfterPool(backend: MethodBackend): void {
  const { queue, demand } = of(backend);
  if (queue.depth > 0) demand.look();
}

/** Puts such IOs into the queue, and sees to it that Workers run. */
export function bringIn(backend: MethodBackend): void {
  queueOf(backend).bringIn();
  SUBMISSIONS.get(backend)?.demand.notice();
}

/** Without the permission no Worker could be started, and IO would wait for ever. */
function workerAvailability(): Availability {
  const flag = missingFlag();
  if (flag === null) return { ok: true };
  return { ok: false, reason: `Cannot load IO Workers without permission: run again with ${flag}` };
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

/** The pool, if this thread starts its Workers. For tests. */
export function poolOf(backend: MethodBackend): WorkerPool | null {
  return of(backend).demand.pool;
}

/**
 * The method.
 *
 * @param triesCached whether reads are tried in the page cache before they go to the pool; not so
 *   for tests and benchmarks of the pool itself
 * @param isPools which IO the pool executes, for a method that it is a part of
 */
export function createWorkerMethod(
  triesCached = true,
  isPools: IsPools = () => true,
): IoMethod {
  return {
    name: "worker",
    module: import.meta.url,
    waitOnFdBeforeClose: true,
    copiesCached: triesCached,
    helpersMax: WORKERS_MAX,
    available: workerAvailability,
    shmemSize: ({ maxBackends, maxConcurrency }) => poolBytes(maxBackends * maxConcurrency),
    initBackend(backend) {
      SUBMISSIONS.set(backend, new WorkerSubmission(backend, triesCached, isPools));
      const { control, options } = backend;
      if (control.words[HEADER.openerBackend] === backend.id) configure(control, options.workers);
    },
    async shutdownBackend(backend) {
      await SUBMISSIONS.get(backend)?.demand.end();
      SUBMISSIONS.delete(backend);
    },
    submit: (backend, staged, count) => of(backend).submit(staged, count),
    // Whichever Worker completes an IO rings.
    sleepMsMax: (backend) => SUBMISSIONS.get(backend)?.demand.sleepMsMax ?? Infinity,
    waitOne: (backend, handle, generation) => of(backend).wait(handle, generation),
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
    redo(backend, handle, dead) {
      leaveClaimedOutside(backend, handle, dead);
      queueOf(backend).bringIn();
    },
    reapBackend(backend, dead) {
      const number = dead - backend.options.maxBackends;
      const queue = queueOf(backend);
      if (number >= 0) queue.remove(number);
      // It may have chosen one of them, and died before it could wake it.
      queue.wakeAll();
      queue.bringInRest();
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
