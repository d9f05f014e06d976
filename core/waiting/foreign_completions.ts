/**
 * foreign_completions.ts: IOs that one backend issued and another one completed.
 *
 * The issuer finds them by a counter word of its own, so that it does not look at all its handles
 * for nothing; whoever completes moves that counter, and wakes everybody who may be asleep for the
 * IO.
 *
 * @module
 */

import { wakeWaiters } from "../io/completion_steps.ts";
import type { Doorbells } from "./doorbell.ts";
import type { AioHandle } from "../io/handle.ts";
import { BACKEND, type Control } from "../memory/shared_memory.ts";

/** The counters, as one backend sees them. */
export class ForeignCompletions {
  readonly #control: Control;
  readonly #doorbells: Doorbells;
  readonly #own: number;
  #seen: number;

  /**
   * @param control where the counters are
   * @param doorbells wakes sleeping backends
   * @param id this backend
   */
  constructor(control: Control, doorbells: Doorbells, id: number) {
    this.#control = control;
    this.#doorbells = doorbells;
    this.#own = control.backendAt(id) + BACKEND.foreignCompletions;
    this.#seen = Atomics.load(control.words, this.#own);
  }

  /** Whether other backends completed own IOs since {@linkcode markSeen}. */
  hasNew(): boolean {
    return Atomics.load(this.#control.words, this.#own) !== this.#seen;
  }

  /** Sleeps until another backend completes an own IO, but for a moment at most. */
  sleep(timeoutMs: number): void {
    Atomics.wait(this.#control.words, this.#own, this.#seen, timeoutMs);
  }

  /** To be called before own handles are looked at: what comes later counts as new. */
  markSeen(): void {
    this.#seen = Atomics.load(this.#control.words, this.#own);
  }

  /** After the completion of another backend's IO. */
  tell(handle: AioHandle): void {
    const { words } = this.#control;
    const counter = this.#control.backendAt(handle.backendId) + BACKEND.foreignCompletions;
    Atomics.add(words, counter, 1);
    Atomics.notify(words, counter);
    this.#doorbells.ringAll(wakeWaiters(words, handle.base) | 1 << handle.backendId);
  }
}
