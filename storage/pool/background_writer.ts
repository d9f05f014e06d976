/**
 * background_writer.ts: writes changed pages back before their places are needed, so that whoever
 * needs one seldom has to write first: PostgreSQL's background writer, as a task of one thread.
 *
 * Each round looks at the buffers in front of the clock's hand. The next victims are those without
 * a pin and without a use. It goes on until it has seen as many victims as are likely to be taken
 * until the next round, and writes those that are newer than the file.
 *
 * @module
 */

import { runSteps, shown } from "../../core/inside.ts";
import { COUNT, statsOf } from "./pool_counts.ts";
import { BUFFER, POOL } from "./pool_memory.ts";
import type { PoolThread } from "./pool_thread.ts";

/** How a background writer works. The defaults are PostgreSQL's. */
export interface BackgroundWriterOptions {
  /** Pause between two rounds: 1..10000 ms. Default: 200 (`bgwriter_delay`). */
  delayMilliseconds?: number;
  /** Most pages that a round writes: 1..65536. Default: 100 (`bgwriter_lru_maxpages`). */
  pagesMax?: number;
  /**
   * How many victims a round sees to, as a multiple of those that were taken in recent rounds:
   * 0..10. Default: 2 (`bgwriter_lru_multiplier`).
   */
  multiplier?: number;
}

/** Buffers that each round looks at, at least. */
const LOOKS_MIN = 1024;
/** A calm round counts so little for the next ones. */
const SMOOTHING = 16;

/** The writer of one thread. */
export class BackgroundWriter {
  readonly #pool: PoolThread;
  readonly #options: Required<BackgroundWriterOptions>;
  #evictions: number;
  /** Victims a round that are to be expected. */
  #expected = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round: Promise<void> = Promise.resolve();
  #isStopped = false;

  /**
   * Begins.
   *
   * @throws {RangeError} for an option out of its range
   */
  constructor(pool: PoolThread, options: BackgroundWriterOptions) {
    this.#pool = pool;
    this.#options = checked(options);
    this.#evictions = this.#countEvictions();
    this.#schedule();
  }

  /** Ends it; resolves once nothing is being written any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#write().then(() => this.#schedule());
    }, this.#options.delayMilliseconds);
    Deno.unrefTimer(this.#timer);
  }

  async #write(): Promise<void> {
    const { writes, counts, backend } = this.#pool;
    this.#learn();
    try {
      counts[COUNT.backgroundWrites]! += await runSteps(writes.writeSome(this.#listVictims()));
    } catch (error) {
      backend.warn("The background writer of a pool could not write pages back", error);
    }
  }

  #countEvictions(): number {
    const { memory, backend } = this.#pool;
    return statsOf(memory, backend.options.maxBackends).evictions;
  }

  /** A busy round counts at once, calm ones little by little. */
  #learn(): void {
    const evictions = this.#countEvictions();
    const recent = evictions - this.#evictions;
    this.#evictions = evictions;
    const isBusy = recent >= this.#expected;
    this.#expected = isBusy ? recent : this.#expected + (recent - this.#expected) / SMOOTHING;
  }

  /** Changed pages among the next victims. */
  #listVictims(): number[] {
    const { memory: { words, pages }, memory, writes } = this.#pool;
    const { pagesMax, multiplier } = this.#options;
    const hand = Atomics.load(words, POOL.hand) >>> 0;
    const changed: number[] = [];
    let left = this.#expected * multiplier;
    for (let i = 0; i < pages && (i < LOOKS_MIN || left > 0) && changed.length < pagesMax; i++) {
      const buffer = (hand + i) % pages;
      const at = memory.at(buffer);
      if (words[at + BUFFER.usage] !== 0 || Atomics.load(words, at + BUFFER.pins) !== 0) continue;
      left--;
      if (writes.isToWrite(buffer)) changed.push(buffer);
    }
    return changed;
  }
}

function checked(options: BackgroundWriterOptions): Required<BackgroundWriterOptions> {
  const { delayMilliseconds = 200, pagesMax = 100, multiplier = 2 } = options;
  const check = (name: keyof BackgroundWriterOptions, value: number, min: number, max: number) => {
    const isRight = name === "multiplier" ? Number.isFinite(value) : Number.isInteger(value);
    if (isRight && value >= min && value <= max) return;
    const what = name === "multiplier" ? "a number" : "an integer";
    throw new RangeError(
      `Cannot start a background writer with "${name}" ${shown(value)}: ${what} from ${min} to ` +
        `${max}`,
    );
  };
  check("delayMilliseconds", delayMilliseconds, 1, 10_000);
  check("pagesMax", pagesMax, 1, 65_536);
  check("multiplier", multiplier, 0, 10);
  return { delayMilliseconds, pagesMax, multiplier };
}
