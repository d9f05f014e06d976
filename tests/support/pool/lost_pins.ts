/**
 * lost_pins.ts: breaks a rule of pools, for canaries: some pins of a thread end as soon as they are
 * made.
 *
 * @module
 */

import { Pins } from "../../../storage/pool/pins.ts";
import type { Prng } from "../prng.ts";

/** Has one in four pins of this thread end at once. */
export function losePins(prng: Prng): void {
  const { tryPin, unpin } = Pins.prototype;
  const lost = new Set<number>();
  Pins.prototype.tryPin = function (buffer, file, block) {
    const isPinned = tryPin.call(this, buffer, file, block);
    if (isPinned && this.countOf(buffer) === 1 && prng.chance(1, 4)) {
      lost.add(buffer);
      unpin.call(this, buffer);
    }
    return isPinned;
  };
  Pins.prototype.unpin = function (buffer) {
    if (!lost.delete(buffer)) unpin.call(this, buffer);
  };
}
