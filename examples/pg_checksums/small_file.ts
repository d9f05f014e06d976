/**
 * Checks a file that one read gets whole, by Deno's own calls: for so little there is nothing to
 * read ahead, and to open such a file for asynchronous I/O takes longer than to read it.
 * `streamed_file.ts` is for all others.
 *
 * @module
 */

import { systemFailure } from "./failure.ts";
import { emptyPart, type Part } from "./part.ts";
import type { PageVerifier } from "./verify.ts";

/** How large it may be; a multiple of every block size. */
export const SMALL_BYTES_MAX = 1024 * 1024;

/** How a file is laid out. */
export interface Layout {
  /** The bytes of a page. */
  blockSize: number;
  /** The pages of the relation that are in earlier files. */
  blocksBefore: number;
}

/**
 * Reads a file into the verifier's memory, and verifies it there.
 *
 * @param index The file's place in the list.
 * @param path The file.
 * @param layout How it is laid out.
 * @param verifier Verifies its pages.
 * @returns What was found; nothing if the file is too large for that memory.
 */
export function checkSmallFile(
  index: number,
  path: string,
  { blockSize, blocksBefore }: Layout,
  verifier: PageVerifier,
): Part | undefined {
  const part: Part = { ...emptyPart(index, 0), isLast: true };
  const bytes = readWhole(path, verifier.memory);
  if (bytes === undefined) return undefined;
  if (typeof bytes === "string") return { ...part, isLast: false, failure: bytes };
  part.blockCount = Math.floor(bytes / blockSize);
  part.badPages = verifier.verifyFirst(part.blockCount, 0, blocksBefore);
  const rest = bytes % blockSize;
  if (rest > 0) part.failure = cutPage(path, part.blockCount, rest, blockSize);
  return part;
}

/** Says that a file ends in the middle of a page. */
export function cutPage(path: string, block: number, rest: number, blockSize: number): string {
  return `could not read block ${block} in file "${path}": read ${rest} of ${blockSize}`;
}

/** @returns The bytes that were read, or why they could not be; nothing if there are more */
function readWhole(path: string, memory: Uint8Array): number | string | undefined {
  let opened: Deno.FsFile;
  try {
    opened = Deno.openSync(path);
  } catch (error) {
    return systemFailure(`could not open file "${path}"`, error).message;
  }
  try {
    for (let bytes = 0; bytes < memory.length;) {
      const count = opened.readSync(bytes === 0 ? memory : memory.subarray(bytes));
      if (count === null) return bytes;
      bytes += count;
    }
    return opened.statSync().size > memory.length ? undefined : memory.length;
  } catch (error) {
    return systemFailure(`could not read file "${path}"`, error).message;
  } finally {
    opened.close();
  }
}
