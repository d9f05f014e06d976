/**
 * pool_model_worker.ts: a thread of `pool_model.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type AioFile, type Page, type PageLock, type PagePool } from "../../../mod.ts";
import { backendOf } from "../../../core/inside.ts";
import { METHODS } from "../../../methods/registry.ts";
import { BUFFER, BUFFER_STATE, PoolMemory } from "../../../storage/pool/pool_memory.ts";
import { Prng } from "../prng.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import { losePins } from "./lost_pins.ts";
import { countOf, fillPage, mend, type PoolModelAnswer, type PoolModelAsk } from "./pool_model.ts";

/** One step in so many writes all back. */
const FLUSH_EVERY = 200;

function answer(message: PoolModelAnswer): void {
  self.postMessage(message);
}

/** One thread. */
class ModelThread {
  readonly #ask: PoolModelAsk;
  readonly #aio: Aio;
  readonly #pool: PagePool;
  readonly #file: AioFile;
  readonly #prng: Prng;
  /** The step from which on it dies at the next good place; none: it lives. */
  #diesAt: number;
  #step = 0;

  constructor(ask: PoolModelAsk, aio: Aio) {
    this.#ask = ask;
    this.#aio = aio;
    this.#pool = aio.attachPool(ask.pool);
    this.#file = aio.attachFile(ask.file);
    this.#prng = new Prng(ask.seed);
    this.#diesAt = ask.dies ? this.#prng.below(ask.steps) : Infinity;
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: this.#ask.tasks }, () => this.#runTask()));
    await this.#pool.close();
    await this.#file.close();
    await this.#aio.close();
  }

  async #runTask(): Promise<void> {
    const blocks = this.#ask.changes.length;
    while (this.#step++ < this.#ask.steps) {
      const block = this.#prng.below(blocks);
      const page = await this.#read(block);
      if (page === null) continue;
      this.#maybeDie(1, 4);
      if (this.#prng.chance(1, 3)) await this.#change(page, block);
      else await this.#look(page, block);
      this.#maybeDie(1, 2);
      page.release();
      if (this.#prng.chance(1, FLUSH_EVERY)) await this.#pool.flush(this.#file);
    }
  }

  /** @returns null if the page was torn, and is mended */
  async #read(block: number): Promise<Page | null> {
    const { blocks, changes } = this.#ask;
    try {
      const page = blocks
        ? this.#pool.readSync(this.#file, block)
        : await this.#pool.read(this.#file, block);
      return page;
    } catch (error) {
      if (!(error instanceof Deno.errors.InvalidData)) throw error;
      await mend(this.#pool, this.#file, block, changes);
      return null;
    }
  }

  async #lock(page: Page, mode: "shared" | "exclusive"): Promise<PageLock> {
    return this.#ask.blocks ? page.lockSync(mode) : await page.lock(mode);
  }

  async #look(page: Page, block: number): Promise<void> {
    using _lock = await this.#lock(page, "shared");
    this.#check(page, block);
  }

  async #change(page: Page, block: number): Promise<void> {
    const { changes, sabotage } = this.#ask;
    using _lock = await this.#lock(page, "exclusive");
    if (!this.#check(page, block)) return;
    const count = changes[block]! + 1;
    // Half of a change, if it dies now.
    fillPage(page.bytes.subarray(0, page.bytes.byteLength / 2), block, count);
    this.#maybeDie(1, 2);
    fillPage(page.bytes, block, count);
    page.markDirty();
    Atomics.store(changes, block, count);
    if (sabotage === "missedWriteBack") this.#takeBitAway(page, BUFFER.state, BUFFER_STATE.dirty);
  }

  /** @returns false if the page became torn while its lock was waited for */
  #check(page: Page, block: number): boolean {
    try {
      const count = countOf(page.bytes, block);
      const expected = Atomics.load(this.#ask.changes, block);
      if (count === expected) return true;
      throw new Error(`Block ${block} was changed ${expected} times, and says ${count}`);
    } catch (error) {
      if (this.#isTorn(block)) return false;
      throw error;
    }
  }

  #isTorn(block: number): boolean {
    try {
      this.#pool.tryRead(this.#file, block)?.release();
      return false;
    } catch {
      return true;
    }
  }

  #maybeDie(numerator: number, denominator: number): void {
    if (this.#step < this.#diesAt || !this.#prng.chance(numerator, denominator)) return;
    // Other tasks of the thread go on until it is gone.
    this.#diesAt = Infinity;
    answer("dies");
    self.close();
    const never = new Int32Array(new SharedArrayBuffer(4));
    // A wait without end may not hear that the thread is to end.
    for (;;) Atomics.wait(never, 0, 0, 1);
  }

  /** Takes bits out of a word of a page's descriptor. */
  #takeBitAway(page: Page, word: number, bits: number): void {
    const { arena } = backendOf(this.#aio);
    const memory = new PoolMemory(arena, { offset: this.#ask.pool.offset, bytes: 0 });
    const row = this.#pool.pages().find(({ block }) => block === page.block)!;
    Atomics.and(memory.words, memory.at(row.buffer) + word, ~bits);
  }
}

self.onmessage = async ({ data }: MessageEvent<PoolModelAsk>) => {
  try {
    if (data.sabotage === "lostPin") losePins(new Prng(data.seed));
    const aio = await Aio.attach(data.token, {}, [...METHODS_FOR_TESTS, ...METHODS]);
    await new ModelThread(data, aio).run();
    answer("done");
  } catch (error) {
    answer({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
};
