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
   * @param memoryBytes How much memory it has.
   */
  constructor(pageBytes: number, memoryBytes: number) {
    const simd = startSimdHash(memoryBytes);
    this.memory = simd?.memory ?? new Uint8Array(memoryBytes);
    this.#hash = simd?.hash ?? hashColumns;
    this.#words = new Uint32Array(this.memory.buffer);
    this.#pageBytes = pageBytes;
  }

  /**
   * Verifies pages that are elsewhere, no more than there is memory for.
   *
   * @param pages Their bytes.
   * @param firstBlock The number of the first in its file.
   * @param blocksBefore The pages of the relation that are in earlier files.
   * @returns Those that are bad.
   */
  verify(pages: Uint8Array, firstBlock: number, blocksBefore: number): BadPage[] {
    this.memory.set(pages);
    return this.verifyFirst(pages.length / this.#pageBytes, firstBlock, blocksBefore);
  }

  /** The same for the first pages in {@linkcode memory}. */
  verifyFirst(count: number, firstBlock: number, blocksBefore: number): BadPage[] {
    const badPages: BadPage[] = [];
    for (let index = 0; index < count; index++) {
      const badPage = this.#verifyAt(index * this.#pageBytes, firstBlock + index, blocksBefore);
      if (badPage !== undefined) badPages.push(badPage);
    }
    return badPages;
  }

  #verifyAt(offset: number, block: number, blocksBefore: number): BadPage | undefined {
    const words = this.#words;
    const start = offset / Uint32Array.BYTES_PER_ELEMENT;
    if (isNewPage(words, start)) return undefined;
    const pageWords = this.#pageBytes / Uint32Array.BYTES_PER_ELEMENT;
    const stored = storedChecksum(words, start);
    const calculated = pageChecksum(words, start, pageWords, blocksBefore + block, this.#hash);
    return calculated === stored ? undefined : { block, calculated, stored };
  }
}
