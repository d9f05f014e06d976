/**
 * calls.ts: what a pool waits for, blocking or awaiting: a handle, an IO, a word. The sequences
 * around it are written once (`Steps`).
 *
 * @module
 */

import type { Backend, Eventually, WaitWord } from "../../core/inside.ts";
import type { AioCore, AioHandle, AioReturn, WaitRef } from "../../core/mod.ts";
import type { PoolEnd } from "./pool_end.ts";

/** One of the two ways to wait. */
export interface PoolCalls {
  /** Calls `use` with a handle, which has to start or release it. */
  withHandle<T>(use: (handle: AioHandle) => T, ret: AioReturn | null): Eventually<T>;
  /** Waits for an IO of any thread. */
  wait(ref: WaitRef): Eventually<void>;
  /** Waits until a word does not hold a value. */
  changed(word: WaitWord, value: number): Eventually<void>;
}

/** Blocks the thread. */
export function blockingCalls(aio: AioCore, { wordWaits }: Backend): PoolCalls {
  return {
    withHandle: (use, ret) => use(aio.acquire(null, ret)),
    wait: (ref) => aio.waitSync(ref),
    changed: (word, value) => wordWaits.waitSync(word, value),
  };
}

/** Awaits. */
export function awaitedCalls(aio: AioCore, backend: Backend, end: PoolEnd): PoolCalls {
  return {
    withHandle(use, ret) {
      const handle = backend.mayAcquire ? backend.tryAcquire(null, ret) : null;
      return handle !== null ? use(handle) : aio.acquireAsync(use, null, ret);
    },
    wait: (ref) => aio.wait(ref),
    changed: (word, value) => end.changed(word, value),
  };
}
