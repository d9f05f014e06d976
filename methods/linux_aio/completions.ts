/**
 * linux_aio/completions.ts: how a thread takes completions from the kernel: its own, those of other
 * backends, and those that dead threads left.
 *
 * The kernel writes them into the slot of the backend whose they are, under that one's completion
 * lock. If the thread that has the lock dies, the next one finds there what was not in the handles
 * yet.
 *
 * @module
 */

import { sleepMs } from "../../core/base/sleep.ts";
import { LOOK_AGAIN_MS } from "../../core/base/pauses.ts";
import type { AioHandle } from "../../core/io/handle.ts";
import { BEGUN_BIT } from "../../core/io/handle_flag.ts";
import type { MethodBackend, ReapingFrom } from "../../core/io/method.ts";
import * as claims from "../../core/memory/claim.ts";
import * as states from "../../core/memory/handle_state.ts";
import * as layout from "../../core/memory/shared_memory.ts";
import { EAGAIN, EINTR, EOPNOTSUPP } from "../../ffi/errno.ts";
import type { LinuxAioCalls } from "../../ffi/linux_aio_calls.ts";
import * as structs from "../../ffi/linux_aio_layout.ts";
import { CompletionLocks, withCompletionLock } from "../completion_lock.ts";
import { TakenCompletions } from "../taken_completions.ts";
import { bringIn, leaveClaimedOutside } from "../worker.ts";
import { contextOf, emptySlot, endContextsSync, letGoOfContext } from "./context.ts";
import { EVENTS_MAX, isMarkedInKernel, SLOT, slotAt, unmarkInKernel } from "./memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { isClaimedByOther } = claims;
const { SUBMITTED } = states;
const { HANDLE } = layout;
const { IO_EVENT_WORDS } = structs;

const INTERRUPTIONS_MAX = 10;
/** Looks of a thread that waits for what a dead one has in the kernel. */
const DEAD_LOOKS_MAX = 100;

/** The kernel has done nothing, as it would have had to wait, or cannot do this without waiting. */
export function isRefusal(result: number): boolean {
  return result === -EAGAIN || result === -EOPNOTSUPP || result === -EINTR;
}

/** What is made of one completion, whose IO is submitted. */
type TakeCompletion = (handle: AioHandle, result: number, generationLow: number) => void;

/** The completions of all backends, as one of them takes them. */
export class LinuxAioCompletions {
  readonly #backend: MethodBackend;
  readonly #calls: LinuxAioCalls;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #locks: CompletionLocks;
  /** Where the kernel writes those of each backend. */
  readonly #events: Uint8Array<SharedArrayBuffer>[] = [];
  readonly #taken: TakenCompletions;
  /** Whether any was left to the pool. */
  #hasRefused = false;
  /** Hears what the kernel made of an own IO; the submitting side sets it. */
  learn: (handle: AioHandle, isRefused: boolean) => void = () => {};

  /**
   * For a backend, whether it has a context of its own or not.
   *
   * @param backend takes them
   * @param calls of the system
   */
  constructor(backend: MethodBackend, calls: LinuxAioCalls) {
    this.#backend = backend;
    this.#calls = calls;
    this.#words = backend.control.words;
    this.#locks = new CompletionLocks(backend);
    this.#taken = new TakenCompletions(backend);
  }

  /**
   * Takes all that the kernel has done for a backend.
   *
   * @returns how many; -1: another thread has the lock, and may have come too early for some
   */
  take(owner: number): number {
    if (!this.#locks.tryLock(owner)) return -1;
    const count = this.#takeAll(owner, this.#take);
    this.#locks.unlock(owner);
    this.#publishTaken();
    return count;
  }

  /** @returns how many completions there were. The caller holds the lock. */
  #takeAll(owner: number, take: TakeCompletion): number {
    const { control } = this.#backend;
    const words = this.#words;
    const slot = slotAt(control, owner);
    const context = contextOf(control, slot);
    if (context === null) return 0;
    let sum = words[slot + SLOT.isTaking] === 0 ? 0 : this.#takeEvents(slot, EVENTS_MAX, take);
    words[slot + SLOT.isTaking] = 1;
    for (let count = EVENTS_MAX; count === EVENTS_MAX;) {
      count = this.#getEvents(context, owner, slot);
      sum += this.#takeEvents(slot, count, take);
    }
    words[slot + SLOT.isTaking] = 0;
    return sum;
  }

  #getEvents(context: bigint, owner: number, slot: number): number {
    const events = this.#events[owner] ??= this.#eventsAt(slot);
    for (let attempt = 0; attempt < INTERRUPTIONS_MAX; attempt++) {
      const count = this.#calls.getEvents(context, EVENTS_MAX, events);
      if (count >= 0) return count;
    }
    return 0;
  }

  #eventsAt(slot: number): Uint8Array<SharedArrayBuffer> {
    const bytes = Int32Array.BYTES_PER_ELEMENT;
    const at = (slot + SLOT.events) * bytes;
    return new Uint8Array(this.#words.buffer, at, EVENTS_MAX * IO_EVENT_WORDS.size * bytes);
  }

  /** @returns how many of the first places had one. The caller holds the lock. */
  #takeEvents(slot: number, count: number, take: TakeCompletion): number {
    const words = this.#words;
    let found = 0;
    for (let i = 0; i < count; i++) {
      const at = slot + SLOT.events + i * IO_EVENT_WORDS.size;
      const number = words[at + IO_EVENT_WORDS.dataLow]!;
      if (number === 0) continue;
      found++;
      const generationLow = words[at + IO_EVENT_WORDS.dataHigh]!;
      const handle = this.#handleOf(number - 1, generationLow);
      if (handle !== null) take(handle, words[at + IO_EVENT_WORDS.result]!, generationLow);
      // Only now: if this thread ends before, the next one finds the completion here.
      words[at + IO_EVENT_WORDS.dataLow] = 0;
    }
    if (found > 0) Atomics.add(words, slot + SLOT.taken, found);
    return found;
  }

  /** Whose completion it is; null: it is of an IO that is over. */
  #handleOf(index: number, generationLow: number): AioHandle | null {
    const handle = this.#backend.handleOf(index);
    const { words, base } = handle;
    if (words[base + HANDLE.generationLow] !== generationLow) return null;
    return Atomics.load(words, base + HANDLE.state) === SUBMITTED ? handle : null;
  }

  readonly #take = (handle: AioHandle, result: number, generationLow: number): void => {
    const { id } = this.#backend;
    const { words, base } = handle;
    const isOwn = handle.backendId === id;
    // In this order: whoever has the pool execute it again takes the mark away before the claim.
    if (isOwn && isClaimedByOther(words, base, id)) return;
    if (!isMarkedInKernel(words, base)) return;
    const isRefused = isRefusal(result);
    if (isOwn) this.learn(handle, isRefused);
    if (!isRefused) return this.#taken.take(handle, result, generationLow);
    // Until the pool may have it: else its use could be over meanwhile, and the next one lose its
    // mark. If this thread ends in between, whoever reaps it goes on.
    if (!this.#backend.claim(handle, generationLow)) return;
    unmarkInKernel(words, base);
    leaveClaimedOutside(this.#backend, handle, id);
    this.#hasRefused = true;
  };

  #publishTaken(): void {
    this.#taken.publish();
    if (!this.#hasRefused) return;
    this.#hasRefused = false;
    bringIn(this.#backend);
  }

  /**
   * Ends what a dead backend has in the kernel: nothing can be cancelled there, so this waits for
   * it. The core has whatever is still submitted then executed again.
   *
   * @returns false if the kernel is not done with it yet
   */
  endDead(dead: number, from: ReapingFrom): boolean {
    let isDone = false;
    withCompletionLock(this.#backend, dead, () => {
      this.#takeAll(dead, this.#takeOfDead);
      for (let i = 0; from === "wait" && i < DEAD_LOOKS_MAX && this.#hasAny(dead); i++) {
        sleepMs(LOOK_AGAIN_MS);
        this.#takeAll(dead, this.#takeOfDead);
      }
      isDone = !this.#hasAny(dead) || (from === "wait" && this.#tryEndCut(dead));
    });
    if (isDone) endContextsSync(this.#backend, this.#calls, letGoOfContext(this.#backend, dead));
    return isDone;
  }

  /** Whether IO of a backend is, or may be, in the kernel. */
  #hasAny(owner: number): boolean {
    const { control } = this.#backend;
    const first = owner * control.handlesPerBackend;
    for (let index = first; index < first + control.handlesPerBackend; index++) {
      if (this.#isInKernel(control.handleAt(index))) return true;
    }
    return false;
  }

  #isInKernel(base: number): boolean {
    return Atomics.load(this.#words, base + HANDLE.state) === SUBMITTED &&
      isMarkedInKernel(this.#words, base);
  }

  /**
   * Nothing is completed here: a thread that takes over the dead one's slot, and so its number,
   * would do that as the issuer, which it is not yet. What the kernel refused, or another thread
   * claimed and did not store before it died, too, stays submitted.
   */
  readonly #takeOfDead = (handle: AioHandle, result: number, generationLow: number): void => {
    if (isRefusal(result) || !this.#backend.claim(handle, generationLow)) {
      unmarkInKernel(this.#words, handle.base);
    } else this.#backend.storeCompletion(handle, result);
  };

  /**
   * For a thread that died within its submit: the kernel has some of its IOs, and does not say
   * which. To end the context waits for those. Whatever has no result then may have been executed,
   * and counts as begun.
   *
   * @returns false if it died elsewhere: then the kernel has them all, and has not done them yet.
   *   The caller holds the lock
   */
  #tryEndCut(dead: number): boolean {
    const { control } = this.#backend;
    const words = this.#words;
    const slot = slotAt(control, dead);
    if (Atomics.load(words, slot + SLOT.isSubmitting) === 0) return false;
    const context = contextOf(control, slot);
    if (context !== null) {
      // Still in the slot: if this thread ends meanwhile, the next one waits, too.
      this.#calls.destroy(context);
      emptySlot(control, dead);
      this.#backend.libc.close(words[slot + SLOT.eventFd]!);
    }
    const first = dead * control.handlesPerBackend;
    for (let index = first; index < first + control.handlesPerBackend; index++) {
      const base = control.handleAt(index);
      if (!this.#isInKernel(base)) continue;
      words[base + HANDLE.flags]! |= BEGUN_BIT;
      unmarkInKernel(words, base);
    }
    return true;
  }
}
