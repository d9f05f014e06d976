/**
 * doc_layouts.ts: memory as a page draws it, compared with the constants of the code. A record is
 * drawn as its words and their names, `20..25 targetData`, two spaces between two of them, and its
 * size; the sections of a memory as one line each.
 *
 * @module
 */

/** Offsets of fields by name, in words, and `size`. */
export type RecordLayout = Readonly<Record<string, number>>;

const FIELD = /^(\d+)(?:\.\.(\d+))? (\w+)$/;
const SIZE = /^size (\d+)$/;

/**
 * What a drawing says otherwise than the code, or does not say.
 *
 * @param drawing the block of the page
 * @param layout the code's
 * @param widths words of the fields that have more than one
 */
export function findRecordFaults(
  drawing: string,
  layout: RecordLayout,
  widths: Readonly<Record<string, number>>,
): string[] {
  const drawn = new Map<string, string>();
  const faults: string[] = [];
  for (const cell of drawing.trim().split(/\n| {2,}/).map((text) => text.trim())) {
    if (cell === "") continue;
    const field = FIELD.exec(cell);
    const size = SIZE.exec(cell);
    if (field !== null) drawn.set(field[3]!, `${field[1]}..${field[2] ?? field[1]}`);
    else if (size !== null) drawn.set("size", size[1]!);
    else faults.push(`"${cell}" is neither a field nor the size`);
  }
  for (const [name, at] of Object.entries(layout)) {
    const expected = name === "size" ? String(at) : `${at}..${at + (widths[name] ?? 1) - 1}`;
    const found = drawn.get(name);
    if (found === undefined) faults.push(`${name} is missing, it is at ${expected}`);
    else if (found !== expected) faults.push(`${name} is drawn at ${found}, it is at ${expected}`);
    drawn.delete(name);
  }
  for (const name of drawn.keys()) faults.push(`${name} is drawn, there is no such field`);
  return faults;
}

/** The numbers of each line that has any; `1 024` is one. */
export function numbersOf(drawing: string): number[][] {
  return drawing.split("\n").map((line) =>
    Array.from(
      line.replaceAll(/(?<=\d) (?=\d{3}(?!\d))/g, "").matchAll(/\d+/g),
      ([digits]) => Number(digits),
    )
  ).filter((numbers) => numbers.length > 0);
}
