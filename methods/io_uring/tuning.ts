/**
 * io_uring/tuning.ts: the choices of the method io_uring that were made by measuring.
 *
 * @module
 */

/** What was chosen by measuring: `bench/uring_choices.ts` has the rows with and without. */
export interface UringTuning {
  /**
   * More bytes than this in one submit are left to kernel threads: copying them would stall the
   * loop. 64 direct reads of 1 MiB are issued in 0.22 ms with it and 2.0 ms without, 16 cached ones
   * in 0.23 and 1.9 ms. With 0, so for all, cached reads of 4 KiB fall from 664 to 174 thousand a
   * second.
   */
  readonly inlineBytesMax: number;
  /**
   * Flags of `io_uring_setup` beside those that the form needs. COOP_TASKRUN made no difference:
   * 698 and 710 thousand cached reads a second without and with, 76 thousand direct ones.
   */
  readonly setupFlags: number;
  /**
   * IOs on a file after which the ring registers it, so that the kernel need not look its
   * descriptor up: 641 and 623 thousand cached reads a second with and without, direct ones are
   * equal. Registering and forgetting it takes as long as 150 reads save.
   */
  readonly fileUsesMin: number;
  /**
   * Reads in a row that were submitted alone and were in the page cache, after which the next is
   * tried without the ring: 419 and 313 thousand a second with and without, for one task. With
   * fewer, more tries would miss where files are read from the disk. With `Infinity` every read
   * goes through the ring, into plain memory as well.
   */
  readonly cachedReadsMin: number;
}

/** What this version takes. */
export const DEFAULT_TUNING: UringTuning = {
  inlineBytesMax: 1024 * 1024,
  setupFlags: 0,
  fileUsesMin: 128,
  cachedReadsMin: 16,
};
