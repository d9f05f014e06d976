/**
 * stream_stats.ts: the numbers of a read stream that PostgreSQL shows by `EXPLAIN (ANALYZE, IO)`.
 *
 * @module
 */

/** What a read stream has done since `enableStats()`. */
export class StreamStats {
  /** Most buffers that the stream can pin ahead: the capacity of the prefetch distance. */
  readonly distanceCapacity: number;
  /** Pages delivered. */
  prefetchCount = 0;
  /** The sum of the pinned buffers over the pages delivered, each counted before it was. */
  distanceSum = 0;
  /** The maximum of the same. */
  distanceMax = 0;
  /** IOs started. */
  ioCount = 0;
  /** Blocks of all IOs. */
  ioNblocks = 0;
  /** The sum of the IOs in progress over the IOs started, each counted with itself. */
  ioInProgress = 0;
  /** IOs that the consumer had to wait for. */
  waitCount = 0;

  /** @ignore */
  constructor(capacity: number) {
    this.distanceCapacity = capacity;
  }

  /** The prefetch distance on average, in pages; 0 before the first page. */
  get distanceAverage(): number {
    return this.prefetchCount === 0 ? 0 : this.distanceSum / this.prefetchCount;
  }

  /** Blocks of an IO on average; 0 before the first one. */
  get ioSizeAverage(): number {
    return this.ioCount === 0 ? 0 : this.ioNblocks / this.ioCount;
  }

  /** IOs in progress on average, when one was started; 0 before the first one. */
  get ioInProgressAverage(): number {
    return this.ioCount === 0 ? 0 : this.ioInProgress / this.ioCount;
  }

  /**
   * Counts a page.
   *
   * @ignore
   */
  countPrefetch(pinned: number): void {
    this.prefetchCount++;
    this.distanceSum += pinned;
    if (pinned > this.distanceMax) this.distanceMax = pinned;
  }

  /**
   * Counts an IO.
   *
   * @ignore
   */
  countIo(blocks: number, inProgress: number): void {
    this.ioCount++;
    this.ioNblocks += blocks;
    this.ioInProgress += inProgress;
  }
}
