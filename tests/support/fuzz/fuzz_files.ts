/**
 * fuzz_files.ts: the files of the random tests: one whose content is known and stays, one whose
 * content is zeros that only one pattern is written over, each opened any number of times.
 *
 * @module
 */

import type { Aio } from "../../../storage/aio.ts";
import type { AioFile } from "../../../storage/file/file.ts";
import { contentAt, type Prng } from "../prng.ts";

/** Bytes of each file; not a multiple of a page, so that reads are cut off. */
export const FUZZ_FILE_BYTES = 65_536 - 700;
const SECTOR_BYTES = 512;

/** An open file. */
export class FuzzFile {
  readonly file: AioFile;
  readonly isWritten: boolean;
  /** Whether it has other users, so that closing it here waits for nothing. */
  isShared: boolean;
  /** Whether nothing may start on it any more. */
  isClosed = false;

  constructor(file: AioFile, isWritten: boolean, isShared = false) {
    this.file = file;
    this.isWritten = isWritten;
    this.isShared = isShared;
  }
}

/** Both files on disk, and what must be in them. */
export class FuzzFiles {
  readonly #paths: { readonly read: string; readonly written: string };
  readonly #seed: number;
  /** Sectors that were wholly written, for certain. */
  readonly #written = new Set<number>();

  constructor(paths: { read: string; written: string }, seed: number) {
    this.#paths = paths;
    this.#seed = seed;
  }

  /** Makes both on disk. */
  create(): void {
    Deno.writeFileSync(this.#paths.read, contentAt(this.#seed, 0, FUZZ_FILE_BYTES));
    Deno.writeFileSync(this.#paths.written, new Uint8Array(FUZZ_FILE_BYTES));
  }

  /** Opens one of them once more. */
  async open(aio: Aio, isWritten: boolean, prng: Prng): Promise<FuzzFile> {
    const path = isWritten ? this.#paths.written : this.#paths.read;
    // What is written directly and through the page cache at once makes Linux fail a later flush
    // (EIO).
    const isDirect = isWritten ? this.#seed % 4 === 0 : prng.chance(1, 4);
    const direct = isDirect ? "optional" : "off";
    const file = await aio.openFile(path, { read: true, write: isWritten, direct });
    return new FuzzFile(file, isWritten);
  }

  /** What is written at an offset. */
  pattern(offset: number, length: number): Uint8Array {
    return contentAt(this.#seed + 1, offset, length);
  }

  /** A write has ended well. */
  wrote(offset: number, length: number): void {
    const first = Math.ceil(offset / SECTOR_BYTES);
    const end = Math.floor((offset + length) / SECTOR_BYTES);
    for (let sector = first; sector < end; sector++) this.#written.add(sector);
  }

  /** Whether these bytes may have been read. */
  isReadable({ isWritten }: FuzzFile, offset: number, bytes: Uint8Array): boolean {
    if (!isWritten) {
      return contentAt(this.#seed, offset, bytes.length).every((byte, i) => byte === bytes[i]);
    }
    const pattern = this.pattern(offset, bytes.length);
    return bytes.every((byte, i) => byte === 0 || byte === pattern[i]);
  }

  /** The sectors that were written and do not hold what was. */
  lostSectors(): number[] {
    const content = Deno.readFileSync(this.#paths.written);
    return [...this.#written].filter((sector) => {
      const at = sector * SECTOR_BYTES;
      return this.pattern(at, SECTOR_BYTES).some((byte, i) => byte !== content[at + i]);
    });
  }
}
