/**
 * log_places.ts: logs of any sizes, and places of them where something ends, or nearly, or none is
 * behind.
 *
 * @module
 */

import { startOf } from "../../../storage/log/record.ts";
import type { Prng } from "../prng.ts";

const KIB = 1024;
/** As many as a position may have at most, in whole segments of 192 KiB. */
export const FAR = 192 * KIB * Math.floor((2 ** 53 - 2 ** 32) / (192 * KIB));

/** Sizes of a log, and a place of it where a record may begin. */
export interface LogPlace {
  readonly segmentBytes: number;
  readonly ringBytes: number;
  readonly from: number;
}

/** Draws one. */
export function drawPlace(prng: Prng): LogPlace {
  const segmentBytes = prng.pick([64, 128, 192]) * KIB;
  const ringBytes = prng.pick([64, 128, 192, 256]) * KIB;
  const segment = prng.pick([0, prng.below(100), Math.floor(FAR / segmentBytes)]);
  const at = prng.pick([0, 8 * prng.below(segmentBytes / 8), segmentBytes - 8 * prng.below(10)]);
  const from = startOf(segment * segmentBytes + at, segmentBytes);
  return { segmentBytes, ringBytes, from };
}
