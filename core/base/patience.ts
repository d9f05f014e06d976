/**
 * patience.ts: whether anybody still waits for the end of a file or an Aio, whose device may never
 * answer.
 *
 * What is in flight goes on by itself, and its memory and descriptor stay until the kernel is done.
 * But once every waiter has given up, nothing of it keeps the event loop alive: timers and calls
 * under way are let go of. If the device answers while the thread still lives, the end comes all
 * the same.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "node:timers";
import { onAbort } from "./abort.ts";

/** What `close()` takes. */
export interface CloseOptions {
  /** Ends the wait: the promise rejects with its reason. The closing itself goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** What keeps the event loop alive until it is let go of. */
export interface Hold {
  /** Keeps it alive again. */
  ref(): void;
  /** Lets it end. */
  unref(): void;
}

/** The patience of those who wait for one end. */
export class Patience {
  #waiters = 0;
  #isGivenUp = false;
  readonly #holds = new Set<Hold>();

  /** Whether every waiter has given up. */
  get isGivenUp(): boolean {
    return this.#isGivenUp;
  }

  /**
   * Waits for the end. A signal that aborts first rejects this with its reason, and nothing else.
   *
   * @param end what is waited for
   */
  async wait(end: Promise<void>, signal?: AbortSignal): Promise<void> {
    this.#waiters++;
    this.change(false);
    if (signal === undefined) return await end;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const giveUp = (reason: unknown) => {
      this.#waiters--;
      if (this.#waiters === 0) this.change(true);
      reject(reason);
    };
    const ignoreAbort = signal.aborted ? () => {} : onAbort(signal, giveUp);
    if (signal.aborted) giveUp(signal.reason);
    try {
      await Promise.race([end, aborted]);
    } finally {
      ignoreAbort();
    }
  }

  /** Keeps the event loop alive, or not. */
  change(isGivenUp: boolean): void {
    if (this.#isGivenUp === isGivenUp) return;
    this.#isGivenUp = isGivenUp;
    for (const hold of this.#holds) this.#apply(hold);
  }

  #apply(hold: Hold): void {
    if (this.#isGivenUp) hold.unref();
    else hold.ref();
  }

  /** Counts a hold until a promise settles. @returns that promise */
  async holding<T>(hold: Hold, promise: Promise<T>): Promise<T> {
    this.#holds.add(hold);
    if (this.#isGivenUp) hold.unref();
    try {
      return await promise;
    } finally {
      this.#holds.delete(hold);
    }
  }

  /**
   * Resolves after some time.
   *
   * @param signal not aborted yet; ends the pause sooner
   */
  async pause(ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const ignoreAbort = signal === undefined ? () => {} : onAbort(signal, () => resolve());
    await this.holding(timer, promise);
    ignoreAbort();
    clearTimeout(timer);
  }
}
