/**
 * log_stats.ts: what one thread has done with a log.
 *
 * @module
 */

/** What `log.stats()` says, of this thread. */
export interface LogFigures {
  /** Records that it inserted. */
  readonly records: number;
  /** Bytes of the log that it made durable, heads of records included. */
  readonly bytes: number;
  /** Flushes that it made. */
  readonly flushes: number;
  /** Milliseconds that half of its last flushes took at most; 0: there were none. */
  readonly flushMs50: number;
  /** Milliseconds that 99 % of its last flushes took at most; 0: there were none. */
  readonly flushMs99: number;
}

/** So many flushes are remembered. */
const FLUSHES = 1024;

/** The figures of one thread, as they grow. */
export class LogStats {
  /** Records that it inserted. */
  records = 0;
  #bytes = 0;
  #flushes = 0;
  readonly #ms = new Float64Array(FLUSHES);

  /** A flush has ended well. */
  noteFlush(bytes: number, ms: number): void {
    this.#bytes += bytes;
    this.#ms[this.#flushes++ % FLUSHES] = ms;
  }

  /** What is known now. */
  figures(): LogFigures {
    const last = this.#ms.slice(0, Math.min(this.#flushes, FLUSHES)).sort();
    const at = (share: number) => last[Math.ceil(last.length * share) - 1] ?? 0;
    return {
      records: this.records,
      bytes: this.#bytes,
      flushes: this.#flushes,
      flushMs50: at(0.5),
      flushMs99: at(0.99),
    };
  }
}
