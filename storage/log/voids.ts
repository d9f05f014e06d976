/**
 * voids.ts: what a thread was inserting that has died becomes void, so that nobody waits for it: a
 * reader skips it. The reaper only marks its place; whoever flushes fills it, as the ring may not
 * have room for all of it at once.
 *
 * @module
 */

import { positions } from "../../core/inside.ts";
import { INSERTING, type LogMemory, PLACE } from "./log_memory.ts";
import { voidEnd } from "./record.ts";
import { writeVoid } from "./record_writer.ts";

/** Fills a place, or a part of it, as far as there is room, if it is void. */
export function fillVoid(memory: LogMemory, at: number): void {
  if (Atomics.load(memory.words, at + PLACE.state) !== INSERTING.void) return;
  // Under the lock it shows whether its thread had the place when it died.
  const isVoid = () => Atomics.load(memory.words, at + PLACE.state) === INSERTING.void;
  if (!memory.locked(isVoid)) return;
  const { words, ring, segmentBytes, identity, opening, flushed } = memory;
  const to = positions.positionAt(words, at + PLACE.to);
  let done = positions.positionAt(words, at + PLACE.done);
  while (done < to) {
    const end = voidEnd(done, to, segmentBytes);
    if (end > memory.roomEnd) return;
    writeVoid({ bytes: ring }, segmentBytes, identity, opening, done, end, flushed);
    positions.setPosition(words, at + PLACE.done, done = end);
  }
  Atomics.store(words, at + PLACE.state, INSERTING.nothing);
}
