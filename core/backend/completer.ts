/**
 * completer.ts: executes IOs in this thread, and completes them: own ones, and those of other backends.
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
import type { ForeignCompletions } from "../waiting/foreign_completions.ts";
import type { AioHandle } from "../io/handle.ts";
import * as flags from "../io/handle_flag.ts";
import type { InjectionPoints } from "../io/injection.ts";
import type { IoLog } from "../io/io_log.ts";
import { performSynchronously } from "../io/operation.ts";
import * as layout from "../memory/shared_memory.ts";
import { BACKEND, type Control } from "../memory/shared_memory.ts";
import type { Turn } from "../waiting/turn.ts";
import * as waitEvents from "../io/wait_event.ts";
import { waitEventOf } from "../io/wait_event.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { claimantOf, tryClaimSubmitted } = claims;
const { completeShared, NOBODY_THREW, publishResult, storeRawResult } = completion;
const { COUNTER } = counting;
const { FLAG_BITS } = flags;
const { HANDLE } = layout;
const { WAIT_NONE } = waitEvents;

/** What completing needs of the backend. */
export interface CompleterHost {
  /** This thread's backend. */
  readonly id: number;
  /** Shared memory. */
  readonly control: Control;
  /** The C library. */
  readonly libc: Libc;
  /** The callbacks by id. */
  readonly callbacks: CallbackTable;
  /** Where tests step in. */
  readonly injections: InjectionPoints;
  /** What this backend has done so far. */
  readonly counters: Float64Array;
  /** Takes lines about each IO; null: nobody wants any. */
  readonly log: IoLog | null;
  /** Whose turn of the event loop it is. */
  readonly turn: Turn;
  /** Takes back an own handle whose result is published. */
  recycle(handle: AioHandle): void;
}

/** The completing side of one backend. */
export class Completer {
  readonly #host: CompleterHost;
  readonly #foreign: ForeignCompletions;
  readonly #id: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #waitEventAt: number;

  /**
   * Made by the core, not by users.
   *
   * @param host the backend
   * @param foreign tells other backends
   */
  constructor(host: CompleterHost, foreign: ForeignCompletions) {
    this.#host = host;
    this.#foreign = foreign;
    this.#id = host.id;
    this.#words = host.control.words;
    this.#waitEventAt = host.control.backendAt(host.id) + BACKEND.waitEvent;
    this.#words[this.#waitEventAt] = WAIT_NONE;
  }

  /** See `MethodBackend.claim`. */
  claim(handle: AioHandle): boolean {
    return tryClaimSubmitted(handle.words, handle.base, this.#id);
  }

  /** See `MethodBackend.performSynchronously`. */
  performSynchronously(handle: AioHandle): void {
    const { base } = handle;
    const words = this.#words;
    const { libc, control, turn } = this.#host;
    this.#claimForeign(handle);
    words[this.#waitEventAt] = waitEventOf(words[base + HANDLE.operation]!);
    const isLocal = (words[base + HANDLE.flags]! & FLAG_BITS.referencesLocal) !== 0;
    const result = isLocal && !handle.iovec.resolveLocal()
      ? -EFAULT
      : performSynchronously(libc, control, base, handle.iovec.bytes);
    words[this.#waitEventAt] = WAIT_NONE;
    turn.spend(handle.length);
    this.complete(handle, result, NOBODY_THREW);
  }

  /** See `MethodBackend.processCompletion`. */
  process(handle: AioHandle, result: number): void {
    this.#claimForeign(handle);
    this.complete(handle, result, NOBODY_THREW);
  }

  /** See `MethodBackend.storeCompletion`. */
  store(handle: AioHandle, result: number): void {
    this.#claimForeign(handle);
    storeRawResult(handle, result, handle.backendId !== this.#id);
  }

  /** See `MethodBackend.publishCompletion`. */
  publish(handle: AioHandle): void {
    const { callbacks, injections, log, turn } = this.#host;
    const isOwn = handle.backendId === this.#id;
    if (isOwn) turn.spendCompleted(handle.length);
    publishResult(callbacks, handle, NOBODY_THREW, !isOwn, injections, log);
    this.finish(handle);
  }

  /** So that it is known whose IO goes on elsewhere if this thread dies half-way. */
  #claimForeign(handle: AioHandle): void {
    if (handle.backendId === this.#id) return;
    const { words, base } = handle;
    const isClaimed = claimantOf(words, base) === this.#id ||
      tryClaimSubmitted(words, base, this.#id);
    assert(isClaimed, "An IO is completed by two threads");
  }

  /** From submitted to completedShared, or idle if it is an own one. */
  complete(handle: AioHandle, result: number, thrower: number): void {
    const { callbacks, injections, log } = this.#host;
    const isForeign = handle.backendId !== this.#id;
    completeShared(callbacks, handle, result, thrower, isForeign, injections, log);
    this.finish(handle);
  }

  /**
   * After completedShared: the issuer takes its own handle back right away, and wakes the waiters
   * then; another one tells it.
   */
  finish(handle: AioHandle): void {
    const { counters } = this.#host;
    if (handle.backendId === this.#id) {
      counters[COUNTER.completedBySelf]!++;
      this.#host.recycle(handle);
    } else {
      counters[COUNTER.completedForOthers]!++;
      this.#foreign.tell(handle);
    }
  }
}
