/**
 * pool_lock.ts: the lock of a pool's files, buckets and tags.
 *
 * @module
 */

import { locks } from "../../core/inside_layers.ts";
import { settleForgetting } from "./mapping.ts";
import { BUFFER, POOL, type PoolMemory } from "./pool_memory.ts";

/** Does something under the pool's lock. Nobody waits while having it. */
export function withLock<T>(memory: PoolMemory, use: () => T): T {
  const { words, arena } = memory;
  locks.lock(words, POOL.lock, arena.threadId, arena.isThreadAlive);
  try {
    if (words[POOL.forgetting] !== 0) settleForgetting(memory);
    return use();
  } finally {
    locks.unlock(words, POOL.lock, arena.threadId);
  }
}

/**
 * The number of a buffer's file; -1: it has no block. Where it has none now, another thread may
 * have taken that away and be about to give it back, which it does under the lock.
 */
export function fileOf(memory: PoolMemory, buffer: number): number {
  const { words } = memory;
  const at = memory.at(buffer) + BUFFER.file;
  return (Atomics.load(words, at) || withLock(memory, () => words[at]!)) - 1;
}
