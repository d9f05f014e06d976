/**
 * cached_reads.ts: reads that are in the page cache, copied and completed in the issuer's thread.
 *
 * @module
 */

import { isBufferedRead, tryReadCached } from "../core/io/cached_read.ts";
import * as counting from "../core/io/counters.ts";
import type { AioHandle } from "../core/io/handle.ts";
import type { MethodBackend } from "../core/io/method.ts";
import { MissPause } from "../core/io/miss_pause.ts";
import * as layout from "../core/memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { COUNTER } = counting;
const { HANDLE } = layout;

/**
 * Executes and completes a staged read if all of it is in memory.
 *
 * @param isContested whether other threads may execute it as soon as it is submitted; whoever
 *   claims it completes it then
 * @returns false if it is not, or nobody can say: nothing has happened then
 */
export function tryPerformCached(
  backend: MethodBackend,
  handle: AioHandle,
  isContested: boolean,
): boolean {
  if (!tryReadCached(backend, handle)) return false;
  backend.prepareSubmit(handle);
  if (isContested && !backend.claim(handle)) return true;
  backend.counters[COUNTER.synchronousByMethod]!++;
  backend.storeCompletion(handle, handle.words[handle.base + HANDLE.length]!);
  backend.publishCompletion(handle);
  return true;
}

/** Most bytes that are copied in one submit: more would hold up the event loop. */
const BYTES_MAX = 1024 * 1024;

/** Tries every read, and after each miss skips twice as many. */
export class CachedTries {
  readonly #backend: MethodBackend;
  #bytesLeft = 0;
  readonly #pause = new MissPause();

  /**
   * For a backend without a ring.
   *
   * @param backend whose it is
   */
  constructor(backend: MethodBackend) {
    this.#backend = backend;
  }

  /** To be called when a submit begins. */
  begin(): void {
    this.#bytesLeft = BYTES_MAX;
  }

  /**
   * Executes a staged read if it is there.
   *
   * @returns whether it is over, or another thread executes it
   */
  tryPerform(handle: AioHandle): boolean {
    if (!isBufferedRead(handle) || this.#pause.skips()) return false;
    const { words, base } = handle;
    this.#bytesLeft -= words[base + HANDLE.length]!;
    if (this.#bytesLeft < 0) return false;
    return this.#pause.note(tryPerformCached(this.#backend, handle, true));
  }
}
