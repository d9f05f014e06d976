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

/** Memory with pages, and what hashes them there. */
interface PageMemory {
  readonly words: Uint32Array;
  readonly hash: PageHash;
}

/** WebAssembly counts memory in pages of its own. */
const MEMORY_PAGE_BYTES = 65_536;

/** Verifies pages in memory of its own, or in that of an Aio. */
export class PageVerifier {
  /** Where pages are verified that are nowhere else; a multiple of every block size. */
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly #own: PageMemory;
  readonly #shared: WebAssembly.Memory;
  /** Made when it is needed first; null: it cannot be, and pages are copied. */
  #inShared: PageMemory | null | undefined;
  readonly #pageBytes: number;

  /**
   * @param pageBytes The bytes of a page.
   * @param memoryBytes How much memory it has.
   * @param shared `aio.memory`: pages in there are verified where they are.
   */
  constructor(pageBytes: number, memoryBytes: number, shared: WebAssembly.Memory) {
    const own = new WebAssembly.Memory({ initial: Math.ceil(memoryBytes / MEMORY_PAGE_BYTES) });
    this.memory = new Uint8Array(own.buffer as ArrayBuffer);
    this.#own = pagesIn(own) ?? { words: new Uint32Array(own.buffer), hash: hashColumns };
    this.#shared = shared;
    this.#pageBytes = pageBytes;
  }

  /**
   * Verifies pages, no more than there is memory for.
   *
   * @param pages Their bytes.
   * @param firstBlock The number of the first in its file.
   * @param blocksBefore The pages of the relation that are in earlier files.
   * @returns Those that are bad.
   */
  verify(pages: Uint8Array, firstBlock: number, blocksBefore: number): BadPage[] {
    const count = pages.length / this.#pageBytes;
    if (pages.buffer === this.#shared.buffer) {
      if (this.#inShared === undefined) this.#inShared = pagesIn(this.#shared);
      const memory = this.#inShared;
      if (memory !== null) {
        return this.#verify(memory, pages.byteOffset, count, firstBlock, blocksBefore);
      }
    }
    this.memory.set(pages);
    return this.verifyFirst(count, firstBlock, blocksBefore);
  }

  /** The same for the first pages in {@linkcode memory}. */
  verifyFirst(count: number, firstBlock: number, blocksBefore: number): BadPage[] {
    return this.#verify(this.#own, 0, count, firstBlock, blocksBefore);
  }

  #verify(
    memory: PageMemory,
    offset: number,
    count: number,
    firstBlock: number,
    blocksBefore: number,
  ): BadPage[] {
    const badPages: BadPage[] = [];
    for (let index = 0; index < count; index++) {
      const at = offset + index * this.#pageBytes;
      const badPage = this.#verifyAt(memory, at, firstBlock + index, blocksBefore);
      if (badPage !== undefined) badPages.push(badPage);
    }
    return badPages;
  }

  #verifyAt(
    { words, hash }: PageMemory,
    offset: number,
    block: number,
    blocksBefore: number,
  ): BadPage | undefined {
    const start = offset / Uint32Array.BYTES_PER_ELEMENT;
    if (isNewPage(words, start)) return undefined;
    const pageWords = this.#pageBytes / Uint32Array.BYTES_PER_ELEMENT;
    const stored = storedChecksum(words, start);
    const calculated = pageChecksum(words, start, pageWords, blocksBefore + block, hash);
    return calculated === stored ? undefined : { block, calculated, stored };
  }
}

/** @returns Null where the machine hashes no faster than plain JavaScript */
function pagesIn(memory: WebAssembly.Memory): PageMemory | null {
  const hash = startSimdHash(memory);
  return hash === undefined ? null : { words: new Uint32Array(memory.buffer), hash };
}
