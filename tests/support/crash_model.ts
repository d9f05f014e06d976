/**
 * crash_model.ts: the states that a power cut may leave, computed by brute force from what they are
 * said to be, for one file whose changes follow each other. No line of it is shared with
 * testing/crash_states.ts.
 *
 * At each moment the file has had several contents since the last flush, the one then among them.
 * The disk has each sector as one of these contents has it, and the size of one of them, or one
 * that a write had on its way. A truncation is on the disk as a whole: if its size is, all sectors
 * that it concerns are from behind it, and if not, from before it.
 *
 * @module
 */

/** What a program does to its file next. */
export type Doing =
  | { readonly do: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly do: "truncate"; readonly size: number }
  | { readonly do: "flush" }
  | { readonly do: "mark" };

/** A content that the file had. */
interface Version {
  readonly bytes: Uint8Array;
  /** The truncation that made it, and how far the file had been written by then. */
  readonly cut: { readonly size: number; readonly extent: number } | null;
}

/** What a state is, in a word: how many marks there were, and what the file holds. */
export function nameState(marks: number, bytes: Uint8Array): string {
  return `${marks}: ${bytes.join()}`;
}

/** All states, by {@linkcode nameState}, of a file that is empty at first. */
export function modelStates(program: readonly Doing[], sectorBytes: number): Set<string> {
  const states = new Set<string>();
  let versions: Version[] = [{ bytes: new Uint8Array(), cut: null }];
  let marks = 0;
  let extent = 0;
  const note = () => {
    for (const bytes of diskStates(versions, sectorBytes)) states.add(nameState(marks, bytes));
  };
  note();
  for (const doing of program) {
    const { bytes } = versions.at(-1)!;
    if (doing.do === "write") {
      const grown = new Uint8Array(Math.max(bytes.length, doing.offset + doing.bytes.length));
      grown.set(bytes);
      grown.set(doing.bytes, doing.offset);
      extent = Math.max(extent, doing.offset + doing.bytes.length);
      versions.push({ bytes: grown, cut: null });
    } else if (doing.do === "truncate") {
      const cut = new Uint8Array(doing.size);
      cut.set(bytes.subarray(0, doing.size));
      versions.push({ bytes: cut, cut: { size: doing.size, extent } });
    } else if (doing.do === "flush") versions = [{ bytes, cut: null }];
    else marks++;
    note();
  }
  return states;
}

function* diskStates(versions: readonly Version[], sectorBytes: number): Generator<Uint8Array> {
  for (let last = 0; last < versions.length; last++) {
    for (const size of sizesOf(versions, last, sectorBytes)) {
      yield* fill(versions, last, new Uint8Array(size), 0, sectorBytes);
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

/** Every choice of a version for each sector from one on. */
function* fill(
  versions: readonly Version[],
  last: number,
  bytes: Uint8Array,
  from: number,
  sectorBytes: number,
): Generator<Uint8Array> {
  if (from >= bytes.length) {
    yield bytes;
    return;
  }
  const to = from + sectorBytes;
  // A truncation concerns what was written beyond its size.
  const isCut = ({ cut }: Version) =>
    cut !== null && cut.size < Math.min(to, cut.extent) && from < cut.extent;
  const first = versions.findLastIndex((version, i) => i <= last && isCut(version));
  const next = versions.findIndex((version, i) => i > last && isCut(version));
  for (const version of versions.slice(Math.max(first, 0), next < 0 ? versions.length : next)) {
    const filled = bytes.slice();
    filled.set(version.bytes.subarray(from, Math.min(to, bytes.length)), from);
    yield* fill(versions, last, filled, to, sectorBytes);
  }
}
