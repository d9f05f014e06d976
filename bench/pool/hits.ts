/**
 * hits.ts: reads of pages that are in a pool, as fast as a thread can.
 *
 * @module
 */

import type { AioFile, PagePool } from "../../mod.ts";

/** Hits between two looks at the clock. */
export const LOOPS = 65_536;

/** So many blocks from the first on, a power of two, in random order. */
export function shuffled(first: number, count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => first + i);
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(Math.random() * (i + 1));
    [order[i], order[other]] = [order[other]!, order[i]!];
  }
  return order;
}

/** Pins and releases {@linkcode LOOPS} pages. */
export function hitsIn(pool: PagePool, file: AioFile, order: Int32Array): () => void {
  const mask = order.length - 1;
  return () => {
    for (let i = 0; i < LOOPS; i++) pool.tryRead(file, order[i & mask]!)!.release();
  };
}

/** Repeats it for so long. @returns loops a second, each by itself */
export function whileSeconds(seconds: number, run: () => void): number {
  const start = performance.now();
  let count = 0;
  let ms = 0;
  while (ms < seconds * 1000) {
    run();
    count += LOOPS;
    ms = performance.now() - start;
  }
  return count / ms * 1000;
}
