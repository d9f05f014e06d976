/**
 * pool_lock.ts: the lock of a pool's files, buckets and tags.
 *
 * @module
 */

import { lock, unlock } from "../../core/inside.ts";
import { POOL, type PoolMemory } from "./pool_memory.ts";

/** Does something under the pool's lock. Nobody waits while having it. */
export function withLock<T>({ words, arena }: PoolMemory, use: () => T): T {
  const { threadId, isThreadAlive } = arena;
  lock(words, POOL.lock, threadId, isThreadAlive);
  try {
    return use();
  } finally {
    unlock(words, POOL.lock, threadId);
  }
}
