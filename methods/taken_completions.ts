/**
 * taken_completions.ts: completions that a thread has stored in their handles under a completion
 * lock, until it publishes them without it, for methods in which any thread may take them.
 *
 * @module
 */

import type { AioHandle } from "../core/io/handle.ts";
import type { MethodBackend } from "../core/io/method.ts";

/** Those of one backend, of its own IO and others'. */
export class TakenCompletions {
  readonly #backend: MethodBackend;
  /** It grows, but is never emptied. */
  readonly #handles: AioHandle[] = [];
  #count = 0;
  #published = 0;

  /**
   * @param backend takes them
   */
  constructor(backend: MethodBackend) {
    this.#backend = backend;
  }

  /**
   * Stores the outcome of a submitted IO; of an own one that no other thread has claimed. The
   * caller holds the lock.
   *
   * @param generationLow of which use of the handle it is: another one's may be over meanwhile
   */
  take(handle: AioHandle, result: number, generationLow: number): void {
    const isOwn = handle.backendId === this.#backend.id;
    // A thread that claimed it and died: whoever reaps that one executes the IO again.
    if (!isOwn && !this.#backend.claim(handle, generationLow)) return;
    this.#backend.storeCompletion(handle, result);
    this.#handles[this.#count++] = handle;
  }

  /** Has callbacks run and waiters hear of them, without the lock. */
  publish(): void {
    while (this.#published < this.#count) {
      // First counted: a thread that ends in a callback can come here once more.
      this.#backend.publishCompletion(this.#handles[this.#published++]!);
    }
    this.#count = 0;
    this.#published = 0;
  }
}
