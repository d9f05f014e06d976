/**
 * layer_runs.ts: memory of the arena that belongs to a layer: it stays when the thread that took it
 * leaves or dies, until the layer gives it back.
 *
 * It comes from the top of the arena and so leaves the pages that are registered with the kernel
 * to IO.
 *
 * ```text
 * free ─► making ───────────────► layer ──────────────────────► ending ─────────────► free
 *         the thread that took it  any thread finds it (each)   no thread finds it
 *         writes to it; freed if                                any more; freed once
 *         that thread dies                                      no thread reaps
 * ```
 *
 * A reaper walks the runs of each layer and takes the dead thread out of them. Whoever gives a run
 * back does not see that a reaper has just found it. So the pages stay taken while any thread
 * reaps, and the last reaper frees them. No run slips through, because both sides do two things in
 * opposite order: a reaper marks the slot and then looks at the words; whoever gives a run back
 * marks its word and then looks at the slots.
 *
 * @module
 */

import { PAGE_SIZE_BYTES } from "../../ffi/layout.ts";
import { assert } from "../base/assert.ts";
import type { Arena } from "./arena.ts";
import {
  isRunFor,
  isRunOf,
  pagesOf,
  RUN_ENDING,
  RUN_LAYER,
  RUN_MAKING,
  runWord,
} from "./arena_pages.ts";
import { BACKEND, type Control, HEADER } from "./shared_memory.ts";

/** A part of the arena. */
export interface ArenaRun {
  /** Where it begins in the arena, in bytes: a multiple of 4096. */
  readonly offset: number;
  /** How long it is: likewise. */
  readonly bytes: number;
}

/** The runs of one layer, as one thread sees them. */
export class LayerRuns {
  readonly #arena: Arena;
  readonly #layer: number;

  /**
   * @param arena of this thread
   * @param layer the number of the layer
   */
  constructor(arena: Arena, layer: number) {
    this.#arena = arena;
    this.#layer = layer;
  }

  /**
   * Takes memory for the layer.
   *
   * @param bytes how many are needed, at least 1
   * @param init writes what other threads go by before any of them can find the run, which is not
   *   cleared. If it throws, the memory is free again.
   * @returns null if there is no room
   */
  tryTake(bytes: number, init: (run: ArenaRun) => void): ArenaRun | null {
    const { pages, backendId, control } = this.#arena;
    assert(backendId < control.words[HEADER.maxBackends]!, "A helper takes a run for a layer");
    const count = Math.ceil(bytes / PAGE_SIZE_BYTES);
    assert(count > 0, "A layer takes a run without pages");
    if (count > pages.count) return null;
    const page = pages.tryTakeHighest(RUN_MAKING, backendId, count);
    if (page < 0) return null;
    const run = runAt(page, count);
    try {
      init(run);
    } catch (error) {
      pages.lock();
      pages.clear(page);
      pages.unlock();
      throw error;
    }
    pages.publish(page, runWord(RUN_LAYER, this.#layer, count));
    return run;
  }

  /** Visits the runs that the layer has. */
  each(visit: (run: ArenaRun) => void): void {
    this.#arena.pages.each((page, word) => {
      if (isRunOf(word, RUN_LAYER, this.#layer)) visit(runAt(page, pagesOf(word)));
    });
  }

  /**
   * Gives a run back that no thread uses, or will begin to use.
   *
   * @param isIt whether the run still has what the caller is done with: another thread may have
   *   given it back, and the layer may have a new one in the same place. Called under the lock of
   *   the arena's pages
   * @returns false if the layer has no such run any more: another thread was faster
   * @throws {Deno.errors.Busy} while an IO uses the memory
   */
  giveBack({ offset }: ArenaRun, isIt: () => boolean = () => true): boolean {
    const page = offset / PAGE_SIZE_BYTES;
    if (!this.#isAt(page) || !isIt()) return false;
    const { pages } = this.#arena;
    const count = pagesOf(pages.wordAt(page));
    if (this.#arena.isInUse(offset, count * PAGE_SIZE_BYTES)) {
      throw new Deno.errors.Busy(
        `Cannot give back the run at byte ${offset} of the arena while an IO uses it: ` +
          "wait for the IO first",
      );
    }
    pages.lock();
    const isThere = this.#isAt(page) && isIt();
    if (isThere) {
      pages.publish(page, runWord(RUN_ENDING, this.#layer, pagesOf(pages.wordAt(page))));
    }
    pages.unlock();
    freeEnded(this.#arena);
    return isThere;
  }

  /**
   * Uses a run under the lock of the arena's pages: no thread can give the run back meanwhile.
   * `use` makes a handful of loads and stores.
   *
   * @returns null if no run of the layer starts there
   */
  whileThere<T>({ offset }: ArenaRun, use: () => T): T | null {
    const { pages } = this.#arena;
    pages.lock();
    try {
      return this.#isAt(offset / PAGE_SIZE_BYTES) ? use() : null;
    } finally {
      pages.unlock();
    }
  }

  /** Whether a run of the layer starts at a page. */
  #isAt(page: number): boolean {
    return isRunOf(this.#arena.pages.wordAt(page), RUN_LAYER, this.#layer);
  }
}

function runAt(page: number, count: number): ArenaRun {
  return { offset: page * PAGE_SIZE_BYTES, bytes: count * PAGE_SIZE_BYTES };
}

/**
 * Frees the runs that layers have given back, unless a thread reaps; called when one has reaped.
 */
export function freeEnded({ pages, control }: Arena): void {
  const ended: number[] = [];
  pages.each((page, word) => {
    if (isRunFor(word, RUN_ENDING)) ended.push(page);
  });
  if (ended.length === 0) return;
  pages.lock();
  // Each of these words was written under this lock, and so before the slots are looked at.
  const isToWait = isAnyReaping(control);
  for (const page of ended) {
    if (!isToWait && isRunFor(pages.wordAt(page), RUN_ENDING)) pages.clear(page);
  }
  pages.unlock();
}

/** Whether the slot of any thread that died is being freed. */
function isAnyReaping(control: Control): boolean {
  for (let id = 0; id < control.threadCount; id++) {
    if (Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId) < 0) return true;
  }
  return false;
}
