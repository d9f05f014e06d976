/**
 * alignment.ts: what direct I/O wants of a transfer, checked before the system refuses it with
 * nothing but "Invalid argument".
 *
 * @module
 */

import { isAligned, shown } from "../../core/inside.ts";

/** What addresses of buffers, and offsets and lengths, must be multiples of. */
export interface Alignment {
  /** Of an address, in bytes. */
  readonly memory: number;
  /** Of an offset and of a length, in bytes. */
  readonly offset: number;
}

/** The address of a view, or -1 for one that is bounced: its own address does not matter. */
export type AddressOf = (view: Uint8Array) => number;

/** What of the transfer of one view does not fit, in words; null if all does. */
export function misalignment(
  { memory, offset: unit }: Alignment,
  view: Uint8Array,
  offset: number,
  addressOf: AddressOf,
): string | null {
  if (!isAligned(offset, unit)) return `offset ${offset}`;
  if (!isAligned(view.byteLength, unit)) return `length ${view.byteLength}`;
  const address = addressOf(view);
  return address < 0 || isAligned(address, memory) ? null : `address 0x${address.toString(16)}`;
}

/** The same of several views; if one of them is bounced, all are, as one. */
export function misalignmentOfAll(
  alignment: Alignment,
  views: readonly Uint8Array[],
  offset: number,
  total: number,
  addressOf: AddressOf,
): string | null {
  if (views.some((view) => addressOf(view) < 0)) {
    if (!isAligned(offset, alignment.offset)) return `offset ${offset}`;
    return isAligned(total, alignment.offset) ? null : `length ${total}`;
  }
  let at = offset;
  for (const view of views) {
    const problem = misalignment(alignment, view, at, addressOf);
    if (problem !== null) return problem;
    at += view.byteLength;
  }
  return null;
}

/** The error of a transfer that does not fit. */
export function misaligned(
  alignment: Alignment,
  verb: "read" | "write",
  path: string,
  offset: number,
  total: number,
  problem: string,
): RangeError {
  return new RangeError(
    `Cannot ${verb} ${total} bytes at offset ${offset} of the direct file ${shown(path)}: ` +
      `${problem} is misaligned; offset and length must be multiples of ${alignment.offset}, ` +
      `addresses of ${alignment.memory} (aio.alloc() gives aligned memory)`,
  );
}
