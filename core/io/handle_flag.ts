/**
 * handle_flag.ts: the flags of an IO, by name and as bits.
 *
 * @module
 */

import { refuseFlag } from "./refusals.ts";

/**
 * A hint or a need of an IO.
 *
 * - `"synchronous"`: the issuer will wait at once; execute it in the start call.
 * - `"referencesLocal"`: its memory is this thread's own and may go away, so the issuer executes
 *   it in the start call, under every method.
 * - `"buffered"`: it goes through the page cache.
 */
export type HandleFlag = "synchronous" | "referencesLocal" | "buffered";

/** The flags by name, as bits. */
export const FLAG_BITS: Readonly<Record<HandleFlag, number>> = {
  synchronous: 1,
  referencesLocal: 2,
  buffered: 4,
};

/**
 * An IO with one of these is executed in its start call, without a claim: it is submitted for that
 * moment, and no other thread may complete it.
 */
export const IN_START_CALL = FLAG_BITS.synchronous | FLAG_BITS.referencesLocal;

/**
 * Beside those of the issuer: a thread has begun to execute the IO by itself, and the operation is
 * one of those whose answer matters if that thread dies: all but reads.
 */
export const BEGUN_BIT = 8;

/**
 * Beside those of the issuer, too: the file is one of FUSE. io_uring takes such files for sockets,
 * which say when they are ready, and waits for the server within the submit, unless the entry has
 * it execute the transfer elsewhere.
 */
export const FUSE_BIT = 16;

/** A lookup by name would find what every object inherits, too, and is slower. */
export function flagBit(flag: HandleFlag): number {
  switch (flag) {
    case "synchronous":
      return FLAG_BITS.synchronous;
    case "referencesLocal":
      return FLAG_BITS.referencesLocal;
    case "buffered":
      return FLAG_BITS.buffered;
    default:
      return refuseFlag(flag);
  }
}
