/**
 * content_lock.ts: the lock of a buffer's content: shared by any number of threads and tasks, or
 * one task's alone. In shared memory that is one bit a backend, or the backend that has it alone;
 * which tasks of a thread have it, the thread keeps in its own memory.
 *
 * A write to the file keeps exclusive locks away, too: the writer shares the lock until the
 * buffer's IO word says that it writes. Whoever wants the lock alone claims it, then looks for
 * those who share it, then for a write: at one of the two it sees the writer.
 *
 * @module
 */

import { announceWait, get, type LayerHost, type Steps } from "../../core/inside.ts";
import { isWrite } from "./buffer_io.ts";
import type { PoolCalls } from "./calls.ts";
import type { PoolEnd } from "./pool_end.ts";
import { BUFFER, BUFFER_STATE, EXCLUSIVE_GRANTED, type PoolMemory } from "./pool_memory.ts";
import { changeOf, tellChange } from "./wait_words.ts";

/** How a page is locked. */
export type LockMode = "shared" | "exclusive";

/** What locks need of a pool's thread. */
export interface LockHost {
  readonly memory: PoolMemory;
  readonly backendId: number;
  readonly bells: LayerHost["bells"];
}

/** How a lock is waited for. */
export interface LockWaits {
  readonly calls: PoolCalls;
  /** Whether that blocks the thread. */
  readonly blocks: boolean;
  /** Waits until a buffer has no IO. */
  waitForIo(buffer: number): Steps<void>;
}

/** For whom a lock is. */
export interface LockWish {
  /**
   * Whether it is shared with those of this thread that share it already, though another task waits
   * to have it alone: for a task that may be one of them, and would wait for itself.
   */
  readonly joins: boolean;
  /** Of the thread's calls, if it is to end the wait. */
  readonly end: PoolEnd | null;
}

/** A lock that is waited for. */
interface Wait {
  readonly buffer: number;
  readonly pool: LockWaits;
  readonly end: PoolEnd | null;
  /** Whether the thread's claim is this one's. */
  readonly hasClaim: boolean;
}

/** The content locks of one thread. */
export class ContentLocks {
  readonly #host: LockHost;
  readonly #bit: number;
  /** Whether {@linkcode tearAll} was called. */
  isTorn = false;
  /** How many tasks of this thread share a buffer's lock. */
  readonly #shared = new Map<number, number>();

  /** @param host the pool's thread */
  constructor(host: LockHost) {
    this.#host = host;
    this.#bit = 1 << host.backendId;
  }

  /**
   * Takes the lock if that is possible now.
   *
   * @param joins see {@linkcode LockWish}
   */
  tryLock(buffer: number, mode: LockMode, joins: boolean): boolean {
    return mode === "shared" ? this.#tryShare(buffer, joins) : this.#tryTakeAlone(buffer);
  }

  #tryShare(buffer: number, joins: boolean): boolean {
    const { memory: { words }, memory } = this.#host;
    const at = memory.at(buffer);
    const sharers = this.#shared.get(buffer) ?? 0;
    if (sharers === 0 || !joins) {
      if (Atomics.load(words, at + BUFFER.exclusive) !== 0) return false;
    }
    if (sharers === 0) {
      Atomics.or(words, at + BUFFER.shared, this.#bit);
      if (Atomics.load(words, at + BUFFER.exclusive) !== 0) {
        this.#endSharing(buffer);
        return false;
      }
    }
    this.#shared.set(buffer, sharers + 1);
    return true;
  }

  #endSharing(buffer: number): void {
    const { memory, bells } = this.#host;
    Atomics.and(memory.words, memory.at(buffer) + BUFFER.shared, ~this.#bit);
    tellChange(bells, memory, buffer);
  }

  #tryTakeAlone(buffer: number): boolean {
    if (!this.#isShared(buffer) && this.#tryClaim(buffer)) {
      if (this.#tryGrant(buffer)) return true;
      this.unlock(buffer, "exclusive");
    }
    return false;
  }

  /** Says that this thread has the lock alone as soon as nobody shares it or writes the page. */
  #tryClaim(buffer: number): boolean {
    const { memory: { words }, memory, backendId } = this.#host;
    const at = memory.at(buffer) + BUFFER.exclusive;
    return Atomics.compareExchange(words, at, 0, backendId + 1) === 0;
  }

  /** A writer sets the IO's word before it ends its share: so the share is looked at first. */
  #isShared(buffer: number): boolean {
    const { memory: { words }, memory } = this.#host;
    const at = memory.at(buffer);
    if (Atomics.load(words, at + BUFFER.shared) !== 0) return true;
    const io = Atomics.load(words, at + BUFFER.io);
    return io !== 0 && isWrite(io);
  }

  /** The content may be changed from now on: if this thread dies, it is torn. */
  #tryGrant(buffer: number): boolean {
    if (this.#isShared(buffer)) return false;
    const { memory, backendId } = this.#host;
    const at = memory.at(buffer) + BUFFER.exclusive;
    Atomics.store(memory.words, at, backendId + 1 | EXCLUSIVE_GRANTED);
    return true;
  }

  /** Gives it back. */
  unlock(buffer: number, mode: LockMode): void {
    const { memory, bells } = this.#host;
    if (mode === "exclusive") {
      Atomics.store(memory.words, memory.at(buffer) + BUFFER.exclusive, 0);
      tellChange(bells, memory, buffer);
      return;
    }
    const sharers = this.#shared.get(buffer)! - 1;
    if (sharers > 0) {
      this.#shared.set(buffer, sharers);
      return;
    }
    this.#shared.delete(buffer);
    this.#endSharing(buffer);
  }

  /**
   * Takes the lock, waiting for it. Whoever waits to have it alone keeps new sharers away, so that
   * it comes to its turn.
   *
   * @param pool waits for a write that keeps the lock away
   */
  *lock(
    buffer: number,
    mode: LockMode,
    pool: LockWaits,
    { joins, end }: LockWish,
  ): Steps<void> {
    const wait = { buffer, pool, end, hasClaim: false };
    if (mode === "shared") return yield* this.#until(wait, () => this.#tryShare(buffer, joins));
    yield* this.#until(wait, () => this.#tryClaim(buffer));
    let isGranted = false;
    try {
      const claimed = { ...wait, hasClaim: true };
      yield* this.#until(claimed, () => isGranted = this.#tryGrant(buffer));
    } finally {
      if (!isGranted) this.unlock(buffer, "exclusive");
    }
  }

  *#until({ buffer, pool, end, hasClaim }: Wait, tryIt: () => boolean): Steps<void> {
    const { memory, backendId } = this.#host;
    const word = changeOf(memory, buffer);
    while (!tryIt()) {
      const seen = announceWait(word, backendId);
      if (tryIt()) return;
      if (pool.blocks && this.#isOwnObstacle(buffer, hasClaim)) {
        throw new Deno.errors.Busy(
          "Cannot block for the lock of a page that a task of this thread has, or waits for: " +
            "await lock() instead",
        );
      }
      const io = Atomics.load(memory.words, memory.at(buffer) + BUFFER.io);
      // A lock may be in the way, too: then that is looked at next.
      if (io !== 0 && isWrite(io)) yield* pool.waitForIo(buffer);
      else yield* get(pool.calls.changed(word, seen));
      end?.check();
    }
  }

  /**
   * Whether tasks of this thread keep the lock from being taken. One that waits for it does so,
   * too: it goes on when the thread does.
   */
  #isOwnObstacle(buffer: number, hasClaim: boolean): boolean {
    if (this.#shared.has(buffer)) return true;
    const { memory: { words }, memory, backendId } = this.#host;
    const holder = Atomics.load(words, memory.at(buffer) + BUFFER.exclusive);
    return !hasClaim && (holder & ~EXCLUSIVE_GRANTED) === backendId + 1;
  }

  /**
   * Ends the exclusive locks of this thread, as if it had died: half of a change may be there.
   *
   * @returns how many
   */
  tearAll(): number {
    this.isTorn = true;
    const { memory, bells, backendId } = this.#host;
    let torn = 0;
    for (let buffer = 0; buffer < memory.pages; buffer++) {
      const at = memory.at(buffer);
      const holder = Atomics.load(memory.words, at + BUFFER.exclusive);
      if (holder !== (backendId + 1 | EXCLUSIVE_GRANTED)) continue;
      Atomics.or(memory.words, at + BUFFER.state, BUFFER_STATE.torn);
      Atomics.store(memory.words, at + BUFFER.exclusive, 0);
      tellChange(bells, memory, buffer);
      torn++;
    }
    return torn;
  }

  /** The state bits of a buffer say that it is newer than the file. */
  markDirty(buffer: number): void {
    const { memory } = this.#host;
    Atomics.or(memory.words, memory.at(buffer) + BUFFER.state, BUFFER_STATE.dirty);
  }
}
