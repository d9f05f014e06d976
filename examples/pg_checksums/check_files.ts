/**
 * One thread's part of a check: takes files as long as there are any, has each read and verified,
 * and hands on what was found. `threads.ts` runs it in as many threads as the user wants.
 *
 * @module
 */

import type { Aio, AioFile, AioToken, PagePool, PoolToken } from "../../mod.ts";
import type { ControlFile } from "./control_file.ts";
import { CheckFailure } from "./failure.ts";
import { checkLargeFile, openLargeFile, type Tools } from "./large_file.ts";
import { emptyPart, type Part } from "./part.ts";
import { Pauses } from "./pauses.ts";
import type { DataFile } from "./scan.ts";
import { checkSmallFile, type Layout } from "./small_file.ts";
import { PageVerifier } from "./verify.ts";
import { Work } from "./work.ts";

/** What is to be done, for all threads. Can be posted to another thread. */
export interface Order {
  aio: AioToken;
  /** If not given, each file has pages of its own. */
  pool: PoolToken | undefined;
  /** The files, in the order in which they are reported. */
  files: DataFile[];
  /** The memory of the {@linkcode Work} that is left. */
  work: SharedArrayBuffer;
  /** How the cluster's files are laid out. */
  control: ControlFile;
  /** Read past the page cache where the file system can. */
  direct: boolean;
}

/** Hears of parts as they are done, in any order. */
export type OnParts = (parts: Part[]) => void;

/**
 * Checks files until none is left.
 *
 * @param aio What reads them.
 * @param pool Where their pages go; if not given, each file has some of its own.
 * @param order What is to be done.
 * @param onParts Hears what was found.
 */
export async function checkFiles(
  aio: Aio,
  pool: PagePool | undefined,
  order: Order,
  onParts: OnParts,
): Promise<void> {
  await new FileChecker(aio, pool, order, onParts).run();
}

class FileChecker {
  readonly #order: Order;
  readonly #tools: Tools;
  readonly #onParts: OnParts;
  readonly #pauses = new Pauses();

  constructor(aio: Aio, pool: PagePool | undefined, order: Order, onParts: OnParts) {
    const { control, direct, files } = order;
    const verifier = new PageVerifier(control.blockSize);
    const work = new Work(files.length, order.work);
    this.#order = order;
    this.#tools = { aio, pool, verifier, work, direct };
    this.#onParts = onParts;
  }

  async run(): Promise<void> {
    const { work } = this.#tools;
    for (;;) {
      const { from, until } = work.takeFiles();
      if (from === until) break;
      await this.#checkSome(from, until);
    }
    await this.#help();
  }

  async #checkSome(from: number, until: number): Promise<void> {
    const { verifier, work } = this.#tools;
    const parts: Part[] = [];
    for (let index = from; index < until && !work.isStopped(index); index++) {
      const file = this.#order.files[index]!;
      if (this.#isSmall(file)) {
        const part = checkSmallFile(index, file, this.#layoutOf(file), verifier);
        if (part.failure !== undefined) work.stopBehind(index);
        parts.push(part);
        continue;
      }
      const opened = this.#open(index);
      if (opened instanceof CheckFailure) {
        work.stopBehind(index);
        parts.push(emptyPart(index, 0, opened.message));
      } else await this.#checkLarge(index, opened);
    }
    this.#onParts(parts);
    await this.#pauses.pause();
  }

  /** Takes blocks of the large files that other threads have taken. */
  async #help(): Promise<void> {
    const { files, control } = this.#order;
    for (const [index, file] of files.entries()) {
      const blockCount = Math.floor(file.size / control.blockSize);
      if (this.#isSmall(file) || !this.#tools.work.hasBlocks(index, blockCount)) continue;
      const opened = this.#open(index);
      // If it cannot be opened, the thread that has taken the file tells.
      if (!(opened instanceof CheckFailure)) await this.#checkLarge(index, opened);
    }
  }

  #open(index: number): AioFile | CheckFailure {
    const { path } = this.#order.files[index]!;
    try {
      return openLargeFile(path, this.#order.control.blockSize, this.#tools);
    } catch (error) {
      if (error instanceof CheckFailure) return error;
      throw error;
    }
  }

  async #checkLarge(index: number, opened: AioFile): Promise<void> {
    using _closedAtTheEnd = opened;
    const { work } = this.#tools;
    const file = this.#order.files[index]!;
    const parts = checkLargeFile(index, file, opened, this.#layoutOf(file), this.#tools);
    for await (const part of parts) {
      if (part.failure !== undefined) work.stopBehind(index);
      this.#onParts([part]);
    }
  }

  #isSmall({ size }: DataFile): boolean {
    return !this.#order.direct && size <= this.#tools.verifier.memory.byteLength;
  }

  #layoutOf({ segmentNumber }: DataFile): Layout {
    const { blockSize, blocksPerSegment } = this.#order.control;
    return { blockSize, blocksBefore: segmentNumber * blocksPerSegment };
  }
}
