/**
 * pins.ts: buffers that a thread uses, so that they keep their blocks. In shared memory that is one
 * bit a backend, so that a dead thread's pins can be taken away; how often a thread has a buffer
 * pinned it counts in its own memory. Apart from the pins of the user it counts those by which the
 * pool writes pages back.
 *
 * A pin counts if the buffer still has the block afterwards. Whoever takes a block away from a
 * buffer takes the file out of the tag first and then looks for pins: one of the two sees the
 * other.
 *
 * @module
 */

import type { LayerHost } from "../../core/inside.ts";
import { bufferOf, lostBuffer, makePinCode, NOT_FOUND, type PinCode, TOLD } from "./pin_code.ts";
import { BUFFER, POOL, type PoolMemory } from "./pool_memory.ts";
import { changeOf, tellWaiters, unpinnedOf } from "./wait_words.ts";

/** More than there can be: such a count never comes to its end. */
const COUNT_OVER = 2 ** 30;

/** The pins of one thread. */
export class Pins {
  readonly #memory: PoolMemory;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #bells: LayerHost["bells"];
  readonly #bit: number;
  readonly #counts: Int32Array;
  /** How many of those are the pool's own. */
  readonly #works: Int32Array;
  /** Finds, pins, and ends pins. */
  readonly code: PinCode;
  /** How many buffers the user has pinned in this thread. */
  pinned = 0;
  /** Whether {@linkcode end} was called. */
  isOver = false;

  /**
   * None yet.
   *
   * @param memory of the pool
   * @param backendId of this thread
   * @param bells wake those who wait for a buffer
   * @param code that of the pool, if there is one already
   */
  constructor(
    memory: PoolMemory,
    backendId: number,
    bells: LayerHost["bells"],
    code: PinCode = makePinCode(memory.places, memory.arena.wasmMemory),
  ) {
    this.#memory = memory;
    this.#words = memory.words;
    this.#bit = 1 << backendId;
    this.#bells = bells;
    this.code = code;
    this.#counts = new Int32Array(memory.pages);
    this.#works = new Int32Array(memory.pages);
  }

  /** How often the user has a buffer pinned in this thread. */
  countOf(buffer: number): number {
    return this.#counts[buffer]! - this.#works[buffer]!;
  }

  /** How many buffers this thread has pinned, for the user or for the pool's own work. */
  countAll(): number {
    return this.#counts.reduce((sum, count) => sum + Math.min(count, 1), 0);
  }

  /**
   * Pins the buffer of a block, if a look without the lock finds it.
   *
   * @returns the buffer, with its state: see `PinCode`; below 0: it was not found
   */
  tryPinBlock(file: number, block: number): number {
    const pinned = this.code.pin(file + 1, block, this.#bit);
    if (pinned >= 0) {
      const buffer = bufferOf(pinned);
      const count = this.#counts[buffer]!;
      if (count === this.#works[buffer]) this.pinned++;
      this.#counts[buffer] = count + 1;
    } else if (pinned !== NOT_FOUND) {
      const buffer = lostBuffer(pinned);
      if (this.#counts[buffer] === 0) this.#takeBitAway(buffer);
    }
    return pinned;
  }

  /** Pins a buffer if it has a block, and not another one. @returns whether it has */
  tryPin(buffer: number, file: number, block: number): boolean {
    const at = this.#memory.at(buffer);
    const words = this.#words;
    const count = this.#counts[buffer]!;
    if (count === 0) Atomics.or(words, at + BUFFER.pins, this.#bit);
    // The block is only right if the file is: it is written before it, and so needs no barrier.
    const isRight = Atomics.load(words, at + BUFFER.file) === file + 1 &&
      words[at + BUFFER.block] === block;
    if (isRight) {
      if (count === this.#works[buffer]) this.pinned++;
      this.#counts[buffer] = count + 1;
    } else if (count === 0) this.#takeBitAway(buffer);
    return isRight;
  }

  /** Pins a buffer that this thread has pinned already, or that is its own by {@linkcode own}. */
  again(buffer: number): void {
    if (this.#counts[buffer] === this.#works[buffer]) this.pinned++;
    this.#counts[buffer]!++;
  }

  /**
   * Makes a pin the pool's own: it writes the page, and ends by itself. {@linkcode endWork} ends
   * it.
   */
  toWork(buffer: number): void {
    this.#works[buffer]!++;
    if (this.#counts[buffer] === this.#works[buffer]) this.pinned--;
  }

  /** Makes a pin of the pool's own the user's. */
  toUser(buffer: number): void {
    if (this.#counts[buffer] === this.#works[buffer]) this.pinned++;
    this.#works[buffer]!--;
    // Tasks of this thread may wait for the end of that pin, and may have none to wait for by now.
    if (Atomics.load(this.#words, POOL.unpinnedWaiters) === 0) return;
    tellWaiters(this.#bells, unpinnedOf(this.#memory));
  }

  /** Ends a pin of the pool's own. */
  endWork(buffer: number): void {
    const left = this.#counts[buffer]! - 1;
    this.#works[buffer]!--;
    this.#counts[buffer] = left;
    if (left === 0) this.#takeBitAway(buffer);
  }

  /** Pins a buffer if nobody has. @returns whether this thread has it alone now */
  tryOwn(buffer: number): boolean {
    const at = this.#memory.at(buffer) + BUFFER.pins;
    if (this.#counts[buffer] !== 0) return false;
    if (Atomics.compareExchange(this.#words, at, 0, this.#bit) !== 0) return false;
    this.#counts[buffer] = 1;
    this.pinned++;
    return true;
  }

  /** Whether no other thread has a buffer pinned, and this one once. */
  isAlone(buffer: number): boolean {
    const pins = Atomics.load(this.#words, this.#memory.at(buffer) + BUFFER.pins);
    return pins === this.#bit && this.#counts[buffer] === 1;
  }

  /** Ends one pin. */
  unpin(buffer: number): void {
    const left = this.#counts[buffer]! - 1;
    this.#counts[buffer] = left;
    if (left === this.#works[buffer]) this.pinned--;
    if (left === 0) this.#takeBitAway(buffer);
  }

  /** No pin counts any more: their ends leave the pool's memory alone, which may be another's. */
  end(): void {
    this.isOver = true;
    this.pinned = 0;
    this.#counts.fill(COUNT_OVER);
  }

  #takeBitAway(buffer: number): void {
    const told = this.code.unpin(buffer, this.#bit);
    if (told === 0) return;
    if ((told & TOLD.buffer) !== 0) tellWaiters(this.#bells, changeOf(this.#memory, buffer));
    if ((told & TOLD.unpinned) !== 0) tellWaiters(this.#bells, unpinnedOf(this.#memory));
  }
}
