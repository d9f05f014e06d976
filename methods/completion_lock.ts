/**
 * completion_lock.ts: whoever takes completions out of what the kernel keeps for a backend holds
 * that backend's completion lock, for methods in which any thread may.
 *
 * @module
 */

import type { MethodBackend } from "../core/io/method.ts";
import * as locks from "../core/memory/lock.ts";
import { BACKEND } from "../core/memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { lock, tryLock, unlock } = locks;

/** After so many looks that found a lock taken, check whether its holder lives. */
const LOOKS_UNTIL_ASKED = 64;

/** The completion locks of all backends, as one of them takes them without waiting. */
export class CompletionLocks {
  readonly #backend: MethodBackend;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #threadId: number;
  readonly #isAlive: (threadId: number) => boolean;
  #looksForNothing = 0;

  /**
   * @param backend takes them
   */
  constructor(backend: MethodBackend) {
    const { control, libc } = backend;
    this.#backend = backend;
    this.#words = control.words;
    this.#threadId = libc.threadId();
    this.#isAlive = (threadId) => libc.isThreadAlive(threadId);
  }

  #lockAt(owner: number): number {
    return this.#backend.control.backendAt(owner) + BACKEND.completionLock;
  }

  /** @returns false if another thread has it */
  tryLock(owner: number): boolean {
    this.#looksForNothing++;
    const isAsking = this.#looksForNothing % LOOKS_UNTIL_ASKED === 0;
    const lockAt = this.#lockAt(owner);
    const isLocked = tryLock(this.#words, lockAt, this.#threadId, this.#isAlive, isAsking);
    if (isLocked) this.#looksForNothing = 0;
    return isLocked;
  }

  /** Gives back what {@linkcode tryLock} took. */
  unlock(owner: number): void {
    unlock(this.#words, this.#lockAt(owner), this.#threadId);
  }
}

/**
 * Runs something with the completion lock of a backend, and waits for it if it must.
 *
 * @param backend runs it
 * @param owner whose lock it is
 */
export function withCompletionLock<T>(backend: MethodBackend, owner: number, use: () => T): T {
  const { control, libc } = backend;
  const lockAt = control.backendAt(owner) + BACKEND.completionLock;
  const threadId = libc.threadId();
  lock(control.words, lockAt, threadId, (holder) => libc.isThreadAlive(holder));
  try {
    return use();
  } finally {
    unlock(control.words, lockAt, threadId);
  }
}
