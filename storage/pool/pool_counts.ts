/**
 * pool_counts.ts: what each thread did with a pool, counted in the pool's memory: each thread adds
 * to its own numbers, and every thread sees them all.
 *
 * @module
 */

import { COUNTS_SIZE, type PoolMemory } from "./pool_memory.ts";

/** What was done with a pool. */
export interface PoolCounts {
  /** Blocks that were there. */
  readonly hits: number;
  /** IOs that read. */
  readonly reads: number;
  /** Blocks that they read. */
  readonly blocksRead: number;
  /** Blocks that another start was reading already. */
  readonly joined: number;
  /** Buffers that got another block. */
  readonly evictions: number;
  /** IOs that wrote. */
  readonly writes: number;
  /** Blocks that they wrote. */
  readonly blocksWritten: number;
  /** Blocks that had to be written before their buffers could get another block. */
  readonly forcedWrites: number;
  /** Blocks that a background writer wrote. */
  readonly backgroundWrites: number;
  /** Waits for a buffer that is not pinned. */
  readonly waits: number;
}

/** What all threads did with a pool. From `pool.stats()`. */
export interface PoolStats extends PoolCounts {
  /**
   * The same for each backend that did anything. A thread goes on with the numbers of the one that
   * had its place before.
   */
  readonly byBackend: readonly (PoolCounts & { readonly backendId: number })[];
}

/** Where each number is. */
export const COUNT = {
  hits: 0,
  reads: 1,
  blocksRead: 2,
  joined: 3,
  evictions: 4,
  writes: 5,
  blocksWritten: 6,
  forcedWrites: 7,
  backgroundWrites: 8,
  waits: 9,
} as const satisfies Readonly<Record<keyof PoolCounts, number>>;

const NAMES = Object.keys(COUNT) as (keyof PoolCounts)[];

/** Sums up what all threads did. */
export function statsOf(memory: PoolMemory, backends: number): PoolStats {
  const sum = new Float64Array(COUNTS_SIZE);
  const byBackend: (PoolCounts & { backendId: number })[] = [];
  for (let backendId = 0; backendId < backends; backendId++) {
    const counts = memory.countsOf(backendId);
    if (counts.every((count) => count === 0)) continue;
    for (let i = 0; i < COUNTS_SIZE; i++) sum[i]! += counts[i]!;
    byBackend.push({ backendId, ...named(counts) });
  }
  return { ...named(sum), byBackend };
}

function named(counts: Float64Array): PoolCounts {
  const entries = NAMES.map((name) => [name, counts[COUNT[name]]!] as const);
  return Object.fromEntries(entries) as Record<keyof PoolCounts, number>;
}
