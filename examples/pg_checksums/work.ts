/**
 * Shares the files out among the threads, in shared memory: a thread takes some files at a time, in
 * their order, and of a large file some blocks at a time, so that others can help with it.
 * `check_files.ts` takes.
 *
 * @module
 */

/** Taken together: a look at shared memory costs next to nothing, but a message about each file. */
const FILES_AT_A_TIME = 8;
/** Blocks of a large file that one thread reads in a row. */
const BLOCKS_AT_A_TIME = 1024;

/** The words of the shared memory. */
const NEXT_FILE = 0;
const STOPPED_BEHIND = 1;
/** Of how many files all know whether they can help with them. */
const KNOWN = 2;
/** Moves when there are blocks to help with, and when there will be no more. */
const NEWS = 3;
const FIRST_FILE = 4;
/** Of each file: how many blocks it has, as far as that is known, and which is next. */
const BLOCK_COUNT = 0;
const NEXT_BLOCK = 1;
const FILE_WORDS = 2;

const NOWHERE = 2 ** 31 - 1;

/** What is left to do, as all threads see it. */
export class Work {
  /** To be posted to other threads. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #fileCount: number;

  /**
   * @param fileCount The number of files.
   * @param memory That of another thread's object; if not given, all is left to do.
   */
  constructor(fileCount: number, memory?: SharedArrayBuffer) {
    this.#fileCount = fileCount;
    this.memory = memory ??
      new SharedArrayBuffer((FIRST_FILE + fileCount * FILE_WORDS) * Int32Array.BYTES_PER_ELEMENT);
    this.#words = new Int32Array(this.memory);
    if (memory === undefined) this.#words[STOPPED_BEHIND] = NOWHERE;
  }

  /**
   * Takes some files.
   *
   * @returns The first, and the one behind the last; the same if none is left.
   */
  takeFiles(): { from: number; until: number } {
    const from = Math.min(
      Atomics.add(this.#words, NEXT_FILE, FILES_AT_A_TIME),
      this.#fileCount,
    );
    return { from, until: Math.min(from + FILES_AT_A_TIME, this.#fileCount) };
  }

  /** Has all threads take blocks of a file. */
  offerBlocks(file: number, blockCount: number): void {
    Atomics.store(this.#words, this.#at(file) + BLOCK_COUNT, blockCount);
    this.#tell();
  }

  /** Files that this thread has taken are done, or their blocks are offered: once for each. */
  settle(files: number): void {
    if (files === 0) return;
    const known = Atomics.add(this.#words, KNOWN, files) + files;
    if (known === this.#fileCount) this.#tell();
  }

  /** Whether no more blocks will be offered. */
  get isAllKnown(): boolean {
    return Atomics.load(this.#words, KNOWN) === this.#fileCount;
  }

  /** Moves when blocks were offered, and when no more will be. */
  get news(): number {
    return Atomics.load(this.#words, NEWS);
  }

  /** Waits until {@linkcode news} is not what it was. */
  async newsAfter(seen: number): Promise<void> {
    await Atomics.waitAsync(this.#words, NEWS, seen).value;
  }

  #tell(): void {
    Atomics.add(this.#words, NEWS, 1);
    Atomics.notify(this.#words, NEWS);
  }

  /** Whether blocks of a file are left that all may take. */
  hasBlocks(file: number): boolean {
    const at = this.#at(file);
    const blockCount = Atomics.load(this.#words, at + BLOCK_COUNT);
    return Atomics.load(this.#words, at + NEXT_BLOCK) < blockCount && !this.isStopped(file + 1);
  }

  /** Takes some blocks of a file. @returns Likewise. */
  takeBlocks(file: number): { from: number; until: number } {
    const at = this.#at(file);
    const blockCount = Atomics.load(this.#words, at + BLOCK_COUNT);
    const from = this.isStopped(file + 1)
      ? blockCount
      : Math.min(Atomics.add(this.#words, at + NEXT_BLOCK, BLOCKS_AT_A_TIME), blockCount);
    return { from, until: Math.min(from + BLOCKS_AT_A_TIME, blockCount) };
  }

  #at(file: number): number {
    return FIRST_FILE + file * FILE_WORDS;
  }

  /** Has no thread take anything behind a file, and no more of that; -1: of any file. */
  stopBehind(file: number): void {
    let present = Atomics.load(this.#words, STOPPED_BEHIND);
    while (file < present) {
      const found = Atomics.compareExchange(this.#words, STOPPED_BEHIND, present, file);
      if (found === present) return;
      present = found;
    }
  }

  /** Whether nothing of a file is to be done any more. */
  isStopped(file: number): boolean {
    return file > Atomics.load(this.#words, STOPPED_BEHIND);
  }
}
