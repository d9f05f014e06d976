/**
 * pool_lock.ts: the lock of a pool's files, buckets and tags.
 *
 * @module
 */

import { locks } from "../../core/inside_layers.ts";
import { POOL, type PoolMemory } from "./pool_memory.ts";

/** Does something under the pool's lock. Nobody waits while having it. */
export function withLock<T>({ words, arena }: PoolMemory, use: () => T): T {
  return locks.locked(words, POOL.lock, arena.threadId, arena.isThreadAlive, use);
}
