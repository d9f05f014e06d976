/**
 * acquire_queue.ts: the tasks that await a handle, first come, first served.
 *
 * A handle is given to a function, not to a promise: only one may be handed out at a time, so its
 * user has to start it before anybody else gets on.
 *
 * @module
 */

import { onAbort } from "../base/abort.ts";
import { AioApiError } from "../base/errors.ts";
import type { AioHandle, HandleOwner } from "../io/handle.ts";
import { isThenable, swallowRejection } from "../base/promise.ts";
import type { AioReturn } from "../io/result.ts";

/** Prepares and starts a handle, or releases it, before it returns. */
export type UseHandle<T> = (handle: AioHandle) => T;

/** Where the queue gets handles from. */
export interface HandleSource {
  /** A handle, or null if none is idle or another one is handed out. */
  tryAcquire(owner: HandleOwner | null, ret: AioReturn | null): AioHandle | null;
  /** Takes back a handle that was neither started nor released. @returns whether it was neither */
  giveBack(handle: AioHandle): boolean;
  /** Has IO end, as somebody waits for the handle of any. */
  hasNone(): void;
}

interface Entry {
  readonly owner: HandleOwner | null;
  readonly ret: AioReturn | null;
  readonly signal: AbortSignal | undefined;
  run(handle: AioHandle): void;
  refuse(error: unknown): void;
}

/** The queue of one backend. */
export class AcquireQueue {
  readonly #source: HandleSource;
  #entries: Entry[] = [];
  #isServing = false;

  /**
   * @param source gives and takes back handles
   */
  constructor(source: HandleSource) {
    this.#source = source;
  }

  /** How many wait. */
  get length(): number {
    return this.#entries.length;
  }

  /** Has `use` called with a handle once there is one; at once, if nobody waits and one is idle. */
  enqueue<T>(
    use: UseHandle<T>,
    owner: HandleOwner | null,
    ret: AioReturn | null,
    signal?: AbortSignal,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    let isWaiting = true;
    let ignoreAbort = () => {};
    const leave = () => {
      isWaiting = false;
      ignoreAbort();
    };
    const entry: Entry = {
      owner,
      ret,
      signal,
      run: (handle) => {
        leave();
        try {
          resolve(this.#use(use, handle));
        } catch (error) {
          reject(error);
        }
      },
      refuse: (error) => {
        leave();
        reject(error);
      },
    };
    this.#entries.push(entry);
    this.#serve();
    if (signal === undefined || !isWaiting) return promise;
    const giveUp = (reason: unknown) => {
      this.#entries.splice(this.#entries.indexOf(entry), 1);
      reject(reason);
    };
    if (signal.aborted) giveUp(signal.reason);
    else ignoreAbort = onAbort(signal, giveUp);
    return promise;
  }

  #use<T>(use: UseHandle<T>, handle: AioHandle): T {
    let value: T;
    try {
      value = use(handle);
    } catch (error) {
      this.#source.giveBack(handle);
      throw error;
    }
    if (!this.#source.giveBack(handle)) return value;
    if (isThenable(value)) swallowRejection(value);
    throw new AioApiError(
      `Handle ${handle.index} was neither started nor released by the function given to acquireAsync()`,
    );
  }

  /** Serves once the calls now running are done. */
  serveSoon(): void {
    if (this.#isServing) return;
    this.#isServing = true;
    queueMicrotask(() => {
      this.#isServing = false;
      this.#serve();
    });
  }

  #serve(): void {
    while (this.#entries.length > 0) {
      const entry = this.#entries[0]!;
      // Nobody listens yet, if whoever was served just now has aborted it.
      if (entry.signal?.aborted === true) {
        this.#entries.shift();
        entry.refuse(entry.signal.reason);
        continue;
      }
      let handle: AioHandle | null;
      try {
        handle = this.#source.tryAcquire(entry.owner, entry.ret);
      } catch (error) {
        this.#entries.shift();
        entry.refuse(error);
        continue;
      }
      if (handle === null) return this.#source.hasNone();
      this.#entries.shift();
      entry.run(handle);
    }
  }

  /** Refuses everybody who waits. */
  refuseAll(error: unknown): void {
    const entries = this.#entries;
    this.#entries = [];
    for (const entry of entries) entry.refuse(error);
  }
}
