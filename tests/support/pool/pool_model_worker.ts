/**
 * pool_model_worker.ts: a thread of `pool_model.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { setImmediate } from "node:timers";
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
/** One in so many is a stream, of so many pages at most. */
const STREAM_EVERY = 40;
const STREAM_MAX = 30;
/** One in so many makes the file longer, by so many pages at most. */
const EXTEND_EVERY = 60;
const EXTEND_MAX = 3;

/** Sets a word to a number, unless it is greater already. */
function raise(words: Int32Array, to: number): void {
  for (let now = Atomics.load(words, 0); now < to;) {
    now = Atomics.compareExchange(words, 0, now, to);
  }
}

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
    const prng = this.#prng;
    while (this.#step++ < this.#ask.steps) {
      Atomics.add(this.#ask.done, 0, 1);
      if (prng.chance(1, STREAM_EVERY)) await this.#stream();
      else if (prng.chance(1, EXTEND_EVERY)) await this.#extend();
      else await this.#useOne(this.#someBlock());
      if (prng.chance(1, FLUSH_EVERY)) await this.#pool.flush(this.#file);
    }
  }

  #someBlock(): number {
    return this.#prng.below(Atomics.load(this.#ask.blocks, 0));
  }

  async #useOne(block: number): Promise<void> {
    using page = await this.#read(block);
    if (page !== null) await this.#use(page, block);
  }

  async #use(page: Page, block: number): Promise<void> {
    this.#maybeDie(1, 4);
    if (this.#prng.chance(1, 3)) await this.#change(page, block);
    else await this.#look(page, block);
    this.#maybeDie(1, 2);
  }

  /** Some blocks, up or down, by a stream that may be left early. Each page is a step. */
  async #stream(): Promise<void> {
    const prng = this.#prng;
    const count = prng.between(1, STREAM_MAX);
    const step = prng.pick([1, 1, -1, 0, 7]);
    const first = this.#someBlock();
    const blocks = Atomics.load(this.#ask.blocks, 0);
    let given = 0;
    const next = () => {
      const block = first + step * given;
      return block < 0 || block >= blocks || given++ === count ? null : block;
    };
    await using stream = this.#pool.readStream(this.#file, { next, full: prng.chance(1, 2) });
    for (let at = 0; !prng.chance(1, 2 * STREAM_MAX); at++, this.#step++) {
      const pending = this.#ask.isBlocking ? Promise.try(() => stream.nextSync()) : stream.next();
      // With reads under way.
      this.#maybeDie(1, 8);
      const page = await pending.catch((error) => error);
      if (page === null) return;
      if (page instanceof Error) return await this.#mendTorn(page);
      const block = first + step * at;
      if (page.block !== block) throw new Error(`Block ${page.block} comes in place of ${block}`);
      await this.#use(page.page, block);
    }
  }

  /** Makes the file longer. Each page is a step. */
  async #extend(): Promise<void> {
    const { given, blocks } = this.#ask;
    const count = this.#prng.between(1, EXTEND_MAX);
    // Threads that die make it longer, too, and nobody hears how much.
    if (Atomics.load(blocks, 0) > given.length - 500) return;
    const extending = this.#pool.extend(this.#file, count);
    if (this.#step >= this.#diesAt) {
      for (let i = this.#prng.below(6); i > 0; i--) await new Promise((go) => setImmediate(go));
      this.#maybeDie(1, 2);
    }
    const pages = await extending.catch((error) => this.#mendTorn(error));
    for (const page of pages ?? []) {
      const { block } = page;
      if (Atomics.add(given, block, 1) !== 0) throw new Error(`Block ${block} was given twice`);
      await this.#use(page, block);
      page.release();
      this.#step++;
      raise(blocks, block + 1);
    }
  }

  /** @returns null if the page was torn, and is mended */
  async #read(block: number): Promise<Page | null> {
    const { isBlocking, changes } = this.#ask;
    try {
      const page = isBlocking
        ? this.#pool.readSync(this.#file, block)
        : await this.#pool.read(this.#file, block);
      return page;
    } catch (error) {
      if (!(error instanceof Deno.errors.InvalidData)) throw error;
      await mend(this.#pool, this.#file, block, changes);
      return null;
    }
  }

  /** Mends the page that an error names, if that is the reason. */
  async #mendTorn(error: unknown): Promise<void> {
    if (!(error instanceof Deno.errors.InvalidData)) throw error;
    const torn = Number(/block ([0-9]+) /.exec(error.message)![1]);
    await mend(this.#pool, this.#file, torn, this.#ask.changes);
  }

  async #lock(page: Page, mode: "shared" | "exclusive"): Promise<PageLock> {
    return this.#ask.isBlocking ? page.lockSync(mode) : await page.lock(mode);
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
