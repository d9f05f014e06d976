/**
 * log_stats.ts: what all threads have done with a log since it was opened: doubles in its memory,
 * each written by one thread at a time.
 *
 * @module
 */

import { BACKENDS_MAX, FIGURE, type LogMemory } from "./log_memory.ts";

/** What `log.stats()` says, of all threads, since the log was opened. */
export interface LogFigures {
  /** Records that were inserted. */
  readonly records: number;
  /** Bytes that were made durable, heads of records included. */
  readonly bytes: number;
  /** Flushes: writes of the buffer that were made durable. */
  readonly flushes: number;
  /** How many records a flush has made durable, on average; 0: there were no flushes. */
  readonly recordsPerFlush: number;
  /** Milliseconds that half of the last 1024 flushes took at most; 0: there were none. */
  readonly flushMs50: number;
  /** Milliseconds that 99 % of the last 1024 flushes took at most; 0: there were none. */
  readonly flushMs99: number;
  /** Records that waited for room in the buffer: a larger `bufferBytes` makes them fewer. */
  readonly roomWaits: number;
  /** How often a thread waited for another thread's flush. */
  readonly flushWaits: number;
}

/** The figures of a log, as one thread makes and reads them. */
export class LogStats {
  readonly #figures: Float64Array<SharedArrayBuffer>;
  readonly #own: number;

  /**
   * @param memory of the log
   * @param backendId whose records are counted
   */
  constructor({ figures }: Pick<LogMemory, "figures">, backendId: number) {
    this.#figures = figures;
    this.#own = FIGURE.backends + backendId * FIGURE.line;
  }

  /** This thread has inserted a record. */
  noteRecord(): void {
    this.#figures[this.#own + FIGURE.records]!++;
  }

  /** A record waits for room. */
  noteRoomWait(): void {
    this.#figures[this.#own + FIGURE.roomWaits]!++;
  }

  /** This thread waits for another one's flush. */
  noteFlushWait(): void {
    this.#figures[this.#own + FIGURE.flushWaits]!++;
  }

  /** A flush has ended well, and the next one has not begun. */
  noteFlush(bytes: number, ms: number): void {
    const figures = this.#figures;
    figures[FIGURE.times + figures[FIGURE.flushes]! % FIGURE.timesMax] = ms;
    figures[FIGURE.bytes]! += bytes;
    figures[FIGURE.flushes]!++;
  }

  /** What is known now. */
  figures(): LogFigures {
    const figures = this.#figures;
    const flushes = figures[FIGURE.flushes]!;
    const last = figures.slice(FIGURE.times, FIGURE.times + Math.min(flushes, FIGURE.timesMax))
      .sort();
    const at = (share: number) => last[Math.ceil(last.length * share) - 1] ?? 0;
    const records = this.#sum(FIGURE.records);
    return {
      records,
      bytes: figures[FIGURE.bytes]!,
      flushes,
      recordsPerFlush: flushes === 0 ? 0 : records / flushes,
      flushMs50: at(0.5),
      flushMs99: at(0.99),
      roomWaits: this.#sum(FIGURE.roomWaits),
      flushWaits: this.#sum(FIGURE.flushWaits),
    };
  }

  #sum(which: number): number {
    let sum = 0;
    for (let id = 0; id < BACKENDS_MAX; id++) {
      sum += this.#figures[FIGURE.backends + id * FIGURE.line + which]!;
    }
    return sum;
  }
}
