/**
 * flush_turns.ts: how the threads that have a file open share its flushes: one at a time, each by
 * one thread, for all that was written before it began.
 *
 * Flushes have numbers, in the order in which they begin. A thread that wrote something notes the
 * number of the next one, and waits until that has ended, or a later one. If no thread flushes, it
 * does so itself, once for all that wait by then.
 *
 * A turn says whether its thread blocks in it, or returns to its event loop. A thread that blocks
 * waits only for the former kind: the end of the latter may wait for this very thread.
 *
 * A flush that fails gets no end: each waiter looks what has become of the file
 * (core/files/flush_error.ts), or flushes. If the flusher dies, its reaper makes the place free.
 *
 * @module
 */

import type { Doorbells } from "../waiting/doorbell.ts";
import { type WaitWord, wakeWord } from "../waiting/words.ts";
import { type Control, FILE, HEADER } from "../memory/shared_memory.ts";

/** The shared flushes of an open file, as one thread sees them. */
export class FlushTurns {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  readonly #bells: Doorbells;
  readonly #ownMark: number;
  /** Moves when a thread has stopped flushing. */
  readonly change: WaitWord;

  /**
   * Of one open file.
   *
   * @param control where they are
   * @param slot its place in the table of open files
   * @param bells of this thread
   * @param backendId of this thread
   */
  constructor(control: Control, slot: number, bells: Doorbells, backendId: number) {
    this.#words = control.words;
    this.#at = control.fileAt(slot);
    this.#bells = bells;
    this.#ownMark = backendId + 1;
    this.change = changeOf(control, slot);
  }

  /** What that word holds, to be waited for after one more look. */
  get changes(): number {
    return Atomics.load(this.#words, this.change.index);
  }

  /** The number of the next flush that begins: it covers all that is written now. */
  next(): number {
    return Atomics.load(this.#words, this.#at + FILE.flushesBegun) + 1 | 0;
  }

  /** Whether a flush with that number, or one that began after it, has ended well. */
  hasEnded(number: number): boolean {
    return (Atomics.load(this.#words, this.#at + FILE.flushesEnded) - number | 0) >= 0;
  }

  /** Whether a thread flushes whose event loop ends the turn: this one's, or another's. */
  get needsEventLoop(): boolean {
    return Atomics.load(this.#words, this.#at + FILE.flusher) > 0;
  }

  /**
   * Takes the turn.
   *
   * @param isBlocking whether this thread blocks until it has ended
   * @returns the number of the flush that is to begin now; null: another thread flushes
   */
  tryBegin(isBlocking: boolean): number | null {
    const at = this.#at + FILE.flusher;
    const mark = isBlocking ? -this.#ownMark : this.#ownMark;
    if (Atomics.compareExchange(this.#words, at, 0, mark) !== 0) return null;
    return Atomics.add(this.#words, this.#at + FILE.flushesBegun, 1) + 1 | 0;
  }

  /** The flush has ended. */
  end(number: number, isDurable: boolean): void {
    if (isDurable) Atomics.store(this.#words, this.#at + FILE.flushesEnded, number);
    Atomics.store(this.#words, this.#at + FILE.flusher, 0);
    tell(this.#bells, this.change);
  }
}

function changeOf(control: Control, slot: number): WaitWord {
  const at = control.fileAt(slot);
  return {
    words: control.words,
    index: at + FILE.flusherChange,
    waiters: at + FILE.flusherWaiters,
  };
}

function tell(bells: Doorbells, change: WaitWord): void {
  Atomics.add(change.words, change.index, 1);
  wakeWord(bells, change);
}

/**
 * Makes the places free of a thread that has died while it flushed, and tells whoever waits for
 * one: the dead, or a thread that reaped it, may have made it free and died before the bell. Each
 * word moves, awaited or not, as a thread may have looked at one and be about to wait.
 */
export function endTurnsOf(control: Control, bells: Doorbells, deadId: number): void {
  const { words } = control;
  for (let slot = 0; slot < words[HEADER.maxFiles]!; slot++) {
    const at = control.fileAt(slot) + FILE.flusher;
    for (const mark of [deadId + 1, -deadId - 1]) Atomics.compareExchange(words, at, mark, 0);
    tell(bells, changeOf(control, slot));
  }
}
