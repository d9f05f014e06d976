/**
 * table.ts: the table of the demo: blocks with a title, numbers to the right with thousands
 * separators, at most 100 columns wide.
 *
 * Written by hand, as it is this little: `console.table` puts numbers to the left, and a library
 * would have to be downloaded before the demo could run.
 *
 * @module
 */

import type { Group } from "./contender.ts";
import type { Figures } from "./measure.ts";

/** A group with what its contenders reached, in their order. */
export interface MeasuredGroup {
  readonly group: Group;
  readonly figures: readonly Figures[];
}

const HEADER = ["", "IOPS", "MB/s", "µs/read", "CPU µs/read", "vs 1st"];
const WIDTHS = [46, 11, 9, 11, 13, 10];
const LINE_WIDTH = WIDTHS.reduce((sum, width) => sum + width);

function layOut(cells: readonly string[]): string {
  return cells.map((cell, i) => i === 0 ? cell.padEnd(WIDTHS[i]!) : cell.padStart(WIDTHS[i]!))
    .join("");
}

/** A number with thousands separators and as many decimals as asked for. */
export function formatNumber(value: number, decimals: number): string {
  return value.toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
}

function formatRow(name: string, readBytes: number, figures: Figures, measure: Figures): string {
  const { reads, seconds, cpuSeconds } = figures;
  const iops = reads / seconds;
  return layOut([
    `  ${name}`,
    formatNumber(iops, 0),
    formatNumber(iops * readBytes / 1e6, 0),
    formatNumber(seconds * 1e6 / reads, 2),
    formatNumber(cpuSeconds * 1e6 / reads, 2),
    `${formatNumber(iops / (measure.reads / measure.seconds), 2)}x`,
  ]);
}

/** Breaks a text between words into lines as wide as the table. */
export function wrap(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length > LINE_WIDTH) lines.push(`  ${word}`);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines.join("\n");
}

/**
 * The whole table.
 *
 * @param groups what was measured
 * @param bold makes a text stand out
 */
export function formatTable(
  groups: readonly MeasuredGroup[],
  bold: (text: string) => string = (text) => text,
): string {
  const lines = [layOut(HEADER), "─".repeat(LINE_WIDTH)];
  for (const [i, { group, figures }] of groups.entries()) {
    if (i > 0) lines.push("");
    lines.push(bold(group.title));
    for (const [j, one] of figures.entries()) {
      lines.push(formatRow(group.contenders[j]!.name, group.readBytes, one, figures[0]!));
    }
  }
  return lines.join("\n");
}
