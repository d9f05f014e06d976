/**
 * make_record.ts: records that tell their thread, their number and their length, and that are known
 * from anything else in a file: what the tests of appends write.
 *
 * @module
 */

import { mix32 } from "../prng.ts";

/** Records are so many bytes, or a multiple. */
export const UNIT_BYTES = 16;
/** Every record begins with it. */
export const MAGIC = 0x5ec0_12d1;

/** Makes one. */
export function makeRecord(thread: number, number: number, bytes: number): Uint8Array {
  const words = new Int32Array(bytes / 4);
  words.fill(mix32(thread * 0x10_0000 + number) | 1);
  words.set([MAGIC, thread, number, bytes]);
  return new Uint8Array(words.buffer);
}
