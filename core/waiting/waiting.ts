/**
 * waiting.ts: how one waits for an IO, blocking or awaiting.
 *
 * The order of reading is the same everywhere: state, then generation, then payload. The other way
 * round a handle could be mistaken for its own next use.
 *
 * @module
 */

import * as addresses from "../../ffi/memory.ts";
import * as claims from "../memory/claim.ts";
import { AioApiError } from "../base/errors.ts";
import type { AioHandle } from "../io/handle.ts";
import * as flags from "../io/handle_flag.ts";
import * as states from "../memory/handle_state.ts";
import { STATE_NAMES } from "../memory/handle_state.ts";
import { LOOK_AGAIN_MS, LOOKS_UNTIL_CHECK } from "../base/pauses.ts";
import type { Pump } from "./pump.ts";
import * as layout from "../memory/shared_memory.ts";
import { BACKEND } from "../memory/shared_memory.ts";
import { boundedMs, type BoundedSleeper } from "./sleep_bound.ts";
import type { CompletionWaiter, Turn } from "./turn.ts";
import type { WakeUps } from "./wake_ups.ts";
import * as waitEvents from "../io/wait_event.ts";
import { WAIT_IO_COMPLETION, WAIT_IO_SUBMIT } from "../io/wait_event.ts";
import * as refs from "../io/wait_ref.ts";
import type { WaitRef } from "../io/wait_ref.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { fromWords } = addresses;
const { claimantOf } = claims;
const { IN_START_CALL } = flags;
const { COMPLETED_LOCAL, COMPLETED_SHARED, IDLE, STAGED, SUBMITTED } = states;
const { HANDLE } = layout;
const { WAIT_NONE } = waitEvents;
const { checkWaitRef } = refs;

/** What waiting needs of the backend. */
export interface WaitingHost extends BoundedSleeper {
  /** How many own IOs are in flight. */
  readonly inFlightCount: number;
  /** Whose turn of the event loop it is. */
  readonly turn: Turn;
  /** Where its sleeps are recorded. */
  readonly wakeUps: WakeUps;
  /** Throws if the call is made from a callback. */
  checkNotInCallback(call: string): void;
  /** The object for a handle, of this backend or another. */
  handleOf(index: number): AioHandle;
  /** Looks for completions while somebody awaits them. */
  readonly pump: Pump;
  /** Takes over from backends whose threads have died. */
  reapDead(): void;
  /** Takes back a handle that another backend completed. */
  reclaim(handle: AioHandle): void;
  /** IOs that are prepared and not submitted. */
  readonly staging: { submit(): void; submitAtEndOfTurn(): void };
}

/** The waiting side of one backend. */
export class Waiting {
  readonly #host: WaitingHost;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #first: number;
  readonly #count: number;
  readonly #waitEventAt: number;
  /** The first waiter of each own handle: nearly always the only one. */
  readonly #waiters: (CompletionWaiter | null)[];
  /** The others, by handle. */
  readonly #moreWaiters = new Map<number, CompletionWaiter[]>();
  /** How many own handles are awaited; looked at for every IO, so a plain field. */
  awaited = 0;

  /**
   * @param host the backend
   */
  constructor(host: WaitingHost) {
    this.#host = host;
    this.#words = host.control.words;
    this.#first = host.id * host.control.handlesPerBackend;
    this.#count = host.control.handlesPerBackend;
    this.#waitEventAt = host.control.backendAt(host.id) + BACKEND.waitEvent;
    this.#waiters = new Array(this.#count).fill(null);
  }

  /** The generation a handle is at. */
  generationOf(base: number): number {
    const low = Atomics.load(this.#words, base + HANDLE.generationLow);
    return fromWords(low, Atomics.load(this.#words, base + HANDLE.generationHigh));
  }

  #isRecycled(base: number, generation: number): boolean {
    const current = this.generationOf(base);
    if (current < generation) refuseFuture(generation, current);
    return current > generation;
  }

  /** See `AioCore.checkDone`. */
  checkDone(ref: WaitRef): boolean {
    this.#host.checkNotInCallback("checkDone");
    return this.isDone(ref);
  }

  /**
   * Whether an IO is done; lets the method look for its completion, and takes it back if it is
   * ours.
   */
  isDone(ref: WaitRef): boolean {
    checkWaitRef(ref, this.#host.control.handleCount);
    const base = this.#host.control.handleAt(ref.index);
    return this.#isOwnOver(ref, base) || this.#look(ref, base);
  }

  #look(ref: WaitRef, base: number): boolean {
    const state = Atomics.load(this.#words, base + HANDLE.state);
    if (this.#isRecycled(base, ref.generation)) return true;
    const handle = this.#host.handleOf(ref.index);
    // A reference names a use that has begun. The handle is idle, so this one never did.
    if (state === IDLE) this.#refuseIdle(handle, ref.generation);
    if (state === SUBMITTED) this.#host.method.checkOne?.(this.#host, handle);
    return this.#noticeDone(handle, ref.generation);
  }

  /**
   * Whether an own handle was taken back and not used again, as nearly all are that are waited for.
   */
  #isOwnOver({ index, generation }: WaitRef, base: number): boolean {
    const isOwn = index >= this.#first && index < this.#first + this.#count;
    // What this thread wrote itself needs no atomic load.
    return isOwn && this.#words[base + HANDLE.generationLow] === generation + 1;
  }

  /** Whether an IO is done by its state; takes the handle back if it is ours. */
  #noticeDone(handle: AioHandle, generation: number): boolean {
    const state = Atomics.load(this.#words, handle.base + HANDLE.state);
    if (this.#isRecycled(handle.base, generation) || state === IDLE) return true;
    if (state !== COMPLETED_SHARED && state !== COMPLETED_LOCAL) return false;
    if (handle.backendId === this.#host.id && state === COMPLETED_SHARED) {
      this.#host.reclaim(handle);
    }
    return true;
  }

  /** Refuses to wait for what the caller itself has not started. */
  #checkWaitable(handle: AioHandle): void {
    const state = this.#words[handle.base + HANDLE.state]!;
    if (handle.backendId !== this.#host.id || state >= STAGED || state === IDLE) return;
    refuseOwn(handle, state);
  }

  /** Refuses to wait for the next use of an idle handle: nobody has begun it. */
  #refuseIdle(handle: AioHandle, generation: number): never {
    if (handle.backendId === this.#host.id) refuseOwn(handle, IDLE);
    throw new AioApiError(
      `IO in wrong state: ${IDLE}: backend ${handle.backendId} has not begun ` +
        `use ${generation} of handle ${handle.index}`,
    );
  }

  /** See `AioCore.waitSync`. */
  waitSync(ref: WaitRef): void {
    this.#host.checkNotInCallback("waitSync");
    if (this.isDone(ref)) return;
    const handle = this.#host.handleOf(ref.index);
    this.#checkWaitable(handle);
    this.#host.staging.submit();
    this.waitFor(handle, ref.generation);
  }

  /** Blocks until an IO that was at least staged, and submitted if it is ours, is done. */
  waitFor(handle: AioHandle, generation: number): void {
    const isOwn = handle.backendId === this.#host.id;
    for (let sleeps = 0; !this.#noticeDone(handle, generation);) {
      // The issuer gets a moment to complete it itself: a busy one is only held up by help.
      const isHelped = (isOwn || sleeps > 0) && this.#help(handle, generation);
      if (isHelped && (isOwn || this.#noticeDone(handle, generation))) continue;
      this.#sleepFor(handle);
      sleeps++;
      if (sleeps % LOOKS_UNTIL_CHECK === 0) this.#host.reapDead();
    }
  }

  /**
   * One step of waiting until any own IO is done.
   *
   * @param handle one that the method can wait for; null if others complete them all
   * @param foreign tells what others completed
   * @param rounds how many steps there were, with this one
   */
  waitForAny(
    handle: AioHandle | null,
    foreign: { sleep(timeoutMs: number): void },
    rounds: number,
  ): void {
    if (handle === null || !this.#help(handle, this.generationOf(handle.base))) {
      this.#setWaitEvent(WAIT_IO_COMPLETION);
      this.#host.wakeUps.blocks();
      foreign.sleep(boundedMs(this.#host, LOOK_AGAIN_MS));
      this.#setWaitEvent(WAIT_NONE);
    }
    // Though the method can wait for that one, a dead thread may have claimed another.
    if (rounds % LOOKS_UNTIL_CHECK === 0) this.#host.reapDead();
  }

  /**
   * Whether the method can bring an IO about: it has it, and no other thread is about to complete
   * it, as the issuer is if it executes it in its start call.
   */
  canHelp(handle: AioHandle): boolean {
    const { words, base } = handle;
    const { method } = this.#host;
    if (method.waitOne === undefined && method.checkOne === undefined) return false;
    if (Atomics.load(words, base + HANDLE.state) !== SUBMITTED) return false;
    if ((words[base + HANDLE.flags]! & IN_START_CALL) !== 0) return false;
    const claimant = claimantOf(words, base);
    return claimant < 0 || claimant === this.#host.id;
  }

  /**
   * @returns whether the method waited for it, or found completions: else this thread has to sleep
   */
  #help(handle: AioHandle, generation: number): boolean {
    if (!this.canHelp(handle)) return false;
    const { method } = this.#host;
    if (method.waitOne === undefined) return this.#lookFor(handle, generation);
    this.#setWaitEvent(WAIT_IO_COMPLETION);
    method.waitOne(this.#host, handle, generation);
    this.#setWaitEvent(WAIT_NONE);
    return true;
  }

  /** @returns whether an IO is done, or any other own one is over */
  #lookFor(handle: AioHandle, generation: number): boolean {
    const before = this.#host.inFlightCount;
    this.#host.method.checkOne!(this.#host, handle);
    return this.#host.inFlightCount < before || this.#noticeDone(handle, generation);
  }

  #sleepFor({ words, base }: AioHandle): void {
    const stateAt = base + HANDLE.state;
    // The bit goes in before the state is looked at again, so that no completion slips through.
    Atomics.or(words, base + HANDLE.waiterMask, 1 << this.#host.id);
    const state = Atomics.load(words, stateAt);
    if (state === COMPLETED_SHARED || state === COMPLETED_LOCAL || state === IDLE) return;
    this.#setWaitEvent(state < SUBMITTED ? WAIT_IO_SUBMIT : WAIT_IO_COMPLETION);
    this.#host.wakeUps.blocks();
    Atomics.wait(words, stateAt, state, boundedMs(this.#host, LOOK_AGAIN_MS));
    this.#setWaitEvent(WAIT_NONE);
  }

  #setWaitEvent(event: number): void {
    this.#words[this.#waitEventAt] = event;
  }

  /** See `AioCore.whenDone`. */
  whenDone(ref: WaitRef, waiter: CompletionWaiter): boolean {
    this.#host.checkNotInCallback("wait");
    checkWaitRef(ref, this.#host.control.handleCount);
    if (this.isStaged(ref)) {
      this.#host.staging.submitAtEndOfTurn();
      this.#await(ref.index - this.#first, waiter);
      return false;
    }
    const { turn } = this.#host;
    if (this.isDone(ref)) {
      if (!turn.isOver()) return true;
      turn.handOut(waiter);
      return false;
    }
    const handle = this.#host.handleOf(ref.index);
    this.#checkWaitable(handle);
    if (handle.backendId !== this.#host.id) return this.#awaitForeign(handle, ref, waiter);
    if (this.#words[handle.base + HANDLE.state] === STAGED) this.#host.staging.submitAtEndOfTurn();
    this.#await(handle.index - this.#first, waiter);
    this.#host.pump.start();
    return false;
  }

  /** The bit goes in before the state is looked at again, so that no completion slips through. */
  #awaitForeign(handle: AioHandle, ref: WaitRef, waiter: CompletionWaiter): boolean {
    Atomics.or(this.#words, handle.base + HANDLE.waiterMask, 1 << this.#host.id);
    if (this.isDone(ref)) {
      this.#host.turn.handOut(waiter);
    } else {
      const { index, generation } = ref;
      this.#host.pump.awaitForeign({ index, generation }, waiter);
    }
    return false;
  }

  /** Whether an own IO was just prepared: there is nothing to look for before it is submitted. */
  isStaged({ index, generation }: WaitRef): boolean {
    if (index < this.#first || index >= this.#first + this.#count) return false;
    const base = this.#host.control.handleAt(index);
    return this.#words[base + HANDLE.state] === STAGED &&
      this.#words[base + HANDLE.generationLow] === generation;
  }

  #await(local: number, waiter: CompletionWaiter): void {
    if (this.#waiters[local] === null) {
      this.#waiters[local] = waiter;
      this.awaited++;
      return;
    }
    const more = this.#moreWaiters.get(local);
    if (more === undefined) this.#moreWaiters.set(local, [waiter]);
    else more.push(waiter);
  }

  /** Tells all waiters of an own handle that its IO is done. */
  handOutWaiters(local: number): void {
    const waiter = this.#waiters[local]!;
    if (waiter === null) return;
    this.#waiters[local] = null;
    this.awaited--;
    const { turn } = this.#host;
    turn.handOut(waiter);
    if (this.#moreWaiters.size === 0) return;
    for (const other of this.#moreWaiters.get(local) ?? []) turn.handOut(other);
    this.#moreWaiters.delete(local);
  }
}

function refuseOwn(handle: AioHandle, state: number): never {
  throw new AioApiError(`waiting for own IO ${handle.index} in wrong state: ${STATE_NAMES[state]}`);
}

function refuseFuture(generation: number, current: number): never {
  throw new RangeError(
    `Cannot wait for generation ${generation} of a handle that is at ${current}: ` +
      "the wait reference is of another aio",
  );
}
