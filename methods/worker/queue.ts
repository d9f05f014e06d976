/**
 * worker/queue.ts: the IOs that wait for an IO Worker, and the Workers that wait for IO.
 *
 * One Worker at a time is on its way, for all that went in since: it wakes the next one if there is
 * still more when it gets here. Where the processors are busy it takes a while to come, and each IO
 * that went in meanwhile would wake one more, which would find nothing: 32 Workers did half of what
 * 8 do.
 *
 * A submit never waits: the queue has room for every handle, and IO that finds the lock taken waits
 * outside for whoever gives the lock back:
 *
 * ```text
 * submit                              holder of the lock
 * ──────                              ──────────────────
 * mark the handles, set the own bit   give the lock back
 * try the lock once more              look at the bits: any? take the lock again, put that IO in
 * ```
 *
 * Each does its two steps in opposite order, so one of them finds the other's. A holder that dies
 * is found by the submit that tries the lock, or by the issuer's next look (`bringIn`).
 *
 * What the lock protects is whole after every single store: a Worker claims an IO before it takes
 * it out, so one that dies half-way leaves an entry that nobody can claim any more, which is
 * skipped. Two entries for one IO do no harm for the same reason.
 *
 * @module
 */

import * as claims from "../../core/memory/claim.ts";
import type { AioHandle } from "../../core/io/handle.ts";
import * as states from "../../core/memory/handle_state.ts";
import * as locks from "../../core/memory/lock.ts";
import type { IsThreadAlive } from "../../core/memory/lock.ts";
import * as layout from "../../core/memory/shared_memory.ts";
import type { Control } from "../../core/memory/shared_memory.ts";
import * as memory from "./memory.ts";
import {
  countBits,
  entryAt,
  isOutside,
  lowestOf,
  markOutside,
  poolAt,
  queueSize,
  unmarkOutside,
  workerAt,
} from "./memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { claimantOf } = claims;
const { SUBMITTED } = states;
const { lock, tryLock, unlock } = locks;
const { HANDLE } = layout;
const { POOL, WORKER } = memory;

/** Looks at a lock, some 2 µs of them, before IO is left to its holder: most hold it for less. */
const LOCK_ATTEMPTS = 100;

/** What a Worker found. */
export interface Taken {
  /** The IO that it has claimed; null: there is none, and it is in the idle set now. */
  handle: AioHandle | null;
  /** The idle Worker that it is to wake, as there is more; -1: none. */
  peer: number;
  /** Whether there is more, and none is idle. */
  isShort: boolean;
  /** IOs that are left in the queue. */
  depth: number;
}

/** The queue as one thread sees it. */
export class WorkerQueue {
  readonly #control: Control;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  readonly #threadId: number;
  readonly #isThreadAlive: IsThreadAlive;

  /**
   * For a backend or a Worker.
   *
   * @param control where it is
   * @param threadId this thread
   * @param isThreadAlive asks the system about another holder of the lock
   */
  constructor(control: Control, threadId: number, isThreadAlive: IsThreadAlive) {
    this.#control = control;
    this.#words = control.words;
    this.#at = poolAt(control);
    this.#threadId = threadId;
    this.#isThreadAlive = isThreadAlive;
  }

  /** How many IOs wait, looked at without the lock. */
  get depth(): number {
    return Atomics.load(this.#words, this.#at + POOL.tail) -
        Atomics.load(this.#words, this.#at + POOL.head) | 0;
  }

  /** How many entries were ever taken out; wraps around. */
  get takenCount(): number {
    return Atomics.load(this.#words, this.#at + POOL.head);
  }

  /** Whether IO waits while Workers sleep, looked at without the lock. */
  get hasRest(): boolean {
    return this.depth > 0 && Atomics.load(this.#words, this.#at + POOL.idle) !== 0;
  }

  /** How many Workers run. */
  get running(): number {
    return countBits(Atomics.load(this.#words, this.#at + POOL.running));
  }

  /**
   * Hands submitted IOs over, and wakes one Worker for all of them. Looks for the lock for a
   * moment, and never sleeps for it.
   *
   * @param handles of one backend: the first `count`
   */
  insert(handles: readonly AioHandle[], count: number): void {
    let inside = 0;
    if (this.#tryLock(LOCK_ATTEMPTS, false)) {
      while (inside < count && this.#tryInsert(handles[inside]!)) inside++;
      const chosen = inside === 0 ? -1 : this.#chooseForMore();
      this.#unlock();
      if (chosen >= 0) this.wake(chosen);
    }
    if (inside < count) this.#leaveOutside(handles, inside, count);
  }

  #leaveOutside(handles: readonly AioHandle[], start: number, end: number): void {
    for (let i = start; i < end; i++) this.leaveOutside(handles[i]!);
    this.bringIn();
  }

  /**
   * Leaves a submitted IO to whoever gives the lock back; {@linkcode bringIn} is to be called next.
   */
  leaveOutside(handle: AioHandle): void {
    // Marked first: if this thread dies, the issuer finds the mark.
    markOutside(handle.words, handle.base);
    this.announce(handle);
  }

  /**
   * Says that IO of a handle's backend waits outside; {@linkcode bringIn} is to be called next.
   * This makes no mark: by now the handle may be used anew, for an IO that is not for the queue.
   */
  announce({ backendId }: AioHandle): void {
    this.#announce(backendId);
  }

  #announce(backendId: number): void {
    Atomics.or(this.#words, this.#at + POOL.outside, 1 << backendId);
  }

  /** Puts in what waits outside of the handle's backend, after the thread has died that was to. */
  bringInOf(handle: AioHandle): void {
    this.announce(handle);
    this.bringIn();
  }

  /** Puts in what waits outside, unless another thread has the lock: then that one does. */
  bringIn(): void {
    const outsideAt = this.#at + POOL.outside;
    while (Atomics.load(this.#words, outsideAt) !== 0 && this.#tryLock(1, true)) {
      this.#bringInAll(Atomics.exchange(this.#words, outsideAt, 0));
      const chosen = this.depth === 0 ? -1 : this.#chooseForMore();
      unlock(this.#words, this.#at + POOL.lock, this.#threadId);
      if (chosen >= 0) this.wake(chosen);
    }
  }

  /** Puts in what waits outside of some backends. The caller holds the lock. */
  #bringInAll(backends: number): void {
    const { handlesPerBackend } = this.#control;
    for (let rest = backends; rest !== 0; rest &= rest - 1) {
      const first = lowestOf(rest) * handlesPerBackend;
      for (let index = first; index < first + handlesPerBackend; index++) {
        const base = this.#control.handleAt(index);
        const low = Atomics.load(this.#words, base + HANDLE.generationLow);
        if (!isOutside(this.#words, base, low) || !this.#isFree(base)) continue;
        if (!this.#tryAppend(index, low)) return;
        unmarkOutside(this.#words, base, low);
      }
    }
  }

  /** Whether an IO is to be executed, and nobody is about to. */
  #isFree(base: number): boolean {
    return Atomics.load(this.#words, base + HANDLE.state) === SUBMITTED &&
      claimantOf(this.#words, base) < 0;
  }

  /** Appends the entry of an IO of this thread. The caller holds the lock. */
  #tryInsert({ index, words, base }: AioHandle): boolean {
    return this.#tryAppend(index, words[base + HANDLE.generationLow]!);
  }

  /** Appends an entry. @returns false if there is no room. The caller holds the lock */
  #tryAppend(index: number, generationLow: number): boolean {
    const words = this.#words;
    const tailAt = this.#at + POOL.tail;
    if (this.depth >= queueSize(this.#control)) this.#dropOver();
    if (this.depth >= queueSize(this.#control)) return false;
    const at = entryAt(this.#control, words[tailAt]!);
    words[at] = index;
    words[at + 1] = generationLow;
    Atomics.store(words, tailAt, words[tailAt]! + 1 | 0);
    return true;
  }

  /** Drops entries of IOs that are over, unless another thread has the lock. */
  dropOver(): void {
    if (!this.#tryLock(LOCK_ATTEMPTS, true)) return;
    this.#dropOver();
    this.#unlock();
  }

  /**
   * Makes room by dropping entries of IOs that are over, or that are executed elsewhere, such as
   * those that were cancelled while all Workers were stuck. The caller holds the lock.
   */
  #dropOver(): void {
    const words = this.#words;
    const tail = words[this.#at + POOL.tail]!;
    let to = words[this.#at + POOL.head]!;
    for (let from = to; from !== tail; from = from + 1 | 0) {
      const at = entryAt(this.#control, from);
      const index = words[at]!;
      const generationLow = words[at + 1]!;
      const base = this.#control.handleAt(index);
      const now = Atomics.load(words, base + HANDLE.generationLow);
      if (now !== generationLow || !this.#isFree(base)) continue;
      const toAt = entryAt(this.#control, to);
      words[toAt] = index;
      words[toAt + 1] = generationLow;
      to = to + 1 | 0;
    }
    Atomics.store(words, this.#at + POOL.tail, to);
  }

  #tryLock(attempts: number, isAsking: boolean): boolean {
    const lockAt = this.#at + POOL.lock;
    for (let i = 0; i < attempts; i++) {
      if (tryLock(this.#words, lockAt, this.#threadId, this.#isThreadAlive, isAsking)) return true;
    }
    return false;
  }

  #lock(): void {
    lock(this.#words, this.#at + POOL.lock, this.#threadId, this.#isThreadAlive);
  }

  #unlock(): void {
    unlock(this.#words, this.#at + POOL.lock, this.#threadId);
    if (Atomics.load(this.#words, this.#at + POOL.outside) !== 0) this.bringIn();
  }

  /** The Worker to wake for what has just gone in; -1: none. The caller holds the lock. */
  #chooseForMore(): number {
    if (this.#isAnyWaking()) this.#words[this.#at + POOL.isOwed] = 1;
    return this.#choose(-1);
  }

  /**
   * Whether a Worker is on its way. One that has gone is not: it takes itself out without the lock,
   * and may have been chosen meanwhile.
   */
  #isAnyWaking(): boolean {
    const waking = this.#words[this.#at + POOL.waking]!;
    return waking !== 0 && (waking & this.#words[this.#at + POOL.running]!) !== 0;
  }

  /**
   * The lowest idle Worker above a number, which is idle no more; -1: none, or one is on its way.
   * The caller holds the lock.
   */
  #choose(above: number): number {
    if (this.#isAnyWaking()) return -1;
    const idleAt = this.#at + POOL.idle;
    // A shift by 32 is none.
    const higher = above >= 31 ? 0 : -1 << (above + 1);
    const chosen = lowestOf(this.#words[idleAt]! & higher);
    if (chosen < 0) return -1;
    Atomics.store(this.#words, this.#at + POOL.waking, 1 << chosen);
    Atomics.and(this.#words, idleAt, ~(1 << chosen));
    return chosen;
  }

  /**
   * Takes an IO out for a Worker, or puts the Worker into the idle set if there is none.
   *
   * @param number of the Worker
   * @param isSpreading whether it is to choose another one, if there is more, though nobody relies
   *   on that
   * @param tryClaim takes over an IO
   * @param into filled
   */
  take(
    number: number,
    isSpreading: boolean,
    tryClaim: (index: number, generationLow: number) => AioHandle | null,
    into: Taken,
  ): void {
    const words = this.#words;
    this.#lock();
    into.handle = null;
    into.peer = -1;
    into.isShort = false;
    const isOwing = this.#arrive(number);
    const headAt = this.#at + POOL.head;
    const tail = words[this.#at + POOL.tail]!;
    while (into.handle === null && words[headAt] !== tail) {
      const at = entryAt(this.#control, words[headAt]!);
      into.handle = tryClaim(words[at]!, words[at + 1]!);
      Atomics.store(words, headAt, words[headAt]! + 1 | 0);
    }
    into.depth = tail - words[headAt]! | 0;
    if (into.depth === 0) words[this.#at + POOL.isOwed] = 0;
    if (into.handle === null) Atomics.or(words, this.#at + POOL.idle, 1 << number);
    else {
      Atomics.and(words, this.#at + POOL.idle, ~(1 << number));
      if (into.depth > 0 && (isOwing || isSpreading)) {
        into.isShort = words[this.#at + POOL.idle] === 0;
        into.peer = this.#choose(isOwing ? -1 : number);
      }
    }
    this.#unlock();
  }

  /**
   * A Worker is on its way no more.
   *
   * @returns whether others relied on it. The caller holds the lock.
   */
  #arrive(number: number): boolean {
    const bit = 1 << number;
    const wasWoken = (Atomics.and(this.#words, this.#at + POOL.waking, ~bit) & bit) !== 0;
    return wasWoken && this.#words[this.#at + POOL.isOwed] !== 0;
  }

  /**
   * Takes a Worker out of the idle set for good.
   *
   * @returns false if it is not there: somebody has chosen it, and relies on it
   */
  tryLeave(number: number): boolean {
    this.#lock();
    const isIdle = (this.#words[this.#at + POOL.idle]! & 1 << number) !== 0;
    if (isIdle) this.remove(number);
    this.#unlock();
    return isIdle;
  }

  /**
   * The same for one that has died, or that ends whatever comes. It may have been chosen just now:
   * {@linkcode wakeForRest} is to be called next.
   */
  remove(number: number): void {
    Atomics.and(this.#words, this.#at + POOL.running, ~(1 << number));
    Atomics.and(this.#words, this.#at + POOL.idle, ~(1 << number));
    Atomics.and(this.#words, this.#at + POOL.waking, ~(1 << number));
  }

  /** Wakes a Worker that was chosen. */
  wake(number: number): void {
    const at = workerAt(this.#control, number) + WORKER.wake;
    Atomics.add(this.#words, at, 1);
    Atomics.notify(this.#words, at, 1);
  }

  /** Has all Workers look around. */
  wakeAll(): void {
    for (let rest = Atomics.load(this.#words, this.#at + POOL.running); rest !== 0;) {
      const number = lowestOf(rest);
      this.wake(number);
      rest &= ~(1 << number);
    }
  }

  /**
   * Wakes one for what is left in the queue by a thread that has died, or a Worker that ends. If
   * another has the lock, it may have looked before that: so it looks again when it gives it back.
   */
  wakeForRest(): void {
    // Of any backend: whoever gives the lock back looks into the queue, too.
    this.#announce(0);
    this.bringIn();
  }

  /**
   * The same, and puts in what waits outside of any backend: a thread that has died may have taken
   * the backends' bits, and not put their IO in.
   */
  bringInRest(): void {
    const { handleCount, handlesPerBackend } = this.#control;
    for (let id = 0; id * handlesPerBackend < handleCount; id++) this.#announce(id);
    this.bringIn();
  }

  /** Has the opener look after the pool. */
  ringOpener(): void {
    ringOpener(this.#control);
  }
}

/** Has the opener look after the pool, from a thread that needs nothing else of the queue. */
export function ringOpener(control: Control): void {
  const bell = poolAt(control) + POOL.bell;
  Atomics.add(control.words, bell, 1);
  Atomics.notify(control.words, bell);
}
