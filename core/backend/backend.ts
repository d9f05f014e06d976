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

import { ECANCELED } from "../../ffi/errno.ts";
import { AcquireQueue, type UseHandle } from "./acquire_queue.ts";
import type { Arena } from "../memory/arena.ts";
import { assert } from "../base/assert.ts";
import type { BackendParts } from "./backend_parts.ts";
import { refuseIfClosing } from "../files/closing_mark.ts";
import { Completer } from "./completer.ts";
import * as completion from "../io/completion_steps.ts";
import * as counting from "../io/counters.ts";
import { goAround } from "../waiting/event_loop.ts";
import { AioApiError } from "../base/errors.ts";
import { type AioHandle, type HandleHost, type HandleOwner, makeHandle } from "../io/handle.ts";
import * as flags from "../io/handle_flag.ts";
import * as states from "../memory/handle_state.ts";
import { InFlight } from "./in_flight.ts";
import type { MemoryMap } from "../memory/memory_map.ts";
import type { IoMethod, MethodBackend, ReapingFrom } from "../io/method.ts";
import type { OpenFileTable } from "../files/file_table.ts";
import type { EffectiveOptions } from "../base/options.ts";
import { Pump, type PumpHost } from "../waiting/pump.ts";
import type { AioReturn } from "../io/result.ts";
import * as layout from "../memory/shared_memory.ts";
import { hasOtherThreads, PHASE_CLOSING } from "../memory/shared_memory.ts";
import { Staging, type StagingHost } from "./staging.ts";
import type { TargetTable } from "../io/target.ts";
import * as refs from "../io/wait_ref.ts";
import type { WaitRef } from "../io/wait_ref.ts";
import { Waiting, type WaitingHost } from "../waiting/waiting.ts";
import { WordWaits } from "../waiting/words.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { completeLocal, makeIdle, NOBODY_THREW } = completion;
const { COUNTER } = counting;
const { FLAG_BITS } = flags;
const { COMPLETED_SHARED, DEFINED, HANDED_OUT, IDLE, STAGED, SUBMITTED, updateState } = states;
const { HANDLE, HEADER, PHASE_OPEN } = layout;
const { checkWaitRef } = refs;

/** One thread's side of the subsystem. */
export class Backend extends Completer
  implements HandleHost, WaitingHost, PumpHost, StagingHost, MethodBackend {
  readonly options: EffectiveOptions;
  readonly layerModules: MethodBackend["layerModules"];
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
  /** How one waits for its IOs. */
  readonly waiting: Waiting;
  /** How one waits for words of shared memory. */
  readonly wordWaits: WordWaits;
  /** Looks for completions while somebody awaits them. */
  readonly pump: Pump;
  /** IOs that are prepared and not submitted. */
  readonly staging: Staging;
  /** The tasks that await a handle. */
  readonly acquireQueue: AcquireQueue;
  /** Takes over from backends whose threads have died; whoever made this one says how. */
  reapDead: (from?: ReapingFrom) => void = () => {};
  /** Whether there are any, not wholly taken over from; likewise. */
  hasDead: () => boolean = () => false;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly lastFileTargetId: number;
  readonly #first: number;
  readonly #handles: AioHandle[];
  readonly #idle: AioHandle[];
  readonly #foreignHandles = new Map<number, AioHandle>();
  readonly #inFlight: InFlight;
  readonly #returns: (AioReturn | null)[];
  readonly #owners: (HandleOwner | null)[];
  #handedOut: AioHandle | null = null;
  #isClosing = false;
  /** Whether the method has a say in which IO is executed in its start call. */
  readonly #isMethodAsked: boolean;

  /** Made by the core: `parts` is what the opener or attacher put together. */
  constructor(parts: BackendParts) {
    super({ ...parts, goAround });
    this.options = parts.options;
    this.layerModules = parts.layerModules;
    this.targets = parts.targets;
    this.memory = parts.memory;
    this.arena = parts.arena;
    this.files = parts.files;
    this.method = parts.method;
    this.#isMethodAsked = parts.method.needsSynchronousExecution !== undefined;
    this.warn = parts.warn;
    this.lastFileTargetId = parts.targets.lastFileId;
    this.#words = parts.control.words;
    const count = parts.control.handlesPerBackend;
    this.#first = this.id * count;
    this.#handles = Array.from({ length: count }, (_, i) => makeHandle(this, this.#first + i));
    this.#idle = [...this.#handles].reverse();
    this.#inFlight = new InFlight(this.#handles);
    this.#returns = new Array(count).fill(null);
    this.#owners = new Array(count).fill(null);
    this.staging = new Staging(this);
    this.waiting = new Waiting(this);
    this.wordWaits = new WordWaits(this);
    this.pump = new Pump(this);
    this.acquireQueue = new AcquireQueue({
      tryAcquire: (owner, ret) => this.#handedOut === null ? this.tryAcquire(owner, ret) : null,
      giveBack: (handle) => {
        if (handle !== this.#handedOut) return false;
        this.recycle(handle);
        return true;
      },
      // Even in a batch: with all handles staged no task would get on.
      hasNone: () => {
        this.staging.submitAtEndOfTurn();
        this.pump.start();
      },
    });
  }

  /** How many IOs are in flight. */
  get inFlightCount(): number {
    return this.#inFlight.count;
  }

  /** How many handles are idle. */
  get idleCount(): number {
    return this.#idle.length;
  }

  /** Whether any other thread is attached. */
  get hasOthers(): boolean {
    return hasOtherThreads(this.control, this.id);
  }

  get completesHere(): boolean {
    return this.injections.hasCompletionHook;
  }

  /** Whether a handle is handed out. */
  get hasHandedOut(): boolean {
    return this.#handedOut !== null;
  }

  /** Whether a handle may be taken at once: nobody has one in hand, or queues for one. */
  get mayAcquire(): boolean {
    return this.#handedOut === null && this.acquireQueue.length === 0;
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
      `API violation: ${call}() was called from within ${this.callbacks.describeRunning()}; ` +
        "a callback may not wait, start IO or change handles",
    );
  }

  checkNotInCallback(call: string): void {
    if (this.callbacks.runningId !== 0) this.checkUsable(call);
  }

  // --- handles ---

  /** Takes an idle handle; null if there is none. See `AioCore.tryAcquire`. */
  tryAcquire(owner: HandleOwner | null, ret: AioReturn | null): AioHandle | null {
    this.checkUsable("acquire");
    if (this.staging.isFull) this.staging.submit();
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
    signal?: AbortSignal,
  ): Promise<T> {
    this.checkUsable("acquireAsync");
    return this.acquireQueue.enqueue(use, owner, ret, signal);
  }

  /** Waits for any own IO to be over, not for a certain one. */
  #waitForFree(): void {
    this.counters[COUNTER.handleWaits]!++;
    const isHelpable = (handle: AioHandle) => this.waiting.canHelp(handle);
    for (let rounds = 1;; rounds++) {
      this.foreign.markSeen();
      if (this.reclaimCompleted() > 0) return;
      this.staging.submit();
      if (this.#idle.length > 0) return;
      assert(this.#inFlight.count > 0, "no free IOs despite no in-flight IOs");
      this.log?.say("debug2", `waiting for a free handle: ${this.#inFlight.count} in flight`);
      this.waiting.waitForAny(this.#inFlight.find(isHelpable), this.foreign, rounds);
    }
  }

  // One function each for all times: this is on the way of each IO that another thread completes.
  readonly #isCompletedShared = ({ base }: AioHandle): boolean =>
    Atomics.load(this.#words, base + HANDLE.state) === COMPLETED_SHARED;
  readonly #reclaim = (handle: AioHandle): void => this.reclaim(handle);

  /**
   * Takes back what other threads completed, told of or not, the oldest first.
   *
   * @returns how many
   */
  reclaimCompleted(): number {
    return this.#inFlight.takeEach(this.#isCompletedShared, this.#reclaim);
  }

  releaseHandle(handle: AioHandle): void {
    if (handle !== this.#handedOut) throw new AioApiError("release in unexpected state");
    this.recycle(handle);
  }

  /** The memory of the issuer's return slot is about to go: its outcome is no longer written. */
  dropReturn(handle: AioHandle): void {
    this.#returns[handle.index - this.#first] = null;
  }

  /**
   * What an owner that ends does with a handle that it still has; on an error leaks are expected.
   */
  releaseFromOwner(handle: AioHandle, isOnError: boolean): void {
    this.#owners[handle.index - this.#first] = null;
    const state = this.#words[handle.base + HANDLE.state]!;
    assert(state !== IDLE, "An idle handle is charged to a resource owner");
    if (state === HANDED_OUT) {
      this.recycle(handle);
      if (!isOnError) this.warn("leaked AIO handle");
    } else if (state <= STAGED) {
      this.staging.submit();
      if (!isOnError) this.warn("AIO handle was not submitted");
    }
  }

  // --- from start to reclaim ---

  stage(handle: AioHandle, submitAtEndOfTurn: boolean): void {
    const words = this.#words;
    const { base } = handle;
    const target = words[base + HANDLE.target]!;
    if (target > 0 && target <= this.lastFileTargetId) this.files.checkOpen(handle);
    // A plain load is enough: closing_fd.ts.
    if (words[HEADER.closings] !== 0) refuseIfClosing(this.control, handle);
    updateState(words, base + HANDLE.state, DEFINED);
    this.#handedOut = null;
    let thrower = NOBODY_THREW;
    if (this.callbacks.hasStage) thrower = this.callbacks.runStage(handle, words, base);
    updateState(words, base + HANDLE.state, STAGED);
    if (this.injections.count > 0 && thrower === NOBODY_THREW) {
      thrower = this.injections.run("aio-after-staging", handle, 0) === null ? 0 : NOBODY_THREW;
    }
    const reason = thrower === NOBODY_THREW ? this.#synchronousReason(handle) : 0;
    this.counters[COUNTER.started]!++;
    this.log?.io("debug3", handle, `staged (synchronous: ${reason !== 0})`);
    if (thrower !== NOBODY_THREW) {
      this.completeStaged(handle, 0, thrower);
    } else if (reason !== 0) {
      // It is over before this call returns, so it does not enter the list of those in flight.
      updateState(words, base + HANDLE.state, SUBMITTED);
      this.counters[reason]!++;
      this.performSynchronously(handle);
    } else {
      this.staging.add(handle, submitAtEndOfTurn);
    }
    if (this.acquireQueue.length > 0) this.acquireQueue.serveSoon();
  }

  /** @returns the counter of why an IO is executed in its start call; 0: it is not */
  #synchronousReason(handle: AioHandle): number {
    const flags = this.#words[handle.base + HANDLE.flags]! & ~FLAG_BITS.buffered;
    if (flags === 0 && !this.#isMethodAsked) return 0;
    if ((flags & FLAG_BITS.synchronous) !== 0) return COUNTER.synchronousByFlag;
    if ((flags & FLAG_BITS.referencesLocal) !== 0) return COUNTER.synchronousByLocalMemory;
    const isWanted = this.method.needsSynchronousExecution?.(handle) ?? false;
    return isWanted ? COUNTER.synchronousByMethod : 0;
  }

  prepareSubmit(handle: AioHandle): void {
    const { base } = handle;
    // Without a barrier, which costs 2 % of a cached read: the method's hand-over is one.
    updateState(this.#words, base + HANDLE.state, SUBMITTED);
    this.#inFlight.append(handle);
    this.log?.io("debug3", handle, "submitted");
    // A task that awaited it while it was staged found nothing in flight to look for.
    if (this.waiting.awaited > 0 || this.acquireQueue.length > 0) this.pump.start();
    // A thread that waited for it to be submitted can help from now on.
    if (this.#words[base + HANDLE.waiterMask] !== 0) {
      Atomics.notify(this.#words, base + HANDLE.state);
    }
  }

  keepLooking(): void {
    this.pump.start();
  }

  reclaim(handle: AioHandle): void {
    this.counters[COUNTER.completedByOthers]!++;
    this.recycle(handle);
  }

  /** The owner is done with a handle: outcome to the issuer, generation moved, idle again. */
  override recycle(handle: AioHandle): void {
    const { words, base } = handle;
    const local = handle.index - this.#first;
    if (handle === this.#handedOut) {
      this.#handedOut = null;
    } else {
      completeLocal(this.callbacks, handle, this.#returns[local]!, this.injections, this.counters);
      if (this.#inFlight.remove(handle)) this.pump.noticeCompletion();
    }
    this.log?.reclaiming(handle, this.#returns[local]?.result ?? this.callbacks.localResult);
    handle.iovec.dropLocal();
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
    if (this.acquireQueue.length > 0) this.acquireQueue.serveSoon();
  }

  handleOf(index: number): AioHandle {
    const handle = this.#handles[index - this.#first] ?? this.#foreignHandles.get(index);
    return handle ?? this.#makeForeignHandle(index);
  }

  #makeForeignHandle(index: number): AioHandle {
    const handle = makeHandle(this, index);
    this.#foreignHandles.set(index, handle);
    return handle;
  }

  collect(): void {
    if (this.foreign.hasNew()) {
      this.foreign.markSeen();
      if (this.#inFlight.count > 0) this.reclaimCompleted();
    }
    const { oldest } = this.#inFlight;
    if (oldest !== null) this.method.checkOne?.(this, oldest);
  }

  hasUncollected(): boolean {
    return this.foreign.hasNew() || (this.method.hasCompletions?.(this) ?? false);
  }

  /** Stops writing the outcome of an own IO to its issuer's return slot. */
  abandon(ref: WaitRef): void {
    const { base } = this.#ownHandle(ref, "abandon");
    const isPresent = this.waiting.generationOf(base) === ref.generation;
    if (isPresent) this.#returns[ref.index - this.#first] = null;
  }

  /** Has an own IO given up. See `AioCore.cancel`. */
  cancel(ref: WaitRef): void {
    const handle = this.#ownHandle(ref, "cancel");
    if (this.waiting.generationOf(handle.base) !== ref.generation) return;
    const state = Atomics.load(this.#words, handle.base + HANDLE.state);
    if (state === SUBMITTED) this.method.cancelOne?.(this, handle);
    else if (state === STAGED && this.staging.remove(handle)) {
      this.completeStaged(handle, -ECANCELED, NOBODY_THREW);
    }
  }

  #ownHandle(ref: WaitRef, call: string): AioHandle {
    checkWaitRef(ref, this.control.handleCount);
    const handle = this.#handles[ref.index - this.#first];
    if (handle !== undefined) return handle;
    throw new AioApiError(`Cannot ${call} handle ${ref.index}: another backend issued it`);
  }

  /** The oldest IO in flight; null if there is none. For `close()`. */
  oldestInFlight(): WaitRef | null {
    const handle = this.#inFlight.oldest;
    if (handle === null) return null;
    this.log?.io("debug2", handle, `waits for it at shutdown: ${this.#inFlight.count} in flight`);
    return { index: handle.index, generation: this.waiting.generationOf(handle.base) };
  }
}
