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

import { announceWait, get, type Steps } from "../../core/inside.ts";
import type { BufferRing } from "./buffer_ring.ts";
import { countScan, countUse, stepBack, sweep } from "./clock_sweep.ts";
import { find, forgetTaken, giveFileBack, link, takeFile } from "./mapping.ts";
import { bufferOf } from "./pin_code.ts";
import { COUNT } from "./pool_counts.ts";
import { fileOf } from "./pool_lock.ts";
import { BUFFER, BUFFER_STATE, NO_BUFFER } from "./pool_memory.ts";
import type { PoolSide } from "./pool_side.ts";
import { changeOf, unpinnedOf } from "./wait_words.ts";

/** What came of the attempt to forget the page of a buffer. */
const FORGOTTEN = 0;
/** The buffer has another block by now. */
const GONE = 1;
/** Another thread has it pinned, or an IO has it. */
const IN_USE = 2;
/** A task of this thread has it pinned. */
const OWN_PIN = 3;
type Forgetting = typeof FORGOTTEN | typeof GONE | typeof IN_USE | typeof OWN_PIN;

/** Victims of one thread. */
export class Victims {
  readonly #pool: PoolSide;

  /** @param pool of this thread */
  constructor(pool: PoolSide) {
    this.#pool = pool;
  }

  /**
   * Pins the buffer of a block if there is one.
   *
   * @param ring of a scan: however often that comes by, it counts once
   * @returns `NO_BUFFER`: none was found
   */
  tryPin(file: number, block: number, ring: BufferRing | null = null): number {
    const pinned = this.tryPinned(file, block, ring);
    return pinned < 0 ? NO_BUFFER : bufferOf(pinned);
  }

  /** The same. @returns the buffer and its state (pin_code.ts); below 0: none was found */
  tryPinned(file: number, block: number, ring: BufferRing | null): number {
    const { memory, pins } = this.#pool;
    const pinned = pins.tryPinBlock(file, block);
    if (pinned < 0) return pinned;
    const at = memory.at(bufferOf(pinned));
    if (ring === null) countUse(memory.words, at);
    else countScan(memory.words, at);
    return pinned;
  }

  /** The same, under the pool's lock: a look without it may miss what is there. */
  tryPinFound(file: number, block: number): number {
    const { memory, pins } = this.#pool;
    return this.#pool.locked(() => {
      const buffer = find(memory, file, block);
      return buffer !== NO_BUFFER && pins.tryPin(buffer, file, block) ? buffer : NO_BUFFER;
    });
  }

  /**
   * Pins the buffer of a block; if there is none, one that it then has, whose content is not there.
   *
   * @param isOptional whether `NO_BUFFER` is an answer, where a free one has to be waited for
   * @param ring of a scan, whose buffers are its first victims
   */
  *pinBlock(
    file: number,
    block: number,
    isOptional: boolean,
    ring: BufferRing | null,
  ): Steps<number> {
    const found = this.tryPin(file, block, ring);
    if (found !== NO_BUFFER) return found;
    const { memory, pins, end, files } = this.#pool;
    const use = files.useOf(file);
    for (;;) {
      end.check();
      files.checkUse(file, use);
      const own = ring?.tryTake(memory, pins) ?? NO_BUFFER;
      const victim = own === NO_BUFFER ? sweep(memory, pins) : own;
      if (victim === NO_BUFFER) {
        if (isOptional) return NO_BUFFER;
        yield* this.#waitForUnpinned(1);
        continue;
      }
      if (this.#isDirty(victim)) yield* this.#writeBack(victim, file, use);
      const buffer = this.#exchange(victim, file, block);
      if (buffer === victim) ring?.put(buffer);
      if (buffer !== NO_BUFFER) return buffer;
    }
  }

  /**
   * As {@linkcode pinBlock}, without waiting for anybody.
   *
   * @returns `NO_BUFFER`, too, if something would have to be written back for it
   */
  tryPinBlock(file: number, block: number): number {
    const { memory, pins } = this.#pool;
    const found = this.tryPin(file, block);
    if (found !== NO_BUFFER) return found;
    const victim = sweep(memory, pins);
    if (victim === NO_BUFFER) return NO_BUFFER;
    if (!this.#isDirty(victim)) return this.#exchange(victim, file, block);
    pins.unpin(victim);
    // Its turn has come all the same.
    stepBack(memory);
    return NO_BUFFER;
  }

  #isDirty(buffer: number): boolean {
    const { memory: { words }, memory } = this.#pool;
    const at = memory.at(buffer);
    // What has no block any more has nowhere to be written to.
    return words[at + BUFFER.file] !== 0 &&
      (Atomics.load(words, at + BUFFER.state) & BUFFER_STATE.dirty) !== 0;
  }

  /**
   * For a block of a file, which may be closed meanwhile. The pin is the pool's own until the page
   * is written: the user has not asked for that page.
   */
  *#writeBack(victim: number, file: number, use: number): Steps<void> {
    const { pins, files, end } = this.#pool;
    pins.toWork(victim);
    try {
      yield* this.#pool.writeVictims(victim);
      end.check();
      files.checkUse(file, use);
    } catch (error) {
      pins.endWork(victim);
      throw error;
    }
    pins.toUser(victim);
  }

  /**
   * Gives a victim another block. Another thread, or another task of this one, may have given that
   * block a buffer meanwhile.
   *
   * @returns the buffer that has the block, pinned; `NO_BUFFER`: the victim was none. In both of
   *   these cases it is unpinned
   */
  #exchange(victim: number, file: number, block: number): number {
    const { memory, pins, counts } = this.#pool;
    const buffer = this.#pool.locked(() => {
      const hadBlock = memory.words[memory.at(victim) + BUFFER.file] !== 0;
      if (!this.#tryForget(victim, false)) return NO_BUFFER;
      if (hadBlock) counts[COUNT.evictions]!++;
      const other = find(memory, file, block);
      if (other !== NO_BUFFER && pins.tryPin(other, file, block)) return other;
      link(memory, victim, file, block);
      return victim;
    });
    if (buffer !== victim) pins.unpin(victim);
    if (buffer !== NO_BUFFER) countUse(memory.words, memory.at(buffer));
    return buffer;
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
    const { memory, files } = this.#pool;
    const use = files.useOf(file);
    let count = 0;
    for (let buffer = 0; buffer < memory.pages; buffer++) {
      if (fileOf(memory, buffer) !== file) continue;
      const own = Atomics.load(memory.words, memory.at(buffer) + BUFFER.block);
      if (block >= 0 && own !== block) continue;
      if (yield* this.#forget(buffer, file, own)) count++;
      files.checkUse(file, use);
    }
    return count;
  }

  /**
   * Forgets the page of a buffer. It pins the buffer under the pool's lock only, and not while it
   * waits: another thread that forgets the page as well would wait for that pin.
   *
   * @returns false if the buffer has another block by then
   */
  *#forget(buffer: number, file: number, block: number): Steps<boolean> {
    const { memory, calls, backendId, end, files } = this.#pool;
    const use = files.useOf(file);
    const word = changeOf(memory, buffer);
    for (;;) {
      const seen = announceWait(word, backendId);
      const found = this.#pool.locked(() => this.#tryForgetUnpinned(buffer, file, block));
      if (found === OWN_PIN) {
        throw new Deno.errors.Busy(
          `Cannot forget block ${block} while a task of this thread has it pinned: release it first`,
        );
      }
      if (found !== IN_USE) return found === FORGOTTEN;
      if (this.#pool.hasIo(buffer)) yield* this.#pool.waitForIo(buffer);
      else yield* get(calls.changed(word, seen));
      end.check();
      files.checkUse(file, use);
    }
  }

  /** The caller has the pool's lock: no other thread takes the buffer's file away meanwhile. */
  #tryForgetUnpinned(buffer: number, file: number, block: number): Forgetting {
    const { memory: { words }, memory, pins } = this.#pool;
    const at = memory.at(buffer);
    if (words[at + BUFFER.file] !== file + 1 || words[at + BUFFER.block] !== block) return GONE;
    if (pins.countOf(buffer) > 0) return OWN_PIN;
    if (!pins.tryOwn(buffer)) return IN_USE;
    const isForgotten = this.#tryForget(buffer, true);
    pins.unpin(buffer);
    return isForgotten ? FORGOTTEN : IN_USE;
  }

  /**
   * Takes the block of a buffer away that this thread has pinned. The caller has the pool's lock.
   *
   * @param isForced whether changes that are not written back are lost
   * @returns false if somebody else has it pinned, or locked, or it is newer than the file
   */
  #tryForget(buffer: number, isForced: boolean): boolean {
    const { memory: { words }, memory, pins } = this.#pool;
    const at = memory.at(buffer);
    const isLost = isForced || words[at + BUFFER.file] === 0;
    if (this.#isKept(at, isLost)) return false;
    takeFile(memory, buffer);
    // No new pin can come. A thread may have pinned the buffer since the first look, changed it or
    // begun to write it, and let go. So the state is looked at again, after the pins.
    const isForgotten = pins.isAlone(buffer) && !this.#isKept(at, isLost);
    if (isForgotten) forgetTaken(memory, buffer);
    else giveFileBack(memory, buffer);
    return isForgotten;
  }

  /** Whether a buffer is being read or written, or newer than the file and not to be lost. */
  #isKept(at: number, isLost: boolean): boolean {
    const { memory: { words } } = this.#pool;
    const keeps = isLost ? 0 : BUFFER_STATE.dirty | BUFFER_STATE.torn;
    return (Atomics.load(words, at + BUFFER.state) & keeps) !== 0 ||
      Atomics.load(words, at + BUFFER.io) !== 0;
  }

  /**
   * Pins the buffers of blocks in a row. It waits with none of them pinned: two threads that each
   * had some would wait for each other.
   *
   * @param buffers gets them, also where it throws
   */
  *pinBlocks(file: number, first: number, count: number, buffers: number[]): Steps<void> {
    const { pins, files } = this.#pool;
    const use = files.useOf(file);
    while (buffers.length < count) {
      const buffer = yield* this.pinBlock(file, first + buffers.length, true, null);
      if (buffer !== NO_BUFFER) {
        buffers.push(buffer);
        continue;
      }
      for (const one of buffers.splice(0)) pins.unpin(one);
      yield* this.#waitForUnpinned(count);
      files.checkUse(file, use);
    }
  }

  /** So many are not there: all others are pinned, or torn, or have an IO. */
  *#waitForUnpinned(wanted: number): Steps<void> {
    const { memory, pins, backendId, calls, counts } = this.#pool;
    const word = unpinnedOf(memory);
    const seen = announceWait(word, backendId);
    const { free, torn, withIo } = this.#countUnpinned(wanted);
    if (free >= wanted) return;
    if (pins.pinned + torn > memory.pages - wanted) throw this.#busy(wanted, torn);
    if (this.#pool.blocks && pins.countAll() + torn > memory.pages - wanted) {
      throw new Deno.errors.Busy(
        "Cannot block for a place in the pool while tasks of this thread write its pages back: " +
          "await read() instead",
      );
    }
    if (withIo === NO_BUFFER) {
      counts[COUNT.waits]!++;
      yield* get(calls.changed(word, seen));
    } else yield* this.#pool.waitForIo(withIo);
  }

  #busy(wanted: number, torn: number): Error {
    const { memory: { pages }, pins: { pinned } } = this.#pool;
    const what = wanted === 1 ? "read a page" : `extend a file by ${wanted} pages`;
    const which = pinned === pages ? `all ${pages}` : `${pinned} of the ${pages}`;
    const [and, or] = torn === 0
      ? ["", ""]
      : [` and ${torn} are torn`, " invalidate() or repair() those,"];
    return new Deno.errors.Busy(
      `Cannot ${what} while ${which} pages of the pool are pinned by this thread${and}: ` +
        `release some,${or} or give openPool() more "pages"`,
    );
  }

  /**
   * Counts the buffers that nobody has pinned, until there are enough.
   *
   * @returns `withIo`: the first that has an IO, as soon as that is over it counts
   */
  #countUnpinned(wanted: number): { free: number; torn: number; withIo: number } {
    const { memory: { words }, memory } = this.#pool;
    const found = { free: 0, torn: 0, withIo: NO_BUFFER };
    for (let buffer = 0; buffer < memory.pages && found.free < wanted; buffer++) {
      const at = memory.at(buffer);
      if (Atomics.load(words, at + BUFFER.pins) !== 0) continue;
      if ((Atomics.load(words, at + BUFFER.state) & BUFFER_STATE.torn) !== 0) found.torn++;
      else if (!this.#pool.hasIo(buffer)) found.free++;
      else if (found.withIo === NO_BUFFER) found.withIo = buffer;
    }
    return found;
  }
}
