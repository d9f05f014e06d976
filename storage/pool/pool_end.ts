/**
 * pool_end.ts: the end of a pool in one thread. The pool's memory may be somebody else's
 * afterwards: so the calls of the thread that are under way end before, and no other begins.
 *
 * A call that waits for a word of the pool ends with an error; one that waits for an IO goes on
 * once that is over. What the user still has then, pages, locks and streams, does nothing.
 *
 * @module
 */

import type { Backend, Steps, WaitWord } from "../../core/inside.ts";
import type { CompletionWaiter } from "../../core/mod.ts";

/** Whether a thread still uses its pool, and the calls of it that are under way. */
export class PoolEnd {
  /** Whether it leaves the pool, or has left it. */
  isOver = false;
  readonly #wordWaits: Backend["wordWaits"];
  readonly #waiters = new Set<CompletionWaiter>();
  #running = 0;
  #onIdle: () => void = () => {};

  /** @param wordWaits of the thread */
  constructor(wordWaits: Backend["wordWaits"]) {
    this.#wordWaits = wordWaits;
  }

  /** Throws if the thread leaves the pool. */
  check(): void {
    if (this.isOver) throw new Deno.errors.BadResource("Cannot go on: the pool is closed");
  }

  /** What {@linkcode end} waits for. */
  *during<T>(steps: Steps<T>): Steps<T> {
    this.#running++;
    try {
      return yield* steps;
    } finally {
      if (--this.#running === 0) this.#onIdle();
    }
  }

  /** The same for a call of the user: it is refused once the thread leaves the pool. */
  *call<T>(steps: Steps<T>): Steps<T> {
    this.check();
    return yield* this.during(steps);
  }

  /** Waits until a word does not hold a value, or the thread leaves the pool. */
  changed(word: WaitWord, value: number): Promise<void> {
    return new Promise((resolve) => {
      const waiter = {
        completed: () => {
          this.#waiters.delete(waiter);
          resolve();
        },
      };
      if (this.#wordWaits.whenChanged(word, value, waiter)) resolve();
      else this.#waiters.add(waiter);
    });
  }

  /** Ends all calls, and waits until they are over. */
  async end(): Promise<void> {
    this.isOver = true;
    for (const waiter of this.#waiters) {
      this.#wordWaits.forget(waiter);
      waiter.completed();
    }
    if (this.#running === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
    await promise;
  }
}
