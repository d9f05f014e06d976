/**
 * log_model.ts: the bytes of a log as storage/log/record.ts describes them, made in the plainest
 * way: no ring, no steps, a CRC byte by byte. What the library writes is compared with this.
 *
 * @module
 */

import type { LogIdentity } from "../../../storage/log/record.ts";

/** What each fragment of a log has in common. */
export interface LogShape {
  readonly segmentBytes: number;
  readonly identity: LogIdentity;
}

/** A record, as somebody appended it. */
export interface ModelRecord {
  readonly position: number;
  readonly data: Uint8Array;
}

/** A fragment, as the model wrote it. */
export interface ModelFragment {
  readonly position: number;
  /** Without the rest of its segment that may follow. */
  readonly end: number;
  readonly durable: number;
}

const HEAD = 24;
const FRAGMENT_MAX = 65536;
const SHORT_REST = 32;

/** The CRC of each byte on its own, a bit at a time. */
const BYTE_CRCS = Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78;
  return crc;
});

/** CRC-32C, a byte at a time. */
export function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ BYTE_CRCS[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

function putNumber(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true);
}

/** One fragment. */
export function modelFragment(
  shape: LogShape,
  position: number,
  data: Uint8Array,
  head: { readonly kind: number; readonly opening: number; readonly durable: number },
): Uint8Array<ArrayBuffer> {
  const padded = Math.ceil(data.length / 8) * 8;
  const covered = new Uint8Array(16 + HEAD - 4 + padded);
  const view = new DataView(covered.buffer);
  putNumber(view, 0, position);
  view.setUint32(8, shape.identity[0], true);
  view.setUint32(12, shape.identity[1], true);
  view.setUint32(16, data.length, true);
  view.setUint32(20, head.opening, true);
  view.setUint32(24, head.kind, true);
  putNumber(view, 28, head.durable);
  covered.set(data, 36);
  const fragment = new Uint8Array(HEAD + padded);
  new DataView(fragment.buffer).setUint32(0, slowCrc32c(covered), true);
  fragment.set(covered.subarray(16), 4);
  return fragment;
}

/** Bytes of a log that begins at a position and grows. */
export class ModelLog {
  readonly records: ModelRecord[] = [];
  readonly fragments: ModelFragment[] = [];
  readonly from: number;
  readonly #shape: LogShape;
  readonly #parts: Uint8Array[] = [];
  #end: number;

  /** @param from a multiple of 8 with room for a fragment */
  constructor(shape: LogShape, from = 0) {
    this.#shape = shape;
    this.from = from;
    this.#end = from;
  }

  /** Where the next record begins. */
  get end(): number {
    return this.#end;
  }

  /** @returns where the record begins */
  append(data: Uint8Array, opening: number, durable: number): number {
    const position = this.#end;
    let done = 0;
    do {
      const rest = this.#rest();
      const room = rest <= FRAGMENT_MAX ? rest : Math.min(FRAGMENT_MAX, rest - SHORT_REST);
      const part = data.subarray(done, done + room - HEAD);
      const isFirst = done === 0;
      done += part.length;
      const isLast = done === data.length;
      const kind = isFirst ? (isLast ? 1 : 2) : (isLast ? 4 : 3);
      this.addFragment(kind, part, opening, durable);
    } while (done < data.length);
    this.records.push({ position, data });
    return position;
  }

  /** Adds a fragment of any kind, for which there must be room, but no record. */
  addFragment(kind: number, data: Uint8Array, opening: number, durable: number): void {
    const position = this.#end;
    this.#add(modelFragment(this.#shape, position, data, { kind, opening, durable }));
    this.fragments.push({ position, end: this.#end, durable });
    if (this.#rest() < SHORT_REST) this.#add(new Uint8Array(this.#rest()));
  }

  /** All of it. */
  bytes(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.#end - this.from);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  #rest(): number {
    return this.#shape.segmentBytes - this.#end % this.#shape.segmentBytes;
  }

  #add(part: Uint8Array): void {
    this.#parts.push(part);
    this.#end += part.length;
  }
}
