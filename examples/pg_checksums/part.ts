/**
 * What a thread has found in some blocks of a file that follow each other, and putting such parts
 * in order: `check_files.ts` makes them, `main.ts` reports them.
 *
 * @module
 */

import type { BadPage } from "./verify.ts";

/** Some blocks of a file. Can be posted to another thread. */
export interface Part {
  /** The file's place in the list. */
  file: number;
  /** The number of the first block. */
  firstBlock: number;
  /** How many blocks were verified. */
  blockCount: number;
  /** The bad pages among them, in order. */
  badPages: BadPage[];
  /** Whether the file ends with this part. Every file has one such part, even if empty. */
  isLast: boolean;
  /** Whether the file was read past the page cache. */
  direct: boolean;
  /** Why what follows could not be read. */
  failure?: string;
}

/** A part of a file without blocks. */
export function emptyPart(file: number, firstBlock: number, failure?: string): Part {
  const part = { file, firstBlock, blockCount: 0, badPages: [], isLast: false, direct: false };
  return failure === undefined ? part : { ...part, failure };
}

/** Hands parts on in the order of files and blocks, up to the first failure. */
export class PartsInOrder {
  readonly #onPart: (part: Part) => void;
  /** Those that came too early, by file. */
  readonly #waiting = new Map<number, Part[]>();
  #file = 0;
  #block = 0;
  #hasFailed = false;

  /** @param onPart Is called with each part in its turn. */
  constructor(onPart: (part: Part) => void) {
    this.#onPart = onPart;
  }

  /** How many files have been handed on whole. */
  get fileCount(): number {
    return this.#file;
  }

  /** Takes a part in any order. */
  add(part: Part): void {
    const waiting = this.#waiting.get(part.file);
    if (waiting === undefined) this.#waiting.set(part.file, [part]);
    else waiting.push(part);
    for (let next; (next = this.#takeNext()) !== undefined;) this.#pass(next);
  }

  #takeNext(): Part | undefined {
    if (this.#hasFailed) return undefined;
    const waiting = this.#waiting.get(this.#file);
    const index = waiting?.findIndex(({ firstBlock }) => firstBlock === this.#block) ?? -1;
    return index < 0 ? undefined : waiting!.splice(index, 1)[0];
  }

  #pass(part: Part): void {
    this.#block += part.blockCount;
    this.#hasFailed = part.failure !== undefined;
    if (part.isLast) {
      this.#waiting.delete(this.#file);
      this.#file++;
      this.#block = 0;
    }
    this.#onPart(part);
  }
}
