/**
 * arena.ts: the memory that IO goes to and from without a copy, shared by all threads.
 *
 * Handed out in runs of 4 KiB pages, the lowest that fit, so that the part registered with the
 * kernel (the first `registeredBytes`) is used first. Which pages are taken is in arena_pages.ts;
 * runs that layers share are in layer_runs.ts.
 *
 * @module
 */

import { PAGE_SIZE_BYTES } from "../../ffi/layout.ts";
import { isAligned } from "../../ffi/memory.ts";
import { assert } from "../base/assert.ts";
import { shown } from "../base/errors.ts";
import {
  ArenaPages,
  isRunFor,
  isRunOf,
  pagesOf,
  RUN_BOUNCE,
  RUN_MAKING,
  RUN_USER,
} from "./arena_pages.ts";
import type { IsThreadAlive } from "./lock.ts";
import { type Control, HANDLE, HEADER } from "./shared_memory.ts";
import { HANDED_OUT, IDLE, STAGED } from "./handle_state.ts";
import { wasmMemoryOf } from "./wasm_memory.ts";
import { IOVEC_WORDS } from "../../ffi/layout.ts";
import { fromWords } from "../../ffi/memory.ts";

/** What a run of pages is used for. */
export type ArenaUse = "user" | "bounce";

/** The arena as one backend sees it. */
export class Arena {
  /** The memory itself. */
  readonly buffer: SharedArrayBuffer;
  /** Where it is in this process. */
  readonly address: number;
  /** The control memory, where the bookkeeping is. */
  readonly control: Control;
  /** Which pages are taken. */
  readonly pages: ArenaPages;
  /** The owner of runs that are taken through this object. */
  readonly backendId: number;
  /** This thread's id, for locks. */
  readonly threadId: number;
  /** Asks the system whether another holder of a lock still runs. */
  readonly isThreadAlive: IsThreadAlive;
  /** By their first page: making a view takes as long as copying a page. */
  readonly #bounceViews = new Map<number, Uint8Array<SharedArrayBuffer>>();
  /** Views whose runs were given back: those pages may be another view's by now. */
  readonly #freed = new WeakSet<Uint8Array>();
  #words: Int32Array<SharedArrayBuffer> | null = null;

  /**
   * @param control the control memory, where the bookkeeping is
   * @param buffer the arena's memory
   * @param address where that is in this process
   * @param backendId the backend that takes runs through this object
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
    this.control = control;
    this.pages = new ArenaPages(control, threadId, isThreadAlive);
    this.backendId = backendId;
    this.threadId = threadId;
    this.isThreadAlive = isThreadAlive;
  }

  /** The memory, for code of WebAssembly. Threads of this library's own do not have it. */
  get wasmMemory(): WebAssembly.Memory {
    return wasmMemoryOf(this.buffer);
  }

  /** Bytes of the arena in all. */
  get bytes(): number {
    return this.pages.count * PAGE_SIZE_BYTES;
  }

  /**
   * All of it in words: for what layers share. A view of a large arena is made when it is needed.
   */
  get words(): Int32Array<SharedArrayBuffer> {
    return this.#words ??= new Int32Array(this.buffer);
  }

  /**
   * Takes a run of pages.
   *
   * @param bytes how many are needed, at least 1
   * @param use whether the user gives it back, by `aio.free()`, or the library
   * @param alignment of the first byte, a multiple of 4096 up to 65536
   * @returns the view, or null if there is no room. It is not cleared.
   */
  tryTake(
    bytes: number,
    use: ArenaUse,
    alignment = PAGE_SIZE_BYTES,
  ): Uint8Array<SharedArrayBuffer> | null {
    const pages = Math.ceil(bytes / PAGE_SIZE_BYTES);
    if (pages > this.pages.count) return null;
    const multiple = Math.max(1, alignment / PAGE_SIZE_BYTES);
    const kind = use === "bounce" ? RUN_BOUNCE : RUN_USER;
    const start = this.pages.tryTakeLowest(kind, this.backendId, pages, multiple);
    if (start < 0) return null;
    return use === "bounce" ? this.#bounceView(start, bytes) : this.#viewAt(start, bytes);
  }

  #viewAt(page: number, bytes: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.buffer, page * PAGE_SIZE_BYTES, bytes);
  }

  /** Bounce views never leave this module, so the last view of a page can be used again. */
  #bounceView(page: number, bytes: number): Uint8Array<SharedArrayBuffer> {
    const known = this.#bounceViews.get(page);
    if (known !== undefined && known.byteLength === bytes) return known;
    const view = this.#viewAt(page, bytes);
    this.#bounceViews.set(page, view);
    return view;
  }

  /** Gives back a run that {@linkcode tryTake} returned and that nothing uses any more. */
  giveBack(view: Uint8Array): void {
    const page = view.byteOffset / PAGE_SIZE_BYTES;
    const word = this.pages.wordAt(page);
    const isTaken = isRunFor(word, RUN_USER) || isRunFor(word, RUN_BOUNCE);
    assert(isTaken, "A run of the arena was given back twice");
    this.#clearRun(page);
  }

  #clearRun(page: number): void {
    this.pages.lock();
    this.pages.clear(page);
    this.pages.unlock();
  }

  /**
   * The same for a run that other threads may give back as well, and whose pages may be another run
   * since its word was looked at.
   *
   * @returns whether this thread did it
   */
  #tryClearRun(page: number, word: number): boolean {
    this.pages.lock();
    const isThere = this.pages.wordAt(page) === word;
    if (isThere) this.pages.clear(page);
    this.pages.unlock();
    return isThere;
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
    const word = isAligned(view.byteOffset, PAGE_SIZE_BYTES) ? this.pages.wordAt(page) : 0;
    if (!isRunFor(word, RUN_USER) || this.#freed.has(view)) refuseFree(view);
    const bytes = pagesOf(word) * PAGE_SIZE_BYTES;
    if (Math.ceil(view.byteLength / PAGE_SIZE_BYTES) * PAGE_SIZE_BYTES !== bytes) {
      throw new TypeError(
        `Cannot free ${view.byteLength} of the ${bytes} bytes at byte ${view.byteOffset} of the arena: ` +
          "pass the whole view that aio.alloc() returned",
      );
    }
    if (this.isInUse(view.byteOffset, bytes)) {
      throw new Deno.errors.Busy(
        `Cannot free the view at byte ${view.byteOffset} of the arena while an IO uses it: ` +
          "wait for the IO first",
      );
    }
    if (!this.#tryClearRun(page, word)) refuseFree(view);
    this.#freed.add(view);
  }

  /** Whether {@linkcode free} gave back the run of a view, which was this very object. */
  isFreed(view: Uint8Array): boolean {
    return this.#freed.has(view);
  }

  /** Gives back what a backend that has died had taken, but for what IO of others still uses. */
  giveBackAllOf(backendId: number): void {
    this.pages.each((page, word) => {
      const isDead = isRunOf(word, RUN_USER, backendId) || isRunOf(word, RUN_BOUNCE, backendId) ||
        isRunOf(word, RUN_MAKING, backendId);
      const [offset, bytes] = [page * PAGE_SIZE_BYTES, pagesOf(word) * PAGE_SIZE_BYTES];
      if (isDead && !this.isInUse(offset, bytes)) this.#tryClearRun(page, word);
    });
  }

  /**
   * Whether a handle of any backend, from its iovec being set until its result is there, uses the
   * range.
   */
  isInUse(offset: number, bytes: number): boolean {
    const { words, handleCount } = this.control;
    const from = this.address + offset;
    for (let index = 0; index < handleCount; index++) {
      const state = Atomics.load(words, this.control.handleAt(index) + HANDLE.state);
      if (state === IDLE) continue;
      if (this.#iovecTouches(index, from, from + bytes)) return true;
      assert(state >= HANDED_OUT, "A handle is in no known state");
    }
    return false;
  }

  /**
   * Finds an IO of this thread that was started, is not taken back yet, and uses the range.
   *
   * @returns its handle, or -1
   */
  ownIoOn(offset: number, bytes: number): number {
    const { control, control: { words, handlesPerBackend } } = this;
    const from = this.address + offset;
    const end = (this.backendId + 1) * handlesPerBackend;
    for (let index = this.backendId * handlesPerBackend; index < end; index++) {
      const state = Atomics.load(words, control.handleAt(index) + HANDLE.state);
      if (state >= STAGED && this.#iovecTouches(index, from, from + bytes)) return index;
    }
    return -1;
  }

  #iovecTouches(index: number, from: number, to: number): boolean {
    const { words } = this.control;
    const count = words[this.control.handleAt(index) + HANDLE.iovecLength]!;
    for (let entry = 0; entry < count; entry++) {
      const at = this.control.iovecAt(index) + entry * IOVEC_WORDS.size;
      const base = fromWords(words[at]!, words[at + IOVEC_WORDS.baseHigh]!);
      const length = words[at + IOVEC_WORDS.lengthLow]! >>> 0;
      if (base < to && base + length > from) return true;
    }
    return false;
  }

  /** Bytes that nobody has taken. Counted page by page: for tests and for looking inside. */
  get freeBytes(): number {
    let free = 0;
    this.pages.each((_page, word) => {
      if (word === 0) free++;
    });
    return free * PAGE_SIZE_BYTES;
  }

  /** Moves with each {@linkcode wantBounce}, of any thread. */
  get bounceWanted(): number {
    return Atomics.load(this.control.words, HEADER.bounceWanted);
  }

  /** Asks other threads for bounce runs that they do not need at once. */
  wantBounce(): void {
    Atomics.add(this.control.words, HEADER.bounceWanted, 1);
    this.wakeBounceHolders();
  }

  /** Ends each wait of {@linkcode untilBounceWanted}, though perhaps nobody wants any. */
  wakeBounceHolders(): void {
    Atomics.notify(this.control.words, HEADER.bounceWanted);
  }

  /** Resolves once `bounceWanted` has moved, or before. This keeps no event loop alive. */
  async untilBounceWanted(seen: number): Promise<void> {
    await Atomics.waitAsync(this.control.words, HEADER.bounceWanted, seen).value;
  }

  /** Whether the library itself holds any run that it will give back by itself. */
  get hasBounceRuns(): boolean {
    let found = false;
    this.pages.each((_page, word) => {
      if (isRunFor(word, RUN_BOUNCE)) found = true;
    });
    return found;
  }
}

function refuseFree(view: Uint8Array): never {
  throw new TypeError(
    `Cannot free the view at byte ${view.byteOffset} of the arena: nothing was allocated there, ` +
      "or it was freed before",
  );
}
