/**
 * arena_pages.ts: which pages of the arena are taken, for what and by whom.
 *
 * The bookkeeping is one word a page in the control memory: the first page of a run holds the run's
 * length, its owner and its use, all other words are 0. Taking and giving back a run is thereby a
 * single store, and a thread that dies between any two stores leaves the arena whole.
 *
 * The lock is held to take and to give back. Looking needs none: no word inside a run is ever
 * written, so a walk from run to run meets each run that is there during the whole walk.
 *
 * @module
 */

import { assert } from "../base/assert.ts";
import { type IsThreadAlive, lock, unlock } from "./lock.ts";
import { type Control, HEADER } from "./shared_memory.ts";

/** What a run is used for: `aio.alloc()` took it. Its owner is a backend, as for the next two. */
export const RUN_USER = 1;
/** The library copies bytes of other memory through it. */
export const RUN_BOUNCE = 2;
/** It is becoming a layer's: see layer_runs.ts. */
export const RUN_MAKING = 3;
/** Whoever uses a layer shares it: the layer is its owner. */
export const RUN_LAYER = 4;
/** It was a layer's, and a thread may still look at it. */
export const RUN_ENDING = 5;

const PAGES_MASK = (1 << 21) - 1;
const OWNER_SHIFT = 21;
const OWNER_MASK = 0x1f;
const USE_SHIFT = 26;

/** The word of a run. */
export function runWord(use: number, owner: number, pages: number): number {
  assert(owner <= OWNER_MASK, "The owner of a run of the arena has more than five bits");
  return (use << USE_SHIFT) | (owner << OWNER_SHIFT) | pages;
}

/** How many pages the run of a word has. */
export function pagesOf(word: number): number {
  return word & PAGES_MASK;
}

/** Whether a word is that of a run of that use and owner. */
export function isRunOf(word: number, use: number, owner: number): boolean {
  return isRunFor(word, use) && ((word >>> OWNER_SHIFT) & OWNER_MASK) === owner;
}

/** Whether a word is that of a run of that use. */
export function isRunFor(word: number, use: number): boolean {
  return word >>> USE_SHIFT === use;
}

/** The words, as one thread sees them. */
export class ArenaPages {
  /** How many pages the arena has. */
  readonly count: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  readonly #threadId: number;
  readonly #isThreadAlive: IsThreadAlive;

  /**
   * @param control where the words are
   * @param threadId this thread's id, for the lock
   * @param isThreadAlive asks the system whether another holder of the lock still runs
   */
  constructor(control: Control, threadId: number, isThreadAlive: IsThreadAlive) {
    this.count = control.words[HEADER.arenaPages]!;
    this.#words = control.words;
    this.#at = control.arenaPages;
    this.#threadId = threadId;
    this.#isThreadAlive = isThreadAlive;
  }

  /** The word of the run that starts at a page; 0 if none does, such as inside a run. */
  wordAt(page: number): number {
    return page < this.count ? Atomics.load(this.#words, this.#at + page) : 0;
  }

  /**
   * Takes the lowest pages that fit.
   *
   * @param alignment what the number of the first page must be a multiple of
   * @returns the first page; -1 if there is no room
   */
  tryTakeLowest(use: number, owner: number, pages: number, alignment: number): number {
    const word = runWord(use, owner, pages);
    this.lock();
    const hint = this.#words[HEADER.arenaHint]!;
    const page = this.#findLowest(pages, alignment, hint);
    if (page >= 0) {
      this.#words[this.#at + page] = word;
      if (page === hint) this.#words[HEADER.arenaHint] = page + pages;
    }
    this.unlock();
    return page;
  }

  /** The same for the highest. It looks at all words, so it is for runs that last. */
  tryTakeHighest(use: number, owner: number, pages: number): number {
    const word = runWord(use, owner, pages);
    this.lock();
    const page = this.#findHighest(pages, this.#words[HEADER.arenaHint]!);
    if (page >= 0) this.#words[this.#at + page] = word;
    this.unlock();
    return page;
  }

  #findLowest(pages: number, alignment: number, hint: number): number {
    const words = this.#words;
    let run = 0;
    for (let page = hint; page < this.count;) {
      const word = words[this.#at + page]!;
      if (word !== 0) {
        run = 0;
        page += pagesOf(word);
        continue;
      }
      page++;
      if (run === 0 && (page - 1) % alignment !== 0) continue;
      run++;
      if (run === pages) return page - pages;
    }
    return -1;
  }

  #findHighest(pages: number, hint: number): number {
    let found = -1;
    let free = 0;
    for (let page = hint; page < this.count;) {
      const word = this.#words[this.#at + page]!;
      free = word === 0 ? free + 1 : 0;
      page += word === 0 ? 1 : pagesOf(word);
      if (free >= pages) found = page - pages;
    }
    return found;
  }

  /** Changes the word of a run, and publishes with it what this thread has written to the pages. */
  publish(page: number, word: number): void {
    Atomics.store(this.#words, this.#at + page, word);
  }

  /** Gives a run back. The caller holds the lock. */
  clear(page: number): void {
    // The hint first: too low a one costs a look, too high a one would lose the pages.
    if (page < this.#words[HEADER.arenaHint]!) this.#words[HEADER.arenaHint] = page;
    Atomics.store(this.#words, this.#at + page, 0);
  }

  /** Takes the lock, for a handful of loads and stores. */
  lock(): void {
    lock(this.#words, HEADER.arenaLock, this.#threadId, this.#isThreadAlive);
  }

  /** Gives the lock back. */
  unlock(): void {
    unlock(this.#words, HEADER.arenaLock, this.#threadId);
  }

  /** Visits each run, and each free page with the word 0. */
  each(visit: (page: number, word: number) => void): void {
    for (let page = 0; page < this.count;) {
      const word = Atomics.load(this.#words, this.#at + page);
      visit(page, word);
      page += word === 0 ? 1 : pagesOf(word);
    }
  }
}
