/**
 * staging.ts: IOs that are prepared and not submitted, and the batch mode that keeps them so.
 *
 * @module
 */

import { assert } from "../base/assert.ts";
import { COUNTER } from "../io/counters.ts";
import { AioApiError } from "../base/errors.ts";
import type { AioHandle } from "../io/handle.ts";
import type { IoLog } from "../io/io_log.ts";
import { type IoMethod, type MethodBackend, SUBMIT_BATCH_COUNT_MAX } from "../io/method.ts";
import { refusePromise } from "../base/promise.ts";

/** What staging needs of the backend. */
export interface StagingHost extends MethodBackend {
  /** How IO is executed. */
  readonly method: IoMethod;
  /** Takes lines about each IO; null: nobody wants any. */
  readonly log: IoLog | null;
  /** Throws if the call may not be made now: from a callback, or after `close()`. */
  checkUsable(call: string): void;
  /** Throws if the call is made from a callback. */
  checkNotInCallback(call: string): void;
}

/** The staged IOs of one backend. */
export class Staging {
  readonly #host: StagingHost;
  /** As long as it can get, and never shortened: an array that is emptied allocates again. */
  readonly #handles: AioHandle[] = new Array(SUBMIT_BATCH_COUNT_MAX);
  #count = 0;
  #isInBatch = false;
  #isSubmitScheduled = false;

  /**
   * @param host the backend
   */
  constructor(host: StagingHost) {
    this.#host = host;
  }

  /** How many IOs are staged. */
  get count(): number {
    return this.#count;
  }

  /** Whether a batch is open. */
  get isInBatch(): boolean {
    return this.#isInBatch;
  }

  /** Whether no more IO fits before what is staged was submitted. */
  get isFull(): boolean {
    return this.#count >= SUBMIT_BATCH_COUNT_MAX;
  }

  /** Takes a staged IO; it is submitted now, at the end of this turn, or with its batch. */
  add(handle: AioHandle, submitAtEndOfTurn: boolean): void {
    this.#handles[this.#count++] = handle;
    if (submitAtEndOfTurn) this.submitAtEndOfTurn();
    else if (!this.#isInBatch) this.submit();
  }

  /** Takes an IO back that was not submitted yet. @returns whether it was there */
  remove(handle: AioHandle): boolean {
    const at = this.#handles.indexOf(handle);
    if (at < 0 || at >= this.#count) return false;
    this.#handles.copyWithin(at, at + 1, this.#count);
    this.#count--;
    return true;
  }

  /** Has everything submitted by a microtask. */
  submitAtEndOfTurn(): void {
    if (this.#isSubmitScheduled) return;
    this.#isSubmitScheduled = true;
    queueMicrotask(this.#submitScheduled);
  }

  /** One function for all turns. */
  readonly #submitScheduled = (): void => {
    this.#isSubmitScheduled = false;
    this.submit();
  };

  /** Hands everything to the method. */
  submit(): void {
    const count = this.#count;
    if (count === 0) return;
    const { method, counters, log } = this.#host;
    counters[COUNTER.submissions]!++;
    log?.say("debug4", count === 1 ? "submitting 1 IO" : `submitting ${count} IOs`);
    let taken: number;
    try {
      taken = method.submit(this.#host, this.#handles, count);
    } catch (error) {
      this.#dropSubmitted();
      throw error;
    }
    assert(taken === count, `Method ${method.name} took ${taken} of ${count} staged IOs`);
    assert(this.#count === count, "An IO was staged while others were being submitted");
    this.#count = 0;
  }

  /** After a submit that failed half-way: what it took is not handed to the method again. */
  #dropSubmitted(): void {
    const left = this.#handles.slice(0, this.#count).filter(({ state }) => state === "staged");
    for (const [i, handle] of left.entries()) this.#handles[i] = handle;
    this.#count = left.length;
  }

  /** Opens a batch. See `AioCore.enterBatchmode`. */
  enterBatchmode(): void {
    this.#host.checkUsable("enterBatchmode");
    if (this.#isInBatch) throw new AioApiError("starting batch while batch already in progress");
    this.#isInBatch = true;
  }

  /** Closes a batch and submits it. See `AioCore.exitBatchmode`. */
  exitBatchmode(): void {
    this.#host.checkNotInCallback("exitBatchmode");
    if (!this.#isInBatch) throw new AioApiError("ending batch while no batch is in progress");
    // Whatever becomes of the submit, the batch is over.
    this.#isInBatch = false;
    this.submit();
  }

  /** Runs a function in a batch. See `AioCore.batch`. */
  run<T>(fn: () => T): T {
    this.enterBatchmode();
    try {
      const value = fn();
      refusePromise(
        value,
        "Cannot batch an asynchronous function: await after aio.batch(), not in it",
      );
      return value;
    } finally {
      if (this.#isInBatch) this.exitBatchmode();
    }
  }

  /** After an error: no batch is open, nothing is staged. */
  errorCleanup(): void {
    this.#host.checkNotInCallback("errorCleanup");
    this.#isInBatch = false;
    this.submit();
  }
}
