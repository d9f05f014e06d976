/**
 * arena.ts: the memory that IO goes to and from without a copy, shared by all threads.
 *
 * Handed out in runs of 4 KiB pages, the lowest that fit, so that the part registered with the
 * kernel (the first `registeredBytes`) is used first. The bookkeeping is one word a page in the
 * control memory: the first page of a run holds its length, its owner and its use, all other words
 * are 0. Taking and giving back a run is thereby a single store, and a thread that dies between
 * any two stores leaves the arena whole.
 *
 * @module
 */

import { PAGE_SIZE_BYTES } from "../../ffi/layout.ts";
import { isAligned } from "../../ffi/memory.ts";
import { assert } from "../base/assert.ts";
import { shown } from "../base/errors.ts";
import { type IsThreadAlive, lock, unlock } from "./lock.ts";
import { type Control, HANDLE, HEADER } from "./shared_memory.ts";
import { HANDED_OUT, IDLE } from "./handle_state.ts";
import { IOVEC_WORDS } from "../../ffi/layout.ts";
import { fromWords } from "../../ffi/memory.ts";

/** What a run of pages is used for. */
export type ArenaUse = "user" | "bounce";

const RUN_PAGES_MASK = (1 << 21) - 1;
const RUN_BACKEND_SHIFT = 21;
const RUN_BACKEND_MASK = 0x1f;
const RUN_BOUNCE = 1 << 26;
const RUN_USED = 1 << 27;

/** The arena as one backend sees it. */
export class Arena {
  /** The memory itself. */
  readonly buffer: SharedArrayBuffer;
  /** Where it is in this process. */
  readonly address: number;
  readonly #control: Control;
  readonly #words: Int32Array;
  /** By their first page: making a view takes as long as copying a page. */
  readonly #bounceViews = new Map<number, Uint8Array<SharedArrayBuffer>>();
  readonly #pages: number;
  readonly #at: number;
  readonly #backendId: number;
  readonly #threadId: number;
  readonly #isThreadAlive: IsThreadAlive;

  /**
   * Made by the core, not by users.
   *
   * @param control the control memory, where the bookkeeping is
   * @param buffer the arena's memory
   * @param address where that is in this process
   * @param backendId who takes runs through this object
   * @param threadId the same, for the lock
   * @param isThreadAlive asks the system whether another holder of the lock still runs
   */
  constructor(
    control: Control,
    buffer: SharedArrayBuffer,
    address: number,
    backendId: number,
    threadId: number,
    isThreadAlive: IsThreadAlive = () => true,
  ) {
    this.buffer = buffer;
    this.address = address;
    this.#control = control;
    this.#words = control.words;
    this.#pages = control.words[HEADER.arenaPages]!;
    this.#at = control.arenaPages;
    this.#backendId = backendId;
    this.#threadId = threadId;
    this.#isThreadAlive = isThreadAlive;
  }

  /** Bytes of the arena in all. */
  get bytes(): number {
    return this.#pages * PAGE_SIZE_BYTES;
  }

  /**
   * Takes a run of pages.
   *
   * @param bytes how many are needed, at least 1
   * @param use who will give it back: the user by `aio.free()`, or the library
   * @param alignment of the first byte, a multiple of 4096 up to 65536
   * @returns the view, or null if there is no room. It is not cleared.
   */
  tryTake(
    bytes: number,
    use: ArenaUse,
    alignment = PAGE_SIZE_BYTES,
  ): Uint8Array<SharedArrayBuffer> | null {
    const pages = Math.ceil(bytes / PAGE_SIZE_BYTES);
    if (pages > this.#pages) return null;
    lock(this.#words, HEADER.arenaLock, this.#threadId, this.#isThreadAlive);
    const start = this.#findRun(pages, Math.max(1, alignment / PAGE_SIZE_BYTES));
    if (start >= 0) {
      const kind = use === "bounce" ? RUN_USED | RUN_BOUNCE : RUN_USED;
      this.#words[this.#at + start] = kind | (this.#backendId << RUN_BACKEND_SHIFT) | pages;
      if (start === this.#words[HEADER.arenaHint]!) this.#words[HEADER.arenaHint] = start + pages;
    }
    unlock(this.#words, HEADER.arenaLock, this.#threadId);
    if (start < 0) return null;
    return use === "bounce" ? this.#bounceView(start, bytes) : this.#viewAt(start, bytes);
  }

  #viewAt(page: number, bytes: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.buffer, page * PAGE_SIZE_BYTES, bytes);
  }

  /** Nobody but this module has such a view, so the one that was there last does again. */
  #bounceView(page: number, bytes: number): Uint8Array<SharedArrayBuffer> {
    const known = this.#bounceViews.get(page);
    if (known !== undefined && known.byteLength === bytes) return known;
    const view = this.#viewAt(page, bytes);
    this.#bounceViews.set(page, view);
    return view;
  }

  /** First fit; the caller holds the lock. */
  #findRun(pages: number, alignment: number): number {
    const words = this.#words;
    let run = 0;
    for (let page = words[HEADER.arenaHint]!; page < this.#pages;) {
      const word = words[this.#at + page]!;
      if (word !== 0) {
        run = 0;
        page += word & RUN_PAGES_MASK;
        continue;
      }
      page++;
      if (run === 0 && (page - 1) % alignment !== 0) continue;
      run++;
      if (run === pages) return page - pages;
    }
    return -1;
  }

  /** Gives back a run that {@linkcode tryTake} returned and that nothing uses any more. */
  giveBack(view: Uint8Array): void {
    const page = view.byteOffset / PAGE_SIZE_BYTES;
    const word = this.#words[this.#at + page]!;
    assert((word & RUN_USED) !== 0, "A run of the arena was given back twice");
    this.#clearRun(page);
  }

  #clearRun(page: number): void {
    lock(this.#words, HEADER.arenaLock, this.#threadId, this.#isThreadAlive);
    // The hint first: too low a one costs a look, too high a one would lose the pages.
    if (page < this.#words[HEADER.arenaHint]!) this.#words[HEADER.arenaHint] = page;
    this.#words[this.#at + page] = 0;
    unlock(this.#words, HEADER.arenaLock, this.#threadId);
  }

  /**
   * Gives back what the user got from `aio.alloc()`.
   *
   * @throws {TypeError} if it is no such view, or was freed before
   * @throws {Deno.errors.Busy} if an IO that is being prepared or in flight uses it
   */
  free(view: Uint8Array): void {
    if (!(view instanceof Uint8Array)) {
      throw new TypeError(
        `Cannot free ${shown(view)}: pass the Uint8Array that aio.alloc() returned`,
      );
    }
    if ((view.buffer as ArrayBufferLike) !== this.buffer) {
      throw new TypeError(
        "Cannot free a view of other memory: pass the Uint8Array that alloc() of this aio returned",
      );
    }
    const page = view.byteOffset / PAGE_SIZE_BYTES;
    const word = isAligned(view.byteOffset, PAGE_SIZE_BYTES) ? this.#runStartingAt(page) : 0;
    if ((word & RUN_USED) === 0 || (word & RUN_BOUNCE) !== 0) {
      throw new TypeError(
        `Cannot free the view at byte ${view.byteOffset} of the arena: nothing was allocated there, ` +
          "or it was freed before",
      );
    }
    const bytes = (word & RUN_PAGES_MASK) * PAGE_SIZE_BYTES;
    if (Math.ceil(view.byteLength / PAGE_SIZE_BYTES) * PAGE_SIZE_BYTES !== bytes) {
      throw new TypeError(
        `Cannot free ${view.byteLength} of the ${bytes} bytes at byte ${view.byteOffset} of the arena: ` +
          "pass the whole view that aio.alloc() returned",
      );
    }
    if (this.#isInUse(view.byteOffset, bytes)) {
      throw new Deno.errors.Busy(
        `Cannot free the view at byte ${view.byteOffset} of the arena while an IO uses it: ` +
          "wait for the IO first",
      );
    }
    this.#clearRun(page);
  }

  /** The word of the run that starts at a page; 0 if none does, such as inside another run. */
  #runStartingAt(page: number): number {
    return page < this.#pages ? this.#words[this.#at + page]! : 0;
  }

  /** Gives back what a backend that has died had taken, but for what IO of others still uses. */
  giveBackAllOf(backendId: number): void {
    let page = 0;
    this.#eachRun((word, pages) => {
      const owner = (word >>> RUN_BACKEND_SHIFT) & RUN_BACKEND_MASK;
      const offset = page * PAGE_SIZE_BYTES;
      const isDead = word !== 0 && owner === backendId;
      if (isDead && !this.#isInUse(offset, pages * PAGE_SIZE_BYTES)) this.#clearRun(page);
      page += pages;
    });
  }

  /** Whether a handle of any backend, from its iovec being set until its result is there, uses the range. */
  #isInUse(offset: number, bytes: number): boolean {
    const { words, handleCount } = this.#control;
    const from = this.address + offset;
    for (let index = 0; index < handleCount; index++) {
      const state = Atomics.load(words, this.#control.handleAt(index) + HANDLE.state);
      if (state === IDLE) continue;
      if (this.#iovecTouches(index, from, from + bytes)) return true;
      assert(state >= HANDED_OUT, "A handle is in no known state");
    }
    return false;
  }

  #iovecTouches(index: number, from: number, to: number): boolean {
    const words = this.#words;
    const count = words[this.#control.handleAt(index) + HANDLE.iovecLength]!;
    for (let entry = 0; entry < count; entry++) {
      const at = this.#control.iovecAt(index) + entry * IOVEC_WORDS.size;
      const base = fromWords(words[at]!, words[at + IOVEC_WORDS.baseHigh]!);
      const length = words[at + IOVEC_WORDS.lengthLow]! >>> 0;
      if (base < to && base + length > from) return true;
    }
    return false;
  }

  /** Bytes that nobody has taken. Counted page by page: for tests and for looking inside. */
  get freeBytes(): number {
    let free = 0;
    this.#eachRun((word) => {
      if (word === 0) free++;
    });
    return free * PAGE_SIZE_BYTES;
  }

  /** Whether the library itself holds any run that it will give back by itself. */
  get hasBounceRuns(): boolean {
    let found = false;
    this.#eachRun((word) => {
      if ((word & RUN_BOUNCE) !== 0) found = true;
    });
    return found;
  }

  #eachRun(visit: (word: number, pages: number) => void): void {
    for (let page = 0; page < this.#pages;) {
      const word = this.#words[this.#at + page]!;
      const pages = word === 0 ? 1 : word & RUN_PAGES_MASK;
      visit(word, pages);
      page += pages;
    }
  }
}
