/**
 * io_uring/cached_reads.ts: reads that are in the page cache, executed without the ring.
 *
 * A read that is submitted alone, with nothing else of its backend in flight, is one that somebody
 * waits for at once. If it is in the page cache, the kernel copies it within the submit anyway, and
 * the way through the ring is a quarter of its time. So where the last reads of that kind were
 * there at once, the next is tried by `preadv2` with `RWF_NOWAIT`. What that does not do in full is
 * submitted as ever: no read waits for a device in this thread, and none is shorter for it.
 *
 * @module
 */

import type { AioHandle } from "../../core/io/handle.ts";
import type { MethodBackend } from "../../core/io/method.ts";
import * as layout from "../../core/memory/shared_memory.ts";
import { isBufferedRead } from "../../core/io/cached_read.ts";
import { tryPerformCached } from "../cached_reads.ts";
import type { UringTuning } from "./tuning.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { HANDLE } = layout;

/** The cached reads of one backend. */
export class CachedReads {
  readonly #backend: MethodBackend;
  readonly #hitsMin: number;
  readonly #bytesMax: number;
  /** Reads in a row that were alone and there at once. */
  #hits = 0;

  /**
   * For a backend with a ring.
   *
   * @param backend whose it is
   * @param tuning from how many on, and how long one may be
   */
  constructor(backend: MethodBackend, tuning: UringTuning) {
    this.#backend = backend;
    this.#hitsMin = tuning.cachedReadsMin;
    this.#bytesMax = tuning.inlineBytesMax;
  }

  /** Whether an IO is one to try, or to learn from. Direct reads never are. */
  isCandidate(handle: AioHandle): boolean {
    return isBufferedRead(handle) &&
      handle.words[handle.base + HANDLE.length]! <= this.#bytesMax;
  }

  /** Whether a candidate that was submitted alone was there at once. */
  learn(wasThere: boolean): void {
    this.#hits = wasThere ? this.#hits + 1 : 0;
  }

  /**
   * Executes a staged candidate, if it may be expected to be there and is.
   *
   * @returns whether it is over
   */
  tryPerform(handle: AioHandle): boolean {
    if (this.#hits < this.#hitsMin) return false;
    if (tryPerformCached(this.#backend, handle, false)) return true;
    this.#hits = 0;
    return false;
  }
}
