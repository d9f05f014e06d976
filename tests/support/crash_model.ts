/**
 * crash_model.ts: the states that a power cut may leave, computed by brute force from what they are
 * said to be, for one file whose changes follow each other. No line of it is shared with
 * testing/crash_states.ts.
 *
 * At each moment the file has had several contents since the last flush, the one then among them.
 * The disk has each sector as one of these contents has it, and the size of one of them, or one
 * that a write had on its way. If the size of a truncation is on the disk, nothing is left of what
 * it cut off, though what was written before may be missing. If its size is not, all sectors are
 * from before it, but for those of the block that it cuts.
 *
 * @module
 */

/** Of file systems. */
const BLOCK_BYTES = 4096;

/** What a program does to its file next. */
export type Doing =
  | { readonly do: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly do: "truncate"; readonly size: number }
  | { readonly do: "flush" }
  | { readonly do: "mark" };

/** A content that the file had. */
export interface Version {
  readonly bytes: Uint8Array;
  /** The truncation that made it, and how far the file had been written by then. */
  readonly cut: { readonly size: number; readonly extent: number } | null;
}

/** What a new file is. */
const EMPTY: Version = { bytes: new Uint8Array(), cut: null };

/** The contents that the file may have after a program: those since its last flush. */
export function versionsAfter(program: readonly Doing[]): readonly Version[] {
  let versions: readonly Version[] = [EMPTY];
  let extent = 0;
  for (const doing of program) {
    versions = versionsBehind(versions, doing, extent);
    if (doing.do === "write") extent = Math.max(extent, doing.offset + doing.bytes.length);
  }
  return versions;
}

function versionsBehind(
  versions: readonly Version[],
  doing: Doing,
  extent: number,
): readonly Version[] {
  const { bytes } = versions.at(-1)!;
  switch (doing.do) {
    case "write": {
      const grown = new Uint8Array(Math.max(bytes.length, doing.offset + doing.bytes.length));
      grown.set(bytes);
      grown.set(doing.bytes, doing.offset);
      return [...versions, { bytes: grown, cut: null }];
    }
    case "truncate": {
      const cut = new Uint8Array(doing.size);
      cut.set(bytes.subarray(0, doing.size));
      return [...versions, { bytes: cut, cut: { size: doing.size, extent } }];
    }
    case "flush":
      return [{ bytes, cut: null }];
    case "mark":
      return versions;
  }
}

/** Whether a file may be so on the disk. */
export function isState(
  versions: readonly Version[],
  bytes: Uint8Array,
  sectorBytes: number,
): boolean {
  return versions.some((_, last) =>
    sizesOf(versions, last, sectorBytes).includes(bytes.length) &&
    sectorsOf(versions, last, bytes.length, sectorBytes).every(({ from, choices }) =>
      choices.some((choice) => choice.every((byte, i) => byte === bytes[from + i]))
    )
  );
}

/** What a state is, in a word: how many marks there were, and what the file holds. */
export function nameState(marks: number, bytes: Uint8Array): string {
  return `${marks}: ${bytes.join()}`;
}

/** All states, by {@linkcode nameState}, of a file that is empty at first. */
export function modelStates(program: readonly Doing[], sectorBytes: number): Set<string> {
  const states = new Set<string>();
  let marks = 0;
  for (let done = 0; done <= program.length; done++) {
    if (program[done - 1]?.do === "mark") marks++;
    const versions = versionsAfter(program.slice(0, done));
    for (const bytes of diskStates(versions, sectorBytes)) states.add(nameState(marks, bytes));
  }
  return states;
}

function* diskStates(versions: readonly Version[], sectorBytes: number): Generator<Uint8Array> {
  for (let last = 0; last < versions.length; last++) {
    for (const size of sizesOf(versions, last, sectorBytes)) {
      yield* fill(sectorsOf(versions, last, size, sectorBytes), new Uint8Array(size));
    }
  }
}

/** The sizes that the file may have if the last change of its size is that of one version. */
function sizesOf(versions: readonly Version[], last: number, sectorBytes: number): number[] {
  const { bytes: { length: size }, cut } = versions[last]!;
  const sizes = [size];
  const before = last === 0 || cut !== null ? size : versions[last - 1]!.bytes.length;
  for (let torn = size - 1; torn > before; torn--) if (torn % sectorBytes === 0) sizes.push(torn);
  return sizes;
}

/** A sector, and what the disk may have of it. */
interface Sector {
  readonly from: number;
  readonly choices: readonly Uint8Array[];
}

/** All sectors of a file of the size that one version has, or had on its way. */
function sectorsOf(
  versions: readonly Version[],
  last: number,
  size: number,
  sectorBytes: number,
): Sector[] {
  return Array.from({ length: Math.ceil(size / sectorBytes) }, (_, number) => {
    const from = number * sectorBytes;
    const to = from + sectorBytes;
    // A truncation concerns what was written beyond its size. The file system zeroes the rest of
    // the block that is cut, and writes it as it writes data.
    const isCut = ({ cut }: Version) =>
      cut !== null && cut.size < Math.min(to, cut.extent) && from < cut.extent &&
      cut.size <= from - from % BLOCK_BYTES;
    const next = versions.findIndex((version, i) => i > last && isCut(version));
    const choices = versions.slice(0, next < 0 ? versions.length : next).map(({ bytes }, i) => {
      const sector = new Uint8Array(Math.min(to, size) - from);
      sector.set(bytes.subarray(from, from + sector.length));
      for (const { cut } of versions.slice(i + 1, last + 1)) {
        if (cut !== null) sector.fill(0, Math.max(0, cut.size - from));
      }
      return sector;
    });
    return { from, choices };
  });
}

/** Every choice for each sector. */
function* fill(sectors: readonly Sector[], bytes: Uint8Array): Generator<Uint8Array> {
  const [sector, ...others] = sectors;
  if (sector === undefined) {
    yield bytes;
    return;
  }
  for (const choice of sector.choices) {
    const filled = bytes.slice();
    filled.set(choice, sector.from);
    yield* fill(others, filled);
  }
}
