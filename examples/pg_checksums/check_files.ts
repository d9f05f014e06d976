/**
 * One thread's part of a check: takes files as long as there are any, has each read and verified,
 * and hands on what was found. `main.ts` runs it, and each Worker.
 *
 * @module
 */

import type { Aio, AioToken, PagePool, PoolToken } from "../../mod.ts";
import type { ControlFile } from "./control_file.ts";
import { CheckFailure } from "./failure.ts";
import { emptyPart, type Part } from "./part.ts";
import { Pauses } from "./pauses.ts";
import type { DataFile } from "./scan.ts";
import { checkSmallFile, type Layout, SMALL_BYTES_MAX } from "./small_file.ts";
import { StreamedFile, type Tools } from "./streamed_file.ts";
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
    const verifier = new PageVerifier(control.blockSize, SMALL_BYTES_MAX, aio.memory);
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
    const { work } = this.#tools;
    const parts: Part[] = [];
    const together: Promise<void>[] = [];
    let next = from;
    try {
      while (next < until && !work.isStopped(next)) {
        const index = next;
        const found = this.#checkSmall(index) ?? this.#open(index);
        // Not before: if that throws, it is among those that are settled below.
        next++;
        work.settle(1);
        if (!(found instanceof StreamedFile)) {
          if (found.failure !== undefined) work.stopBehind(index);
          parts.push(found);
        } else if (found.size > SMALL_BYTES_MAX) await this.#checkByStream(found);
        // Each waits for the disk, so they wait together.
        else together.push(this.#checkByStream(found));
      }
    } finally {
      work.settle(until - next);
    }
    await Promise.all(together);
    this.#onParts(parts);
    await this.#pauses.pause();
  }

  /**
   * Takes blocks of the large files that other threads have taken, until no more can come: one that
   * was taken a moment ago is not opened yet.
   */
  async #help(): Promise<void> {
    const { work } = this.#tools;
    const unopened = new Set<number>();
    for (let areMore = true; areMore;) {
      const { news } = work;
      areMore = !work.isAllKnown;
      for (const index of this.#order.files.keys()) {
        if (!work.hasBlocks(index) || unopened.has(index)) continue;
        const opened = this.#open(index);
        if (opened instanceof StreamedFile) await this.#checkByStream(opened);
        // The thread that has taken it reads it.
        else unopened.add(index);
      }
      if (areMore) await work.newsAfter(news);
    }
  }

  /** @returns Nothing if it is not small, or to be read past the page cache */
  #checkSmall(index: number): Part | undefined {
    const { verifier, direct } = this.#tools;
    const file = this.#order.files[index]!;
    if (direct) return undefined;
    return checkSmallFile(index, file.path, this.#layoutOf(file), verifier);
  }

  /** @returns A part that says why it cannot be opened, if so */
  #open(index: number): StreamedFile | Part {
    const file = this.#order.files[index]!;
    try {
      return new StreamedFile(index, file.path, this.#layoutOf(file), this.#tools);
    } catch (error) {
      if (error instanceof CheckFailure) return emptyPart(index, 0, error.message);
      throw error;
    }
  }

  async #checkByStream(opened: StreamedFile): Promise<void> {
    using file = opened;
    for await (const part of file.parts()) {
      if (part.failure !== undefined) this.#tools.work.stopBehind(part.file);
      this.#onParts([part]);
    }
  }

  #layoutOf({ segmentNumber }: DataFile): Layout {
    const { blockSize, blocksPerSegment } = this.#order.control;
    return { blockSize, blocksBefore: segmentNumber * blocksPerSegment };
  }
}
