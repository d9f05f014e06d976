/**
 * backend.ts: one attached thread: its handles, and the life cycle of an IO.
 *
 * ```text
 * acquire ─► stage ─┬─► (batch, end of turn) ─► submitStaged ─► method.submit ─┐
 *                   └─► prepareSubmit ─► performSynchronously ─────────────────┤
 *            reclaim ◄── processCompletion: shared callbacks, result published ◄┘
 * ```
 *
 * The lists below are this thread's alone; other threads see only the words in shared memory.
 *
 * @module
 */

import type { Libc } from "../ffi/libc.ts";
import { EFAULT } from "../ffi/errno.ts";
import { AcquireQueue, type UseHandle } from "./acquire_queue.ts";
import type { Arena } from "./arena.ts";
import { assert } from "./assert.ts";
import type { BackendParts } from "./backend_parts.ts";
import type { CallbackTable } from "./callback.ts";
import { completeLocal, completeShared, makeIdle } from "./completion.ts";
import { Doorbells } from "./doorbell.ts";
import { ForeignCompletions } from "./foreign_completions.ts";
import { AioApiError } from "./errors.ts";
import { AioHandle, type HandleHost, type HandleOwner } from "./handle.ts";
import { FLAG_BITS } from "./handle_flag.ts";
import {
  COMPLETED_SHARED,
  DEFINED,
  HANDED_OUT,
  IDLE,
  STAGED,
  SUBMITTED,
  updateState,
} from "./handle_state.ts";
import { InFlight } from "./in_flight.ts";
import type { MemoryMap } from "./memory_map.ts";
import { type IoMethod, SUBMIT_BATCH_COUNT_MAX } from "./method.ts";
import { FILE_TARGET, type OpenFileTable } from "./open_file.ts";
import { performSynchronously } from "./operation.ts";
import type { EffectiveOptions } from "./options.ts";
import { Pump, type PumpHost } from "./pump.ts";
import type { AioReturn } from "./result.ts";
import { type Control, HANDLE, HEADER, PHASE_CLOSING, PHASE_OPEN } from "./shared_memory.ts";
import type { TargetTable } from "./target.ts";
import { Turn } from "./turn.ts";
import { Waiting, type WaitingHost } from "./waiting.ts";
import { checkWaitRef, type WaitRef } from "./wait_ref.ts";

/** One thread's side of the subsystem. */
export class Backend implements HandleHost, WaitingHost, PumpHost {
  readonly id: number;
  readonly control: Control;
  readonly libc: Libc;
  readonly options: EffectiveOptions;
  readonly callbacks: CallbackTable;
  readonly targets: TargetTable;
  readonly memory: MemoryMap;
  /** The memory that IO goes to without a copy. */
  readonly arena: Arena;
  /** The open files of all threads. */
  readonly files: OpenFileTable;
  /** How IO is executed. */
  readonly method: IoMethod;
  /** Takes warnings; never throws. */
  readonly warn: (message: string, cause?: unknown) => void;
  /** Whose turn of the event loop it is. */
  readonly turn: Turn;
  /** How one waits for its IOs. */
  readonly waiting: Waiting;
  /** Wakes other backends, and this one. */
  readonly doorbells: Doorbells;
  /** Looks for completions while somebody awaits them. */
  readonly pump: Pump;
  /** Takes over from a backend if its thread has died; whoever made this one says how. */
  reapIfDead: (id: number) => void = () => {};

  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #fileTargetId: number;
  readonly #first: number;
  readonly #handles: AioHandle[];
  readonly #idle: AioHandle[];
  readonly #foreignHandles = new Map<number, AioHandle>();
  readonly #inFlight: InFlight;
  readonly #foreign: ForeignCompletions;
  readonly #staged: AioHandle[] = [];
  readonly #returns: (AioReturn | null)[];
  readonly #owners: (HandleOwner | null)[];
  readonly #acquireQueue: AcquireQueue;
  #handedOut: AioHandle | null = null;
  #isClosing = false;
  #isInBatch = false;
  #isSubmitScheduled = false;

  /**
   * Made by the core, not by users.
   *
   * @param parts what the opener or attacher put together
   */
  constructor(parts: BackendParts) {
    this.id = parts.id;
    this.control = parts.control;
    this.libc = parts.libc;
    this.options = parts.options;
    this.callbacks = parts.callbacks;
    this.targets = parts.targets;
    this.memory = parts.memory;
    this.arena = parts.arena;
    this.files = parts.files;
    this.method = parts.method;
    this.turn = new Turn((microseconds) => this.libc.sleepNonblocking(microseconds));
    this.warn = parts.warn;
    this.#fileTargetId = parts.fileTargetId;
    this.#words = parts.control.words;
    const count = parts.control.handlesPerBackend;
    this.#first = this.id * count;
    this.#handles = Array.from({ length: count }, (_, i) => new AioHandle(this, this.#first + i));
    this.#idle = [...this.#handles].reverse();
    this.#inFlight = new InFlight(this.#handles);
    this.#returns = new Array(count).fill(null);
    this.#owners = new Array(count).fill(null);
    this.waiting = new Waiting(this);
    this.doorbells = new Doorbells(this.control, this.libc, this.id);
    this.pump = new Pump(this);
    this.#foreign = new ForeignCompletions(this.control, this.doorbells, this.id);
    this.#acquireQueue = new AcquireQueue({
      tryAcquire: (owner, ret) => this.#handedOut === null ? this.tryAcquire(owner, ret) : null,
      giveBack: (handle) => {
        if (handle !== this.#handedOut) return false;
        this.reclaim(handle);
        return true;
      },
    });
  }

  /** How many IOs are in flight. */
  get inFlightCount(): number {
    return this.#inFlight.count;
  }

  /** How many IOs are staged. */
  get stagedCount(): number {
    return this.#staged.length;
  }

  /** How many handles are idle. */
  get idleCount(): number {
    return this.#idle.length;
  }

  /** Whether a batch is open. */
  get isInBatch(): boolean {
    return this.#isInBatch;
  }

  /** Whether a handle is handed out. */
  get hasHandedOut(): boolean {
    return this.#handedOut !== null;
  }

  /** How many callers of `acquireAsync` are queued. */
  get acquireQueueLength(): number {
    return this.#acquireQueue.length;
  }

  checkUsable(call: string): void {
    const { runningId } = this.callbacks;
    if (runningId !== 0 || this.#isClosing || this.#words[HEADER.phase] !== PHASE_OPEN) {
      this.#refuse(call);
    }
  }

  /** Whether this thread opened what others attach to. */
  get isOpener(): boolean {
    return this.#words[HEADER.openerBackend] === this.id;
  }

  /** Refuses new IO from now on: here, and everywhere if this is the opener. */
  beginClose(): void {
    this.#isClosing = true;
    if (this.isOpener) Atomics.store(this.#words, HEADER.phase, PHASE_CLOSING);
  }

  #refuse(call: string): never {
    const { runningId } = this.callbacks;
    if (runningId === 0) {
      throw new Deno.errors.BadResource(`Cannot call ${call}(): aio is closed`);
    }
    throw new AioApiError(
      `API violation: ${call}() was called from within the callback ` +
        `"${
          this.callbacks.nameOf(runningId)
        }"; a callback may not wait, start IO or change handles`,
    );
  }

  // --- handles ---

  /** Takes an idle handle; null if there is none. See `AioCore.tryAcquire`. */
  tryAcquire(owner: HandleOwner | null, ret: AioReturn | null): AioHandle | null {
    this.checkUsable("acquire");
    if (this.#staged.length >= SUBMIT_BATCH_COUNT_MAX) this.submitStaged();
    if (this.#handedOut !== null) {
      throw new AioApiError("API violation: Only one IO can be handed out");
    }
    const handle = this.#idle.pop();
    if (handle === undefined) return null;
    if (owner !== null) this.#charge(handle, owner);
    updateState(this.#words, handle.base + HANDLE.state, HANDED_OUT);
    this.#handedOut = handle;
    const local = handle.index - this.#first;
    if (ret !== null) {
      this.#returns[local] = ret;
      ret.result.status = "unknown";
    }
    return handle;
  }

  #charge(handle: AioHandle, owner: HandleOwner): void {
    try {
      owner.remember(handle);
    } catch (error) {
      this.#idle.push(handle);
      throw error;
    }
    this.#owners[handle.index - this.#first] = owner;
  }

  /** Takes an idle handle, waiting for one. See `AioCore.acquire`. */
  acquire(owner: HandleOwner | null, ret: AioReturn | null): AioHandle {
    for (;;) {
      const handle = this.tryAcquire(owner, ret);
      if (handle !== null) return handle;
      this.#waitForFree();
    }
  }

  /** Queues for a handle. See `AioCore.acquireAsync`. */
  acquireAsync<T>(
    use: UseHandle<T>,
    owner: HandleOwner | null,
    ret: AioReturn | null,
  ): Promise<T> {
    this.checkUsable("acquireAsync");
    const result = this.#acquireQueue.enqueue(use, owner, ret);
    if (this.#acquireQueue.length > 0) this.pump.start();
    return result;
  }

  #waitForFree(): void {
    if (this.#reclaimCompleted() > 0) return;
    this.submitStaged();
    if (this.#idle.length > 0) return;
    const handle = this.#inFlight.oldest;
    assert(handle !== null, "no free IOs despite no in-flight IOs");
    this.waiting.waitFor(handle, this.waiting.generationOf(handle.base));
    assert(this.#idle.length > 0, "no idle IO after waiting for IO to terminate");
  }

  /** Reclaims what other threads completed. @returns how many */
  #reclaimCompleted(): number {
    let count = 0;
    for (const handle of this.#handles) {
      if (Atomics.load(this.#words, handle.base + HANDLE.state) !== COMPLETED_SHARED) continue;
      this.reclaim(handle);
      count++;
    }
    return count;
  }

  releaseHandle(handle: AioHandle): void {
    if (handle !== this.#handedOut) throw new AioApiError("release in unexpected state");
    this.reclaim(handle);
  }

  /**
   * What a resource owner does with a handle that it still has when it ends.
   *
   * @param isOnError whether it ends because of an error, when leaks are expected
   */
  releaseFromOwner(handle: AioHandle, isOnError: boolean): void {
    const local = handle.index - this.#first;
    this.#owners[local] = null;
    this.#returns[local] = null;
    const state = this.#words[handle.base + HANDLE.state]!;
    assert(state !== IDLE, "An idle handle is charged to a resource owner");
    if (state === HANDED_OUT) {
      this.reclaim(handle);
      if (!isOnError) this.warn("leaked AIO handle");
    } else if (state <= STAGED) {
      this.submitStaged();
      if (!isOnError) this.warn("AIO handle was not submitted");
    }
  }

  // --- from start to reclaim ---

  stage(handle: AioHandle, submitAtEndOfTurn: boolean): void {
    const { base } = handle;
    this.#checkFileOpen(handle);
    updateState(this.#words, base + HANDLE.state, DEFINED);
    this.#handedOut = null;
    const thrower = this.callbacks.hasStage
      ? this.callbacks.runStage(handle, this.#words, base)
      : 0;
    updateState(this.#words, base + HANDLE.state, STAGED);
    if (thrower !== 0 || this.#needsSynchronousExecution(handle)) {
      // It is over before this call returns, so it does not enter the list of those in flight.
      updateState(this.#words, base + HANDLE.state, SUBMITTED);
      if (thrower === 0) this.performSynchronously(handle);
      else this.#complete(handle, 0, thrower);
    } else {
      this.#staged.push(handle);
      if (submitAtEndOfTurn) this.submitAtEndOfTurn();
      else if (!this.#isInBatch) this.submitStaged();
    }
    if (this.#acquireQueue.length > 0) this.#acquireQueue.serveSoon();
  }

  #checkFileOpen(handle: AioHandle): void {
    const words = this.#words;
    if (words[handle.base + HANDLE.target] !== this.#fileTargetId) return;
    const data = handle.base + HANDLE.targetData;
    const slot = words[data + FILE_TARGET.slot]!;
    if (this.files.isClosing(slot, words[data + FILE_TARGET.slotGeneration]!)) refuseClosed(handle);
  }

  #needsSynchronousExecution(handle: AioHandle): boolean {
    const flags = this.#words[handle.base + HANDLE.flags]!;
    if ((flags & (FLAG_BITS.synchronous | FLAG_BITS.referencesLocal)) !== 0) return true;
    return this.method.needsSynchronousExecution?.(handle) ?? false;
  }

  submitAtEndOfTurn(): void {
    if (this.#isSubmitScheduled) return;
    this.#isSubmitScheduled = true;
    queueMicrotask(() => {
      this.#isSubmitScheduled = false;
      this.submitStaged();
    });
  }

  /** Hands all staged IOs to the method. */
  submitStaged(): void {
    const count = this.#staged.length;
    if (count === 0) return;
    const taken = this.method.submit(this, this.#staged, count);
    assert(taken === count, `Method ${this.method.name} took ${taken} of ${count} staged IOs`);
    this.#staged.length = 0;
  }

  prepareSubmit(handle: AioHandle): void {
    updateState(this.#words, handle.base + HANDLE.state, SUBMITTED, true);
    this.#inFlight.append(handle);
  }

  performSynchronously(handle: AioHandle): void {
    const { base } = handle;
    const isLocal = (this.#words[base + HANDLE.flags]! & FLAG_BITS.referencesLocal) !== 0;
    const result = isLocal && !handle.resolveLocalViews()
      ? -EFAULT
      : performSynchronously(this.libc, this.control, base, handle.iovec);
    this.turn.spend(handle.length);
    this.#complete(handle, result, 0);
  }

  processCompletion(handle: AioHandle, result: number): void {
    this.#complete(handle, result, 0);
  }

  #complete(handle: AioHandle, result: number, thrower: number): void {
    const isOwn = handle.backendId === this.id;
    completeShared(this.callbacks, handle, result, thrower, !isOwn);
    // The issuer makes its own handle idle right away, and wakes the waiters then.
    if (isOwn) this.reclaim(handle);
    else this.#foreign.tell(handle);
  }

  /** The owner is done with a handle: outcome to the issuer, generation moved, idle again. */
  reclaim(handle: AioHandle): void {
    const { words, base } = handle;
    const local = handle.index - this.#first;
    if (handle === this.#handedOut) {
      this.#handedOut = null;
    } else {
      completeLocal(this.callbacks, handle, this.#returns[local]!);
      if (this.#inFlight.remove(handle)) this.pump.noticeCompletion();
    }
    handle.dropLocalViews();
    const owner = this.#owners[local]!;
    if (owner !== null) {
      this.#owners[local] = null;
      owner.forget(handle);
    }
    this.#returns[local] = null;
    const waiters = makeIdle(words, base);
    if (waiters !== 0) this.doorbells.ringAll(waiters);
    this.#idle.push(handle);
    if (this.waiting.awaited > 0) this.waiting.handOutWaiters(local);
    if (this.#acquireQueue.length > 0) this.#acquireQueue.serveSoon();
  }

  handleOf(index: number): AioHandle {
    const handle = this.#handles[index - this.#first] ?? this.#foreignHandles.get(index);
    return handle ?? this.#makeForeignHandle(index);
  }

  #makeForeignHandle(index: number): AioHandle {
    const handle = new AioHandle(this, index);
    this.#foreignHandles.set(index, handle);
    return handle;
  }

  collect(): void {
    this.#foreign.markSeen();
    if (this.#inFlight.count === 0) return;
    this.#reclaimCompleted();
    const { oldest } = this.#inFlight;
    if (oldest !== null) this.method.checkOne?.(this, oldest);
  }

  hasUncollected(): boolean {
    return this.#foreign.hasNew();
  }

  /** Stops writing the outcome of an own IO to its issuer's return slot. */
  abandon(ref: WaitRef): void {
    checkWaitRef(ref, this.control.handleCount);
    const local = ref.index - this.#first;
    const handle = this.#handles[local];
    if (handle === undefined) {
      throw new AioApiError(`Cannot abandon handle ${ref.index}: another backend issued it`);
    }
    if (this.waiting.generationOf(handle.base) === ref.generation) this.#returns[local] = null;
  }

  // --- batches and ends ---

  checkNotInCallback(call: string): void {
    if (this.callbacks.runningId !== 0) this.checkUsable(call);
  }

  /** Opens a batch. See `AioCore.enterBatchmode`. */
  enterBatchmode(): void {
    this.checkUsable("enterBatchmode");
    if (this.#isInBatch) throw new AioApiError("starting batch while batch already in progress");
    this.#isInBatch = true;
  }

  /** Closes a batch and submits it. See `AioCore.exitBatchmode`. */
  exitBatchmode(): void {
    this.checkNotInCallback("exitBatchmode");
    if (!this.#isInBatch) throw new AioApiError("ending batch while no batch is in progress");
    this.submitStaged();
    this.#isInBatch = false;
  }

  /** After an error: no batch is open, nothing is staged. */
  errorCleanup(): void {
    this.checkNotInCallback("errorCleanup");
    this.#isInBatch = false;
    this.submitStaged();
  }

  /** Submits what is staged and waits, blocking, for what is in flight on a descriptor. */
  closingFd(fd: number): void {
    this.checkNotInCallback("closingFd");
    this.submitStaged();
    if (!this.method.waitOnFdBeforeClose) return;
    for (let handle = this.#inFlight.on(fd); handle !== null; handle = this.#inFlight.on(fd)) {
      this.waiting.waitFor(handle, this.waiting.generationOf(handle.base));
    }
  }

  /** Refuses all who queue for a handle. For `close()`. */
  refuseQueued(error: Error): void {
    this.#acquireQueue.refuseAll(error);
  }

  /** The oldest IO in flight; null if there is none. For `close()`. */
  oldestInFlight(): WaitRef | null {
    const handle = this.#inFlight.oldest;
    return handle === null
      ? null
      : { index: handle.index, generation: this.waiting.generationOf(handle.base) };
  }
}

function refuseClosed(handle: AioHandle): never {
  throw new Deno.errors.BadResource(
    `Cannot start IO on ${handle.describeTarget()}: it is closed`,
  );
}
