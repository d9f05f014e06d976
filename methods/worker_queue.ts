/**
 * worker_queue.ts: the IOs that wait for an IO Worker, and the Workers that wait for IO.
 *
 * One Worker at a time is on its way, for all that went in since: it wakes the next one if there is
 * still more when it gets here. Where the processors are busy it takes a while to come, and each IO
 * that went in meanwhile would wake one more, which would find nothing: 32 Workers did half of what 8
 * do.
 *
 * What the lock protects is whole after every single store: a Worker claims an IO before it takes it
 * out, so one that dies half-way leaves an entry that nobody can claim any more, which is skipped.
 *
 * @module
 */

import type { AioHandle } from "../core/handle.ts";
import * as locks from "../core/lock.ts";
import type { IsThreadAlive } from "../core/lock.ts";
import * as layout from "../core/shared_memory.ts";
import type { Control } from "../core/shared_memory.ts";
import * as memory from "./worker_memory.ts";
import { countBits, entryAt, lowestOf, poolAt, workerAt } from "./worker_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { lock, tryLock, unlock } = locks;
const { HANDLE } = layout;
const { POOL, QUEUE_SIZE, WORKER } = memory;

/** Looks at a lock, some 20 µs of them, before an IO is executed here instead: that blocks for longer. */
const LOCK_ATTEMPTS = 1000;

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

  /** How many Workers run. */
  get running(): number {
    return countBits(Atomics.load(this.#words, this.#at + POOL.running));
  }

  /**
   * Puts submitted IOs in, as many as there is room for, and chooses a Worker to wake: one for all of
   * them. Looks for the lock for a moment, and never sleeps for it.
   *
   * @param handles those from `start` on, up to `end`
   * @returns how many went in; 0 too if others have the lock
   */
  tryInsert(handles: readonly AioHandle[], start: number, end: number): number {
    if (!this.#tryLock()) return 0;
    const words = this.#words;
    const tailAt = this.#at + POOL.tail;
    const room = QUEUE_SIZE - (words[tailAt]! - words[this.#at + POOL.head]! | 0);
    const taken = Math.min(room, end - start);
    for (let i = 0; i < taken; i++) {
      const { index, base } = handles[start + i]!;
      const at = entryAt(this.#control, words[tailAt]!);
      words[at] = index;
      words[at + 1] = words[base + HANDLE.generationLow]!;
      Atomics.store(words, tailAt, words[tailAt]! + 1 | 0);
    }
    if (words[this.#at + POOL.waking] !== 0) words[this.#at + POOL.isOwed] = 1;
    const chosen = taken === 0 ? -1 : this.#choose(-1);
    this.#unlock();
    if (chosen >= 0) this.wake(chosen);
    return taken;
  }

  #tryLock(): boolean {
    for (let i = 0; i < LOCK_ATTEMPTS; i++) {
      const { lock } = POOL;
      if (tryLock(this.#words, this.#at + lock, this.#threadId, this.#isThreadAlive, false)) {
        return true;
      }
    }
    return false;
  }

  #lock(): void {
    lock(this.#words, this.#at + POOL.lock, this.#threadId, this.#isThreadAlive);
  }

  #unlock(): void {
    unlock(this.#words, this.#at + POOL.lock, this.#threadId);
  }

  /**
   * The lowest idle Worker above a number, which is idle no more; -1: none, or one is on its way. The
   * caller holds the lock.
   */
  #choose(above: number): number {
    if (this.#words[this.#at + POOL.waking] !== 0) return -1;
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
   * @param isSpreading whether it is to choose another one, if there is more, though nobody relies on that
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

  /** A Worker is on its way no more. @returns whether others relied on it. The caller holds the lock. */
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

  /** The same for one that has died, or that ends whatever comes. */
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

  /** Wakes one for what a thread that has died left in the queue. */
  wakeForRest(): void {
    if (this.depth === 0) return;
    this.#lock();
    const chosen = this.#choose(-1);
    this.#unlock();
    if (chosen >= 0) this.wake(chosen);
  }

  /** Has the opener look after the pool. */
  ringOpener(): void {
    Atomics.add(this.#words, this.#at + POOL.bell, 1);
    Atomics.notify(this.#words, this.#at + POOL.bell);
  }
}
