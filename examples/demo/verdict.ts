/**
 * verdict.ts: what the demo says first: one line for each way of reading, with the reads a second
 * of each contender. Reads past the page cache stand apart, compared with each other alone.
 *
 * @module
 */

import type { Figures } from "./measure.ts";
import { formatNumber, type MeasuredGroup } from "./table.ts";

/** From this size of a read on, bytes a second say more than reads a second. */
const LARGE_READ_BYTES = 64 * 1024;
/** From these on decimals say nothing. */
const WHOLE_THOUSANDS_FROM = 9.5;
const WHOLE_TIMES_FROM = 2.95;

/** A number with one decimal, if it is small enough for one to matter. */
function short(value: number, wholeFrom: number): string {
  return formatNumber(value, value < wholeFrom ? 1 : 0);
}

function rateOf({ reads, seconds }: Figures): number {
  return reads / seconds;
}

/** Reads a second, or bytes a second of large reads. */
export function formatRate(readBytes: number, figures: Figures): string {
  const reads = rateOf(figures);
  if (readBytes >= LARGE_READ_BYTES) return `${formatNumber(reads * readBytes / 1e9, 1)} GB/s`;
  return reads < 1e3
    ? `${formatNumber(reads, 0)} /s`
    : `${short(reads / 1e3, WHOLE_THOUSANDS_FROM)} k/s`;
}

/**
 * One line: what is read and how, then each contender; the last is compared with the first.
 */
function formatLine({ group, figures }: MeasuredGroup): string {
  const shown = group.contenders.flatMap(({ inVerdict }, i) =>
    inVerdict === undefined ? [] : [{ name: inVerdict, figures: figures[i]! }]
  );
  const rates = shown.map(({ name, figures }) => `${name} ${formatRate(group.readBytes, figures)}`);
  const line = `${group.inVerdict}: ${rates.join(", ")}`;
  const [first, last] = [shown[0]!, shown.at(-1)!];
  if (group.isDirect) return line;
  const times = rateOf(last.figures) / rateOf(first.figures);
  return `${line} (${short(times, WHOLE_TIMES_FROM)} times)`;
}

/** The lines of reads from the page cache, or of those past it. */
export function formatVerdict(measured: readonly MeasuredGroup[], isDirect: boolean): string {
  return measured
    .filter(({ group }) => group.inVerdict !== undefined && group.isDirect === isDirect)
    .map(formatLine)
    .join("\n");
}
