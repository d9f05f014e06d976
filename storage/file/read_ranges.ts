/**
 * read_ranges.ts: many ranges of a file by one call: neighbours are read together, each byte once,
 * all by one submit, and what comes out are views of what was read.
 *
 * @module
 */

import { alignUp, shown } from "../../core/inside.ts";
import type { FileTransfer } from "./many_transfer.ts";

/** A part of a file. */
export interface FileRange {
  /** Where it begins, in bytes. */
  readonly offset: number;
  /** How long it is, in bytes. */
  readonly length: number;
}

/** Most bytes of a read that several ranges share: more would keep the others waiting. */
const SHARED_BYTES_MAX = 262_144;

/** How ranges are read. */
interface RangeOptions {
  /** At most so many bytes between two ranges are read with them. */
  readonly gap?: number;
  /** Where they are read to: as a rule a part of the arena, which takes no memory and no copy. */
  readonly into?: Uint8Array;
}

/** Ranges that are read together. */
interface Group {
  from: number;
  to: number;
  /** By their places in the list. */
  readonly members: number[];
}

/**
 * Puts ranges together.
 *
 * @param unit offsets and lengths of reads are multiples of this
 * @throws {TypeError} or {RangeError} for what cannot be ranges
 */
export function planOf(
  path: string,
  ranges: readonly FileRange[],
  unit: number,
  { gap = 0, into }: RangeOptions,
): RangePlan {
  check(path, ranges, gap);
  // The caller may go on to use the list, and what is in it, for something else.
  const own = Array.from(ranges, ({ offset, length }) => ({ offset, length }));
  const groups: Group[] = [];
  for (const place of inOrder(own)) {
    const { offset, length } = own[place]!;
    if (length === 0) continue;
    const from = offset - offset % unit;
    const to = alignUp(offset + length, unit);
    const last = groups.at(-1);
    const isNear = last !== undefined && from <= last.to + gap &&
      (from < last.to || Math.max(to, last.to) - last.from <= SHARED_BYTES_MAX);
    if (!isNear) groups.push({ from, to, members: [place] });
    else {
      last.to = Math.max(last.to, to);
      last.members.push(place);
    }
  }
  return new RangePlan(own, groups, into === undefined ? [] : partsOf(path, into, groups));
}

/** Memory of the caller for each group, one after another. */
function partsOf(path: string, into: unknown, groups: readonly Group[]): Uint8Array[] {
  const what = `Cannot read ranges of ${shown(path)}`;
  if (!(into instanceof Uint8Array)) {
    throw new TypeError(`${what}: "into" must be a Uint8Array: got ${shown(into)}`);
  }
  const bytes = groups.reduce((sum, { from, to }) => sum + to - from, 0);
  if (bytes > into.byteLength) {
    throw new RangeError(
      `${what}: "into" must have at least ${bytes} bytes, for the ranges with the gaps and the whole ` +
        `blocks that are read with them: got ${into.byteLength}`,
    );
  }
  let at = into.byteOffset;
  return groups.map(({ from, to }) => {
    const part = new Uint8Array(into.buffer, at, to - from);
    at += to - from;
    return part;
  });
}

/** The places of ranges in the list, by offset. */
function inOrder(ranges: readonly FileRange[]): number[] {
  const places = Array.from(ranges, (_, i) => i);
  const isSorted = places.every((i) => i === 0 || ranges[i - 1]!.offset <= ranges[i]!.offset);
  return isSorted ? places : places.sort((a, b) => ranges[a]!.offset - ranges[b]!.offset);
}

function check(path: string, ranges: unknown, gap: unknown): void {
  const what = `Cannot read ranges of ${shown(path)}`;
  if (!Array.isArray(ranges)) {
    throw new TypeError(`${what}: pass a list of { offset, length }: got ${shown(ranges)}`);
  }
  const isSize = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!isSize(gap)) {
    throw new RangeError(`${what}: "gap" must be an integer from 0: got ${shown(gap)}`);
  }
  for (const [i, range] of ranges.entries()) {
    const { offset, length } = range ?? {};
    if (isSize(offset) && isSize(length) && isSize(offset + length)) continue;
    throw new RangeError(
      `${what}: range ${i} must have an offset and a length, integers from 0: ` +
        `got ${shown(offset)} and ${shown(length)}`,
    );
  }
}

/** What is read, and where in it the ranges are. */
export class RangePlan {
  /** What is read. */
  readonly transfers: readonly FileTransfer[];
  readonly #ranges: readonly FileRange[];
  readonly #groups: readonly Group[];

  /**
   * @param groups each is one read
   * @param parts where each is read to; else it takes new memory
   */
  constructor(
    ranges: readonly FileRange[],
    groups: readonly Group[],
    parts: readonly Uint8Array[],
  ) {
    this.#ranges = ranges;
    this.#groups = groups;
    this.transfers = groups.map(({ from, to }, i) => ({
      buffer: parts[i] ?? new Uint8Array(to - from),
      offset: from,
    }));
  }

  /**
   * The ranges, once all is read.
   *
   * @param bytes of each read
   */
  cut(bytes: readonly number[]): Uint8Array[] {
    const views: Uint8Array[] = new Array(this.#ranges.length);
    for (const [i, { from, members }] of this.#groups.entries()) {
      const { buffer, byteOffset } = this.transfers[i]!.buffer;
      const end = bytes[i]!;
      for (const place of members) {
        const { offset, length } = this.#ranges[place]!;
        const at = Math.min(offset - from, end);
        // `subarray` takes several times as long.
        views[place] = new Uint8Array(buffer, byteOffset + at, Math.min(length, end - at));
      }
    }
    // Of empty ranges nothing was read.
    for (let i = 0; i < views.length; i++) views[i] ??= new Uint8Array(0);
    return views;
  }
}
