/**
 * victims.ts: how a buffer is taken from its block and given another one.
 *
 * ```text
 * clock sweep ─► pinned alone ─► written back, if it is newer than the file ─► file out of the tag
 *   no other pin: out of its chain ─► another block ─► in another chain
 *   another pin:  the file is put back ─► clock sweep
 * ```
 *
 * A thread that dies on the way leaves a buffer without a file that it has pinned: whoever reaps it
 * takes the buffer out of its chain (pool_reaper.ts).
 *
 * @module
 */

import { get, type Steps } from "../../core/inside.ts";
import { countUse, sweep } from "./clock_sweep.ts";
import { empty, find, link, look } from "./mapping.ts";
import { BUFFER, BUFFER_STATE, NO_BUFFER } from "./pool_memory.ts";
import type { PoolSide } from "./pool_side.ts";
import { announceWait, changeOf, unpinnedOf } from "./wait_words.ts";

/** Victims of one thread. */
export class Victims {
  readonly #pool: PoolSide;

  /** @param pool of this thread */
  constructor(pool: PoolSide) {
    this.#pool = pool;
  }

  /** Pins the buffer of a block if there is one. @returns `NO_BUFFER`: none was found */
  tryPin(file: number, block: number): number {
    const { memory, pins } = this.#pool;
    const buffer = look(memory, file, block);
    if (buffer === NO_BUFFER || !pins.tryPin(buffer, file, block)) return NO_BUFFER;
    countUse(memory.words, memory.at(buffer));
    return buffer;
  }

  /**
   * Pins the buffer of a block; if there is none, one that it then has, whose content is not there.
   *
   * @param isOptional whether `NO_BUFFER` is an answer, where a free one has to be waited for
   */
  *pinBlock(file: number, block: number, isOptional: boolean): Steps<number> {
    const found = this.tryPin(file, block);
    if (found !== NO_BUFFER) return found;
    const victim = yield* this.#take(isOptional);
    if (victim === NO_BUFFER) return NO_BUFFER;
    const { memory, pins } = this.#pool;
    // Another thread, or another task of this one, may have been faster.
    const other = this.#pool.locked(() => {
      const buffer = find(memory, file, block);
      if (buffer === NO_BUFFER) link(memory, victim, file, block);
      else pins.tryPin(buffer, file, block);
      return buffer;
    });
    if (other !== NO_BUFFER) {
      pins.unpin(victim);
      countUse(memory.words, memory.at(other));
      return other;
    }
    countUse(memory.words, memory.at(victim));
    return victim;
  }

  /** Pins a buffer that has no block. */
  *#take(isOptional: boolean): Steps<number> {
    for (;;) {
      const buffer = sweep(this.#pool.memory, this.#pool.pins);
      if (buffer === NO_BUFFER) {
        if (isOptional) return NO_BUFFER;
        yield* this.#waitForUnpinned();
      } else if (yield* this.#tryFree(buffer)) {
        return buffer;
      }
    }
  }

  /** Takes the block of a buffer away that this thread has pinned; if not, it is unpinned. */
  *#tryFree(buffer: number): Steps<boolean> {
    const { memory, pins, stats } = this.#pool;
    const hasBlock = Atomics.load(memory.words, memory.at(buffer) + BUFFER.file) !== 0;
    const stateAt = memory.at(buffer) + BUFFER.state;
    // What has no block any more has nowhere to be written to.
    if (hasBlock && (Atomics.load(memory.words, stateAt) & BUFFER_STATE.dirty) !== 0) {
      yield* this.#pool.writeVictims(buffer);
    }
    if (this.tryForget(buffer)) {
      if (hasBlock) stats.evictions++;
      return true;
    }
    pins.unpin(buffer);
    return false;
  }

  /**
   * Forgets pages of a file without writing them back, also changed and torn ones. It waits until
   * no other thread has them pinned.
   *
   * @param file its number
   * @param block the block; -1: all
   * @returns how many
   * @throws {Deno.errors.Busy} for a page that this thread has pinned
   */
  *invalidate(file: number, block: number): Steps<number> {
    const { memory, pins } = this.#pool;
    let count = 0;
    for (let buffer = 0; buffer < memory.pages; buffer++) {
      const at = memory.at(buffer);
      if (Atomics.load(memory.words, at + BUFFER.file) !== file + 1) continue;
      const own = Atomics.load(memory.words, at + BUFFER.block);
      if ((block >= 0 && own !== block) || !pins.tryPin(buffer, file, own)) continue;
      try {
        yield* this.#forgetAlone(buffer, own);
      } finally {
        pins.unpin(buffer);
      }
      count++;
    }
    return count;
  }

  *#forgetAlone(buffer: number, block: number): Steps<void> {
    const { memory, pins, calls, backendId } = this.#pool;
    const word = changeOf(memory, buffer);
    for (;;) {
      const seen = announceWait(word, backendId);
      if (this.tryForget(buffer, true)) return;
      if (pins.countOf(buffer) > 1) {
        throw new Deno.errors.Busy(
          `Cannot forget block ${block} while a task of this thread has it pinned: release it first`,
        );
      }
      if (this.#pool.hasIo(buffer)) yield* this.#pool.waitForIo(buffer);
      else yield* get(calls.changed(word, seen));
    }
  }

  /**
   * Takes the block of a buffer away that this thread has pinned.
   *
   * @param isForced whether changes that are not written back are lost
   * @returns false if somebody else has it pinned, or locked, or it is newer than the file
   */
  tryForget(buffer: number, isForced = false): boolean {
    const { memory, pins } = this.#pool;
    const { words } = memory;
    const at = memory.at(buffer);
    return this.#pool.locked(() => {
      const file = words[at + BUFFER.file]!;
      const state = Atomics.load(words, at + BUFFER.state);
      const isLost = isForced || file === 0;
      const keeps = isLost ? 0 : BUFFER_STATE.dirty | BUFFER_STATE.torn;
      if ((state & keeps) !== 0) return false;
      if (Atomics.load(words, at + BUFFER.io) !== 0) return false;
      Atomics.store(words, at + BUFFER.file, 0);
      if (!pins.isAlone(buffer)) {
        Atomics.store(words, at + BUFFER.file, file);
        return false;
      }
      empty(memory, buffer);
      return true;
    });
  }

  /** All are pinned. */
  *#waitForUnpinned(): Steps<void> {
    const { memory, pins, backendId, calls, stats } = this.#pool;
    const word = unpinnedOf(memory);
    const seen = announceWait(word, backendId);
    if (pins.pinned >= memory.pages) {
      throw new Deno.errors.Busy(
        `Cannot read a page while all ${memory.pages} pages of the pool are pinned by this thread: ` +
          `release some, or give openPool() more "pages"`,
      );
    }
    const unpinned = this.#findUnpinned();
    if (unpinned === NO_BUFFER) {
      stats.waits++;
      yield* get(calls.changed(word, seen));
    } else yield* this.#pool.waitForIo(unpinned);
  }

  /** A buffer that nobody has pinned, though an IO may have it. */
  #findUnpinned(): number {
    const { memory } = this.#pool;
    for (let buffer = 0; buffer < memory.pages; buffer++) {
      if (Atomics.load(memory.words, memory.at(buffer) + BUFFER.pins) === 0) return buffer;
    }
    return NO_BUFFER;
  }
}
