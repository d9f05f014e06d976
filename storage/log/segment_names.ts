/**
 * segment_names.ts: what the files of segments are called: `0000000000000007.log` is segment 7.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { isTemporaryOf } from "../file/replace_file.ts";
import { CONTROL_NAME } from "./control_file.ts";

const NAME_DIGITS = 16;
const SUFFIX = ".log";
/** How the name of a file ends that becomes a segment once it is whole and durable. */
export const NEW_SUFFIX = ".new";

/** The name of a segment. */
export function segmentName(number: number): string {
  return `${String(number).padStart(NAME_DIGITS, "0")}${SUFFIX}`;
}

/** The path of a segment. */
export function segmentPath(directory: string, number: number): string {
  return join(directory, segmentName(number));
}

/** The number of the segment with a name; null: it is none. */
function segmentNumber(name: string): number | null {
  if (name.length !== NAME_DIGITS + SUFFIX.length || !name.endsWith(SUFFIX)) return null;
  const digits = name.slice(0, NAME_DIGITS);
  return /^\d+$/.test(digits) ? Number(digits) : null;
}

/** The segments that there are, in order. */
export function segmentNumbers(directory: string): number[] {
  const numbers: number[] = [];
  for (const { name } of Deno.readDirSync(directory)) {
    const number = segmentNumber(name);
    if (number !== null) numbers.push(number);
  }
  return numbers.sort((a, b) => a - b);
}

/** Whether a name is that of a segment, or a control file, which was not made whole. */
export function isLeftOver(name: string): boolean {
  return name.endsWith(NEW_SUFFIX) || isTemporaryOf(CONTROL_NAME, name);
}

/** A segment of some log. */
export interface SegmentPlace {
  readonly directory: string;
  readonly number: number;
}

/** What descriptions and errors call a segment. */
export function shownSegment({ directory, number }: SegmentPlace): string {
  return `segment ${number} of log ${JSON.stringify(directory)}`;
}

/** Which segment a file is; null: it is none. One that is being made counts. */
export function segmentAt(path: string): SegmentPlace | null {
  const slash = path.lastIndexOf("/");
  const number = segmentNumber(path.slice(slash + 1, slash + 1 + NAME_DIGITS + SUFFIX.length));
  return number === null ? null : { directory: dirname(path), number };
}
