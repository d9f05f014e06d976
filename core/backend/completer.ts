/**
 * completer.ts: what every thread can do that completes IO, its own and that of other backends. A
 * backend (backend.ts) issues IO as well; a helper (life/helper_thread.ts) does not.
 *
 * @module
 */

import { EFAULT } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/libc.ts";
import { assert } from "../base/assert.ts";
import type { CallbackTable } from "../io/callback.ts";
import * as claims from "../memory/claim.ts";
import * as completion from "../io/completion_steps.ts";
import * as counting from "../io/counters.ts";
import { countersOf } from "../io/counters.ts";
import type { Doorbells } from "../waiting/doorbell.ts";
import { ForeignCompletions } from "../waiting/foreign_completions.ts";
import type { AioHandle } from "../io/handle.ts";
import * as flags from "../io/handle_flag.ts";
import * as states from "../memory/handle_state.ts";
import { InjectionPoints } from "../io/injection.ts";
import type { IoLog } from "../io/io_log.ts";
import { performSynchronously } from "../io/operation.ts";
import * as layout from "../memory/shared_memory.ts";
import { BACKEND, type Control } from "../memory/shared_memory.ts";
import { Turn } from "../waiting/turn.ts";
import { WakeUps } from "../waiting/wake_ups.ts";
import * as waitEvents from "../io/wait_event.ts";
import { waitEventOf } from "../io/wait_event.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { claimantOf, tryClaim, tryClaimSubmitted } = claims;
const { completeShared, NOBODY_THREW, publishResult, storeRawResult } = completion;
const { COUNTER } = counting;
const { FLAG_BITS } = flags;
const { HANDLE } = layout;
const { SUBMITTED, updateState } = states;
const { WAIT_NONE } = waitEvents;

/** What a thread that completes IO is made of. */
export interface CompleterParts {
  /** Its record. */
  readonly id: number;
  /** Shared memory. */
  readonly control: Control;
  /** The C library, as this thread opened it. */
  readonly libc: Libc;
  /** The callbacks by id. */
  readonly callbacks: CallbackTable;
  /** Wakes other backends. */
  readonly doorbells: Doorbells;
  /** Takes lines about each IO; null: nobody wants any. */
  readonly log: IoLog | null;
  /** Lets the rest of the event loop run, then resolves. */
  readonly goAround: () => Promise<unknown>;
}

/** A thread that executes and completes IO: a backend, or one that only helps backends. */
export abstract class Completer {
  readonly id: number;
  readonly control: Control;
  readonly libc: Libc;
  readonly callbacks: CallbackTable;
  /** Wakes other backends, and this one. */
  readonly doorbells: Doorbells;
  /** Where tests step in. */
  readonly injections: InjectionPoints;
  /** What this thread has done so far. */
  readonly counters: Float64Array;
  /** Takes lines about each IO; null: nobody wants any. */
  readonly log: IoLog | null;
  readonly wakeUps: WakeUps;
  /** Limits how long this module runs before the rest of the event loop gets a turn. */
  readonly turn: Turn;
  protected readonly foreign: ForeignCompletions;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #waitEventAt: number;

  constructor({ id, control, libc, callbacks, doorbells, log, goAround }: CompleterParts) {
    this.id = id;
    this.control = control;
    this.libc = libc;
    this.callbacks = callbacks;
    this.doorbells = doorbells;
    this.injections = new InjectionPoints(callbacks);
    this.counters = countersOf(control, id).fill(0);
    this.log = log;
    this.wakeUps = new WakeUps(this.counters, log);
    this.turn = new Turn(goAround, this.wakeUps);
    this.foreign = new ForeignCompletions(control, doorbells, id);
    this.#words = control.words;
    this.#waitEventAt = control.backendAt(id) + BACKEND.waitEvent;
    this.#words[this.#waitEventAt] = WAIT_NONE;
  }

  /** Takes back an own handle whose result is published. */
  abstract recycle(handle: AioHandle): void;

  /** See {@linkcode MethodBackend.claim}. */
  claim(handle: AioHandle, generationLow?: number): boolean {
    return tryClaimSubmitted(handle.words, handle.base, this.id, generationLow);
  }

  /** See {@linkcode MethodBackend.performSynchronously}. */
  performSynchronously(handle: AioHandle): void {
    const { base } = handle;
    const words = this.#words;
    this.#claimForeign(handle);
    words[this.#waitEventAt] = waitEventOf(words[base + HANDLE.operation]!);
    const isLocal = (words[base + HANDLE.flags]! & FLAG_BITS.referencesLocal) !== 0;
    const result = isLocal && !handle.iovec.resolveLocal()
      ? -EFAULT
      : performSynchronously(this.libc, this.control, base, handle.iovec.bytes);
    words[this.#waitEventAt] = WAIT_NONE;
    this.turn.spend(handle.length);
    this.complete(handle, result, NOBODY_THREW);
  }

  /** See {@linkcode MethodBackend.processCompletion}. */
  processCompletion(handle: AioHandle, result: number): void {
    this.#claimForeign(handle);
    this.complete(handle, result, NOBODY_THREW);
  }

  /** See {@linkcode MethodBackend.storeCompletion}. */
  storeCompletion(handle: AioHandle, result: number): void {
    this.#claimForeign(handle);
    storeRawResult(handle, result, handle.backendId !== this.id);
  }

  /** See {@linkcode MethodBackend.publishCompletion}. */
  publishCompletion(handle: AioHandle): void {
    const { callbacks, injections, log } = this;
    const isOwn = handle.backendId === this.id;
    if (isOwn) this.turn.spendCompleted(handle.length);
    publishResult(callbacks, handle, NOBODY_THREW, !isOwn, injections, log);
    this.deliver(handle);
  }

  /** So that it is known whose IO goes on elsewhere if this thread dies half-way. */
  #claimForeign(handle: AioHandle): void {
    if (handle.backendId === this.id) return;
    const { words, base } = handle;
    const isClaimed = claimantOf(words, base) === this.id ||
      tryClaimSubmitted(words, base, this.id);
    assert(isClaimed, "An IO is completed by two threads");
  }

  /**
   * Completes an own staged IO without executing it. It is claimed before it counts as submitted: a
   * thread that waits for it could execute it otherwise.
   */
  protected completeStaged(handle: AioHandle, result: number, thrower: number): void {
    const { words, base } = handle;
    tryClaim(words, base, this.id, words[base + HANDLE.generationLow]!);
    updateState(words, base + HANDLE.state, SUBMITTED);
    this.complete(handle, result, thrower);
  }

  /** From submitted to completedShared, or idle if it is an own one. */
  complete(handle: AioHandle, result: number, thrower: number): void {
    const { callbacks, injections, log } = this;
    const isForeign = handle.backendId !== this.id;
    completeShared(callbacks, handle, result, thrower, isForeign, injections, log);
    this.deliver(handle);
  }

  /**
   * After completedShared: the issuer takes its own handle back right away, and wakes the waiters
   * then; another one tells it.
   */
  deliver(handle: AioHandle): void {
    if (handle.backendId === this.id) {
      this.counters[COUNTER.completedBySelf]!++;
      this.recycle(handle);
    } else {
      this.counters[COUNTER.completedForOthers]!++;
      this.foreign.tell(handle);
    }
  }
}
