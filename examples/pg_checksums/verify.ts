/**
 * Looks at pages: compares the checksum that each carries with the one it ought to carry.
 * `verify_pool.ts` calls it, in the main thread or through `verify_worker.ts` in others.
 *
 * @module
 */

import { isNewPage, pageChecksum, storedChecksum } from "./page.ts";

/** Some pages that follow each other in a file. Can be sent to a worker. */
export interface PageRun {
  /** The pages, in memory that workers share; at the end of a file perhaps part of a page too. */
  bytes: Uint8Array;
  /** The bytes of a page. */
  blockSize: number;
  /** The first page's number in its file. */
  firstBlock: number;
  /** The pages of the relation that are in earlier files. */
  blocksBefore: number;
}

/** A page whose checksum is not the one it ought to carry. */
export interface BadPage {
  /** Its number in its file, from 0. */
  block: number;
  /** The checksum that it ought to carry. */
  calculated: number;
  /** The checksum that it carries. */
  stored: number;
}

/**
 * Verifies the pages of a run.
 *
 * @returns The bad ones, in order.
 */
export function verifyPages(run: PageRun): BadPage[] {
  const { bytes, blockSize, firstBlock, blocksBefore } = run;
  const pageWords = blockSize / Uint32Array.BYTES_PER_ELEMENT;
  const pageCount = Math.floor(bytes.byteLength / blockSize);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, pageCount * pageWords);

  const badPages: BadPage[] = [];
  for (let index = 0; index < pageCount; index++) {
    const start = index * pageWords;
    if (isNewPage(words, start)) continue;
    const block = firstBlock + index;
    const calculated = pageChecksum(words, start, pageWords, blocksBefore + block);
    const stored = storedChecksum(words, start);
    if (calculated !== stored) badPages.push({ block, calculated, stored });
  }
  return badPages;
}
