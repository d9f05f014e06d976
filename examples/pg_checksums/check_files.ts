/**
 * One thread's part of a check: takes files as long as there are any, has each read and verified,
 * and hands on what was found. `threads.ts` runs it in as many threads as the user wants.
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
import { openFile, readByStream, type Tools } from "./streamed_file.ts";
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
    const verifier = new PageVerifier(control.blockSize, SMALL_BYTES_MAX);
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
    const { work, direct } = this.#tools;
    const parts: Part[] = [];
    const together: Promise<void>[] = [];
    for (let index = from; index < until && !work.isStopped(index); index++) {
      const { size } = this.#order.files[index]!;
      if (size > SMALL_BYTES_MAX) await this.#checkByStream(index);
      // Each waits for the disk, so they wait together.
      else if (direct) together.push(this.#checkByStream(index));
      else parts.push(this.#checkSmall(index));
    }
    await Promise.all(together);
    this.#onParts(parts);
    await this.#pauses.pause();
  }

  #checkSmall(index: number): Part {
    const { verifier, work } = this.#tools;
    const file = this.#order.files[index]!;
    const part = checkSmallFile(index, file, this.#layoutOf(file), verifier);
    if (part.failure !== undefined) work.stopBehind(index);
    return part;
  }

  /** Takes blocks of the large files that other threads have taken. */
  async #help(): Promise<void> {
    const { files, control } = this.#order;
    for (const [index, { size }] of files.entries()) {
      const blockCount = Math.floor(size / control.blockSize);
      if (size <= SMALL_BYTES_MAX || !this.#tools.work.hasBlocks(index, blockCount)) continue;
      await this.#checkByStream(index, true);
    }
  }

  /** @param isHelping Whether another thread has taken the file: it tells if it cannot open it. */
  async #checkByStream(index: number, isHelping = false): Promise<void> {
    const { files, control } = this.#order;
    const { work } = this.#tools;
    const file = files[index]!;
    try {
      using opened = openFile(file.path, control.blockSize, this.#tools);
      for await (
        const part of readByStream(index, file, opened, this.#layoutOf(file), this.#tools)
      ) {
        if (part.failure !== undefined) work.stopBehind(index);
        this.#onParts([part]);
      }
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      if (isHelping) return;
      work.stopBehind(index);
      this.#onParts([emptyPart(index, 0, error.message)]);
    }
  }

  #layoutOf({ segmentNumber }: DataFile): Layout {
    const { blockSize, blocksPerSegment } = this.#order.control;
    return { blockSize, blocksBefore: segmentNumber * blocksPerSegment };
  }
}
