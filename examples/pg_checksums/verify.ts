/**
 * Looks at pages: compares the checksum that each carries with the one it ought to carry, which
 * `page.ts` computes. `streamed_file.ts` and `small_file.ts` read the pages.
 *
 * @module
 */

import { hashColumns, isNewPage, pageChecksum, type PageHash, storedChecksum } from "./page.ts";
import { startSimdHash } from "./simd_hash.ts";

/** A page whose checksum is not the one it ought to carry. */
export interface BadPage {
  /** Its number in its file, from 0. */
  block: number;
  /** The checksum that it ought to carry. */
  calculated: number;
  /** The checksum that it carries. */
  stored: number;
}

/** Verifies pages in memory of its own. */
export class PageVerifier {
  /** Where pages are verified; a multiple of every block size. */
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #hash: PageHash;
  readonly #pageBytes: number;

  /**
   * @param pageBytes The bytes of a page.
   * @param memoryBytes How much memory it has; default: room for one page.
   */
  constructor(pageBytes: number, memoryBytes = pageBytes) {
    const simd = startSimdHash(memoryBytes);
    this.memory = simd?.memory ?? new Uint8Array(memoryBytes);
    this.#hash = simd?.hash ?? hashColumns;
    this.#words = new Uint32Array(this.memory.buffer);
    this.#pageBytes = pageBytes;
  }

  /**
   * Verifies a page that is elsewhere.
   *
   * @param page Its bytes.
   * @param block Its number in its file.
   * @param blocksBefore The pages of the relation that are in earlier files.
   * @returns The page, if it is bad.
   */
  verify(page: Uint8Array, block: number, blocksBefore: number): BadPage | undefined {
    this.memory.set(page);
    return this.verifyAt(0, block, blocksBefore);
  }

  /** The same for a page in {@linkcode memory}, from a byte on that is a multiple of its size. */
  verifyAt(offset: number, block: number, blocksBefore: number): BadPage | undefined {
    const words = this.#words;
    const start = offset / Uint32Array.BYTES_PER_ELEMENT;
    if (isNewPage(words, start)) return undefined;
    const pageWords = this.#pageBytes / Uint32Array.BYTES_PER_ELEMENT;
    const stored = storedChecksum(words, start);
    const calculated = pageChecksum(words, start, pageWords, blocksBefore + block, this.#hash);
    return calculated === stored ? undefined : { block, calculated, stored };
  }
}
