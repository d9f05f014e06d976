/**
 * records.ts: finds the records of make_record.ts in a file, and the holes between them.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { mix32 } from "../prng.ts";
import { MAGIC, UNIT_BYTES } from "./make_record.ts";

/** A record in a file. */
export interface FoundRecord {
  readonly thread: number;
  readonly number: number;
  readonly bytes: number;
  /** So many of them are there, and zeros in place of the others. */
  readonly written: number;
}

/** Reads one. @throws if it is neither whole nor cut off */
export function recordAt(content: Uint8Array, offset: number): FoundRecord {
  const all = new Int32Array(content.buffer, content.byteOffset, content.byteLength >> 2);
  const at = offset / 4;
  const [magic, thread, number, bytes] = all.subarray(at, at + 4);
  assertEquals(magic, MAGIC, `a record begins at ${offset}`);
  assert(offset + bytes! <= content.length, `the record at ${offset} ends within the file`);
  const word = mix32(thread! * 0x10_0000 + number!) | 1;
  let written = 4;
  while (written < bytes! / 4 && all[at + written] === word) written++;
  for (let i = written; i < bytes! / 4; i++) {
    if (all[at + i] !== 0) throw new Error(`The record at ${offset} is not whole: word ${i}`);
  }
  return { thread: thread!, number: number!, bytes: bytes!, written: 4 * written };
}

/** What a file is made of. */
export interface FileParts {
  /** By thread and number: where they begin. */
  readonly offsets: ReadonlyMap<string, number>;
  /** Parts of zeros, in place of records or behind the beginning of one. */
  readonly holes: readonly { readonly from: number; readonly to: number }[];
}

/** Names a record. */
export function nameOf(thread: number, number: number): string {
  return `${thread}:${number}`;
}

/** Goes through a file of whole records and holes. @throws if there is anything else in it */
export function partsOf(content: Uint8Array): FileParts {
  const offsets = new Map<string, number>();
  const holes: { from: number; to: number }[] = [];
  for (let at = 0; at < content.length;) {
    if (content.subarray(at, at + UNIT_BYTES).every((byte) => byte === 0)) {
      const to = at + UNIT_BYTES;
      if (holes.at(-1)?.to === at) holes.at(-1)!.to = to;
      else holes.push({ from: at, to });
      at = to;
      continue;
    }
    const { thread, number, bytes, written } = recordAt(content, at);
    const name = nameOf(thread, number);
    assert(!offsets.has(name), `record ${name} is there once`);
    if (written === bytes) offsets.set(name, at);
    else holes.push({ from: at + written, to: at + bytes });
    at += bytes;
  }
  return { offsets, holes };
}
