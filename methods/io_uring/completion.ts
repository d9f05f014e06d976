/**
 * io_uring/completion.ts: how a thread takes completions: of its own ring, of other backends'
 * rings, and of those that dead threads left.
 *
 * @module
 */

import type { AioHandle } from "../../core/io/handle.ts";
import * as claims from "../../core/memory/claim.ts";
import * as states from "../../core/memory/handle_state.ts";
import type { MethodBackend, ReapingFrom } from "../../core/io/method.ts";
import { LOOK_AGAIN_MS } from "../../core/base/pauses.ts";
import * as layout from "../../core/memory/shared_memory.ts";
import { BACKEND } from "../../core/memory/shared_memory.ts";
import { sleepMs } from "../../core/base/sleep.ts";
import { ECANCELED, EFAULT, EINTR } from "../../ffi/errno.ts";
import type { UringCalls } from "../../ffi/uring_calls.ts";
import { ENTER_GETEVENTS } from "../../ffi/uring_layout.ts";
import { SLOT, slotAt } from "./memory.ts";
import { CompletionLocks, withCompletionLock } from "../completion_lock.ts";
import { TakenCompletions } from "../taken_completions.ts";
import { type Completion, NO_HANDLE, Ring } from "./ring.ts";
import { closeRing, isSpare, letGoOfRing } from "./setup.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { isClaimedByOther } = claims;
const { SUBMITTED } = states;
const { HANDLE } = layout;

const CANCEL_ATTEMPTS_MAX = 1000;
const CANCEL_LOOKS_MAX = 100;

/** What comes back in a thread's ring because it died. */
const DEATH_ERRORS: readonly number[] = [-ECANCELED, -EFAULT, -EINTR];

/**
 * An awaiting thread leaves such an IO so often to an issuer that lives. It looks once a
 * millisecond, and a thread that is dying needs a few.
 */
const LEAVES_MAX = 100;

/**
 * Says that the issuer wants an IO given up: in a word that says so of this use of the handle only.
 */
export function askCancel({ words, base }: AioHandle): void {
  words[base + HANDLE.method] = words[base + HANDLE.generationLow]!;
}

/** Whether an IO ended because its issuer wanted that. */
function isGivenUp({ words, base }: AioHandle, result: number): boolean {
  if (result !== -ECANCELED && result !== -EINTR) return false;
  const low = words[base + HANDLE.generationLow]!;
  return low !== 0 && words[base + HANDLE.method] === low;
}

/** The completions of all rings, as one backend takes them. */
export class UringCompletions {
  readonly #backend: MethodBackend;
  readonly #calls: UringCalls;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #locks: CompletionLocks;
  readonly #rings: (Ring | null)[] = [];
  readonly #completion: Completion = { userDataLow: 0, userDataHigh: 0, result: 0 };
  readonly #taken: TakenCompletions;
  /** Executes an own IO again that the kernel gave up by itself; the submitting side sets it. */
  again: (handle: AioHandle) => void = (handle) => this.#backend.performSynchronously(handle);
  /** IOs that the kernel gave up by itself. */
  readonly #refused: AioHandle[] = [];
  /** How often in a row an IO was left in a ring. */
  #leaves = 0;

  /**
   * For a backend, whether it has a ring of its own or not.
   *
   * @param backend takes them
   * @param calls of the system
   */
  constructor(backend: MethodBackend, calls: UringCalls) {
    this.#backend = backend;
    this.#calls = calls;
    this.#words = backend.control.words;
    this.#locks = new CompletionLocks(backend);
    this.#taken = new TakenCompletions(backend);
  }

  /** Says that a ring is its backend's, which keeps one object of it. */
  adopt(id: number, ring: Ring): void {
    this.#rings[id] = ring;
  }

  /** The ring of a backend; null if it has none. The caller holds its lock, so that it stays. */
  #ringOf(id: number): Ring | null {
    const slot = slotAt(this.#backend.control, id);
    if (Atomics.load(this.#words, slot + SLOT.fd) === 0) return null;
    const known = this.#rings[id] ?? null;
    if (known !== null) return known;
    const ring = new Ring(this.#backend.control, id);
    this.#rings[id] = ring;
    return ring;
  }

  /**
   * Takes what the kernel has done of the own ring, but no more than was there at first. Whoever
   * has the lock already does it otherwise.
   *
   * @returns how many completions were taken
   */
  drainOwn(ring: Ring): number {
    if (!ring.isReady) return 0;
    const { id } = this.#backend;
    if (!this.#locks.tryLock(id)) return 0;
    const count = this.#takeAll(ring);
    this.#locks.unlock(id);
    this.#publishTaken();
    return count;
  }

  /**
   * The same of another backend's ring, which may be closing: nothing of it is touched without the
   * lock.
   *
   * @param executes whether this thread may execute what its issuer's death has ended
   */
  #drainForeign(owner: number, executes: boolean): void {
    if (!this.#locks.tryLock(owner)) return;
    const ring = this.#ringOf(owner);
    if (ring !== null && ring.isReady) this.#takeAll(ring, executes);
    this.#locks.unlock(owner);
    this.#publishTaken();
  }

  /** The caller holds the lock. */
  #takeAll(ring: Ring, executes = true): number {
    if (ring.hasOverflow) this.#calls.enter(ring.fd, 0, 0, ENTER_GETEVENTS);
    const completion = this.#completion;
    let count = ring.ready;
    for (let i = 0; i < count; i++) {
      ring.peek(i, completion);
      if (!executes && this.#isLeft(completion)) count = i;
      else this.#take(completion);
    }
    // Only now: if this thread ends before, the next one finds what it took in the handles.
    ring.release(count);
    return count;
  }

  /** Whose completion it is; null: it is of no IO, or of one that is over. */
  #handleOf({ userDataLow, userDataHigh }: Completion): AioHandle | null {
    if (userDataLow === NO_HANDLE) return null;
    const handle = this.#backend.handleOf(userDataLow);
    const { words, base } = handle;
    // The kernel answers what was published before the submit: there is no need for atomic loads.
    if (words[base + HANDLE.generationLow] !== userDataHigh) return null;
    return words[base + HANDLE.state] === SUBMITTED ? handle : null;
  }

  /**
   * Whether this look leaves an IO where it is: if its issuer is about to die, whoever reaps that
   * executes the IO. An issuer that lives may never look, so what is still there after a while is
   * taken.
   */
  #isLeft(completion: Completion): boolean {
    const handle = DEATH_ERRORS.includes(completion.result) ? this.#handleOf(completion) : null;
    const isLeft = handle !== null && !isGivenUp(handle, completion.result) &&
      (this.#leaves < LEAVES_MAX || !this.#isIssuerAlive(handle));
    this.#leaves = isLeft ? this.#leaves + 1 : 0;
    return isLeft;
  }

  #isIssuerAlive({ backendId }: AioHandle): boolean {
    const { control, libc } = this.#backend;
    const threadId = Atomics.load(this.#words, control.backendAt(backendId) + BACKEND.threadId);
    return threadId > 0 && libc.isThreadAlive(threadId);
  }

  #take(completion: Completion): void {
    const handle = this.#handleOf(completion);
    if (handle === null) return;
    const { result } = completion;
    const { id } = this.#backend;
    const isOwn = handle.backendId === id;
    if (isOwn && isClaimedByOther(handle.words, handle.base, id)) return;
    // Of another thread's ring: that may have died, and nobody has noticed yet.
    const isDeath = !isOwn && DEATH_ERRORS.includes(result);
    if ((isDeath || result === -ECANCELED) && !isGivenUp(handle, result)) {
      if (isOwn || this.#backend.claim(handle, completion.userDataHigh)) this.#refused.push(handle);
      return;
    }
    this.#taken.take(handle, result, completion.userDataHigh);
  }

  #publishTaken(): void {
    this.#taken.publish();
    if (this.#refused.length === 0) return;
    for (const handle of this.#refused.splice(0)) {
      if (handle.backendId === this.#backend.id) this.again(handle);
      else this.#backend.performSynchronously(handle);
    }
  }

  /**
   * See `IoMethod.checkOne`.
   *
   * @param executes whether this thread waits for the IO, blocking, and may execute it
   */
  check(handle: AioHandle, executes: boolean): void {
    const owner = handle.backendId;
    if (owner !== this.#backend.id) return this.#drainForeign(owner, executes);
    const ring = this.#rings[owner];
    if (ring) this.drainOwn(ring);
  }

  /**
   * Ends what a dead backend has in the kernel: cancels it and says in the handles what came of it.
   * The core does the rest, and IO again that was cancelled for its issuer's death: it stays
   * submitted.
   *
   * @returns false if the kernel is not done with it yet
   */
  endDead(dead: number, from: ReapingFrom): boolean {
    let isDone = false;
    withCompletionLock(this.#backend, dead, () => {
      const ring = this.#ringOf(dead);
      if (ring === null) {
        isDone = true;
        return;
      }
      ring.adopt();
      this.#cancelAll(ring, dead);
      const looksMax = from === "wait" ? CANCEL_LOOKS_MAX : 0;
      for (let i = 0; ring.inKernel > 0 && i < looksMax; i++) {
        this.#takeDead(ring);
        if (ring.inKernel > 0) sleepMs(LOOK_AGAIN_MS);
      }
      this.#takeDead(ring);
      isDone = ring.inKernel === 0;
    });
    if (isDone) this.letGo(dead);
    return isDone;
  }

  /**
   * Leaves a ring that has nothing in the kernel to the next thread of its slot. Once the Aio ends
   * there is none, and all rings that nobody uses are closed.
   */
  letGo(owner: number): void {
    const { control, options } = this.#backend;
    if (!letGoOfRing(control, owner)) return;
    for (let id = 0; id < options.maxBackends; id++) {
      if (!isSpare(control, slotAt(control, id))) continue;
      withCompletionLock(this.#backend, id, () => closeRing(this.#backend, id));
    }
  }

  #cancelAll(ring: Ring, dead: number): void {
    const { control } = this.#backend;
    const first = dead * control.handlesPerBackend;
    for (let index = first; index < first + control.handlesPerBackend; index++) {
      const base = control.handleAt(index);
      if (Atomics.load(this.#words, base + HANDLE.state) !== SUBMITTED || ring.room <= 0) continue;
      ring.fillCancel(index, this.#words[base + HANDLE.generationLow]!);
    }
    ring.publish();
    for (let attempts = 0; ring.filled > 0 && attempts < CANCEL_ATTEMPTS_MAX; attempts++) {
      const result = this.#calls.enter(ring.fd, ring.filled, 0, ENTER_GETEVENTS);
      if (result > 0) ring.noteSubmitted(result);
    }
    ring.takeBack();
  }

  /**
   * Nothing is completed here: a thread that takes over the dead one's slot, and so its number,
   * would do that as the issuer, which it is not yet. What another thread claimed and did not store
   * before it died, too, stays submitted.
   */
  #takeDead(ring: Ring): void {
    if (ring.hasOverflow) this.#calls.enter(ring.fd, 0, 0, ENTER_GETEVENTS);
    const count = ring.ready;
    for (let i = 0; i < count; i++) {
      ring.peek(i, this.#completion);
      const { result, userDataHigh } = this.#completion;
      const handle = DEATH_ERRORS.includes(result) ? null : this.#handleOf(this.#completion);
      if (handle !== null && this.#backend.claim(handle, userDataHigh)) {
        this.#backend.storeCompletion(handle, result);
      }
    }
    ring.release(count);
  }
}
