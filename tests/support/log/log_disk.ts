/**
 * log_disk.ts: segments of a log in memory, for scans: with their faults, and what a power cut does
 * to writes that were not flushed.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { type FragmentReader, RecordAssembler } from "../../../storage/log/record_reader.ts";
import {
  LogDamageError,
  PIECE_BYTES_MAX,
  scan,
  type ScanOptions,
  type ScanResult,
  type ScanSource,
} from "../../../storage/log/scan.ts";
import type { LogShape, ModelLog, ModelRecord } from "./log_model.ts";

/** Segments, zeroed ahead. */
export class LogDisk implements ScanSource {
  readonly segments: Uint8Array[];
  readonly #segmentBytes: number;
  /** What a read hands out; the next one uses it again, so what is kept of it is noticed. */
  readonly #memory = new Uint8Array(PIECE_BYTES_MAX);

  constructor(segmentBytes: number, count: number) {
    this.#segmentBytes = segmentBytes;
    this.segments = Array.from({ length: count }, () => new Uint8Array(segmentBytes));
  }

  /** Writes to where a position is. */
  write(position: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const [segment, offset] = this.#place(position + done);
      const part = bytes.subarray(done, done + this.#segmentBytes - offset);
      segment.set(part, offset);
      done += part.length;
    }
  }

  /** Flips a bit of the byte at a position. */
  flip(position: number, bit: number): void {
    const [segment, offset] = this.#place(position);
    segment[offset]! ^= 1 << bit;
  }

  /** Cuts the file of a segment short; to nothing, it is missing. */
  truncate(segment: number, bytes: number): void {
    this.segments[segment] = this.segments[segment]!.slice(0, bytes);
  }

  read(position: number, bytes: number): Uint8Array {
    const offset = position % this.#segmentBytes;
    assertEquals(position % 4096, 0, "reads are aligned");
    assert(bytes > 0 && bytes <= PIECE_BYTES_MAX, "reads are bounded");
    assert(offset + bytes <= this.#segmentBytes, "reads keep within a segment");
    const segment = this.segments[Math.floor(position / this.#segmentBytes)] ?? new Uint8Array();
    const part = segment.subarray(offset, offset + bytes);
    this.#memory.fill(0xaa).set(part);
    return this.#memory.subarray(0, part.length);
  }

  #place(position: number): readonly [Uint8Array, number] {
    const segment = this.segments[Math.floor(position / this.#segmentBytes)];
    assert(segment !== undefined, "the log has no such segment");
    return [segment, position % this.#segmentBytes];
  }
}

/** One log's, in the tests of scans. */
export const SHAPE: LogShape = { segmentBytes: 65536, identity: [7, 0x80000001] };

/** A disk with a log on it. */
export function diskWith(model: ModelLog, count: number, { segmentBytes } = SHAPE): LogDisk {
  const disk = new LogDisk(segmentBytes, count);
  disk.write(model.from, model.bytes());
  return disk;
}

/** What a scan came to. */
export interface Scanned {
  readonly records: readonly ModelRecord[];
  /** Null: it found damage. */
  readonly result: ScanResult | null;
  readonly damage: LogDamageError | null;
}

/** Scans a log of one opening, if nothing else is said, and assembles its records. */
export function scanRecords(
  source: ScanSource,
  shape: LogShape,
  options: Partial<ScanOptions> = {},
): Scanned {
  const assembler = new RecordAssembler();
  const records: ModelRecord[] = [];
  const visit = (fragment: FragmentReader) => {
    if (!assembler.push(fragment)) return;
    records.push({ position: assembler.position, data: assembler.data.slice() });
  };
  const { from = 0 } = options;
  const first = { from, newestOpening: 1, newestFrom: from, openingAtFrom: 1, cleanEnd: null };
  const searchBytes = 512 * 1024;
  try {
    const result = scan(source, { ...shape, ...first, searchBytes, visit, ...options });
    return { records, result, damage: null };
  } catch (error) {
    if (!(error instanceof LogDamageError)) throw error;
    return { records, result: null, damage: error };
  }
}
