/**
 * lost_pins.ts: breaks a rule of pools, for canaries: some pins of a thread end as soon as they are
 * made.
 *
 * @module
 */

import { bufferOf } from "../../../storage/pool/pin_code.ts";
import { Pins } from "../../../storage/pool/pins.ts";
import type { Prng } from "../prng.ts";

/** Has one in four pins of this thread end at once. */
export function losePins(prng: Prng): void {
  const { tryPin, tryPinBlock, unpin } = Pins.prototype;
  const lost = new Set<number>();
  const maybeLose = (pins: Pins, buffer: number): void => {
    if (pins.countOf(buffer) !== 1 || !prng.chance(1, 4)) return;
    lost.add(buffer);
    unpin.call(pins, buffer);
  };
  Pins.prototype.tryPin = function (buffer, file, block) {
    const isPinned = tryPin.call(this, buffer, file, block);
    if (isPinned) maybeLose(this, buffer);
    return isPinned;
  };
  Pins.prototype.tryPinBlock = function (file, block) {
    const pinned = tryPinBlock.call(this, file, block);
    if (pinned >= 0) maybeLose(this, bufferOf(pinned));
    return pinned;
  };
  Pins.prototype.unpin = function (buffer) {
    if (!lost.delete(buffer)) unpin.call(this, buffer);
  };
}
