/**
 * Checks a file by a read stream: the stream reads pages ahead of their turn, many at once, and
 * asks the callback `next` which; that takes their blocks from the work that all threads share.
 *
 * A page of the stream is one block over a pool, and several blocks without one: each page costs
 * JavaScript, which a short run has to compile, too.
 *
 * @module
 */

import type { Aio, AioFile, PagePool, ReadStream } from "../../mod.ts";
import { systemFailure } from "./failure.ts";
import { emptyPart, type Part } from "./part.ts";
import { cutPage, type Layout } from "./small_file.ts";
import type { PageVerifier } from "./verify.ts";
import type { Work } from "./work.ts";

/** What a thread checks files with. */
export interface Tools {
  aio: Aio;
  /** Where pages go; if not given, each file has some of its own. */
  pool: PagePool | undefined;
  verifier: PageVerifier;
  work: Work;
  /** Read past the page cache where the file system can. */
  direct: boolean;
}

/** The largest page that a stream has. */
const PAGE_BYTES_MAX = 64 * 1024;

/** The bytes of a page of a stream without a pool: those of some blocks. */
export function streamPageBytes(blockSize: number): number {
  return Math.max(blockSize, PAGE_BYTES_MAX);
}

/** Blocks from the first until before the last. */
interface Run {
  from: number;
  until: number;
}

/** A file while it is read; to be closed at the end. */
export class StreamedFile implements Disposable {
  /** Its bytes. */
  readonly size: number;
  readonly #index: number;
  readonly #opened: AioFile;
  readonly #layout: Layout;
  readonly #tools: Tools;
  readonly #blockCount: number;
  readonly #blocksPerPage: number;
  /** Runs of blocks that the stream has begun to read, the oldest first. */
  readonly #runs: Run[] = [];
  /** The first block of the next page for the stream, and where its run ends. */
  #nextBlock = 0;
  #until = 0;

  /**
   * Opens a file.
   *
   * @param index The file's place in the list.
   * @param path The file.
   * @param layout How it is laid out.
   * @param tools With what it is checked.
   * @throws {CheckFailure} It cannot be opened.
   */
  constructor(index: number, path: string, layout: Layout, tools: Tools) {
    this.#index = index;
    this.#layout = layout;
    this.#tools = tools;
    this.#opened = openFile(path, layout.blockSize, tools);
    this.size = this.#opened.sizeSync();
    const { blockSize } = layout;
    this.#blockCount = Math.floor(this.size / blockSize);
    this.#blocksPerPage = tools.pool === undefined ? streamPageBytes(blockSize) / blockSize : 1;
    tools.work.offerBlocks(index, this.#blockCount);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#opened.closeSync();
  }

  /**
   * Reads and verifies what other threads leave of the file.
   *
   * @returns What was found, part by part.
   */
  async *parts(): AsyncGenerator<Part, void, undefined> {
    if (this.#blockCount === 0) return yield this.#finished(this.#begun(0));
    if (!this.#take()) return;
    await using stream = this.#stream();
    let part: Part | undefined;
    try {
      for await (const { block: page, bytes } of stream) {
        part ??= this.#begun(page * this.#blocksPerPage);
        this.#verify(part, bytes);
        if (behind(part) < this.#runs[0]!.until) continue;
        this.#runs.shift();
        yield this.#finished(part);
        part = undefined;
      }
    } catch (error) {
      part ??= this.#begun(this.#runs[0]?.from ?? 0);
      const why = await this.#readSingly(part, error);
      yield { ...part, failure: this.#failure(why, behind(part)) };
    }
  }

  /** Verifies the blocks of the next page. @throws {Deno.errors.UnexpectedEof} It lacks some */
  #verify(part: Part, bytes: Uint8Array): void {
    const { blockSize } = this.#layout;
    const wanted = Math.min(this.#blocksPerPage, this.#runs[0]!.until - behind(part));
    const count = Math.min(wanted, Math.floor(bytes.length / blockSize));
    this.#verifyBlocks(part, bytes.subarray(0, count * blockSize));
    if (count < wanted) throw new Deno.errors.UnexpectedEof();
  }

  #verifyBlocks(part: Part, bytes: Uint8Array): void {
    const { blocksBefore } = this.#layout;
    const badPages = this.#tools.verifier.verify(bytes, behind(part), blocksBefore);
    part.badPages.push(...badPages);
    part.blockCount += bytes.length / this.#layout.blockSize;
  }

  /**
   * Reads the blocks of a page that could not be read one by one, as far as they can be read.
   *
   * @param error Why the page could not be read.
   * @returns Why the next block cannot be read.
   */
  async #readSingly(part: Part, error: unknown): Promise<unknown> {
    if (this.#blocksPerPage === 1 || error instanceof Deno.errors.UnexpectedEof) return error;
    const { blockSize } = this.#layout;
    const bytes = new Uint8Array(blockSize);
    const until = Math.min(behind(part) + this.#blocksPerPage, this.#runs[0]!.until);
    try {
      while (behind(part) < until) {
        await this.#opened.readExactAt(bytes, behind(part) * blockSize);
        this.#verifyBlocks(part, bytes);
      }
    } catch (reason) {
      return reason;
    }
    return error;
  }

  #stream(): ReadStream<{ block: number; bytes: Uint8Array }> {
    const { pool } = this.#tools;
    const { from, until } = this.#runs[0]!;
    const blocksPerPage = this.#blocksPerPage;
    // Of a range the stream knows how much memory it needs.
    const options = until === this.#blockCount
      ? { from: from / blocksPerPage, until: Math.ceil(until / blocksPerPage), full: true }
      : { next: () => this.#takePage(), sequential: true, full: true };
    const pageSize = blocksPerPage * this.#layout.blockSize;
    return pool === undefined
      ? this.#opened.readStream({ ...options, pageSize })
      : pool.readStream(this.#opened, options);
  }

  /** Which page to read next; null: none is left. */
  #takePage(): number | null {
    if (this.#nextBlock >= this.#until && !this.#take()) return null;
    const page = this.#nextBlock / this.#blocksPerPage;
    this.#nextBlock += this.#blocksPerPage;
    return page;
  }

  /** Takes a run of blocks. @returns Whether one was left */
  #take(): boolean {
    const run = this.#tools.work.takeBlocks(this.#index);
    if (run.from === run.until) return false;
    this.#runs.push(run);
    this.#nextBlock = run.from;
    this.#until = run.until;
    return true;
  }

  #begun(firstBlock: number): Part {
    return { ...emptyPart(this.#index, firstBlock), direct: this.#opened.direct };
  }

  #finished(part: Part): Part {
    const { blockSize } = this.#layout;
    const block = behind(part);
    if (block < this.#blockCount) return part;
    const rest = this.size % blockSize;
    const whole = { ...part, isLast: true };
    return rest === 0
      ? whole
      : { ...whole, failure: cutPage(this.#opened.path, block, rest, blockSize) };
  }

  #failure(error: unknown, nextBlock: number): string {
    const { blockSize } = this.#layout;
    if (error instanceof Deno.errors.UnexpectedEof) {
      // It has become shorter since its size was asked for.
      const bytes = this.#opened.sizeSync();
      const block = Math.floor(bytes / blockSize);
      return cutPage(this.#opened.path, block, bytes % blockSize, blockSize);
    }
    const { offset = nextBlock * blockSize, length = blockSize } = error as Partial<
      Record<"offset" | "length", number>
    >;
    const first = offset / blockSize;
    const last = first + Math.ceil(length / blockSize) - 1;
    const blocks = first === last ? `block ${first}` : `blocks ${first} to ${last}`;
    return systemFailure(`could not read ${blocks} in file "${this.#opened.path}"`, error).message;
  }
}

/** The block behind a part. */
function behind({ firstBlock, blockCount }: Part): number {
  return firstBlock + blockCount;
}

function openFile(path: string, blockSize: number, { aio, direct }: Tools): AioFile {
  try {
    const file = aio.openFileSync(path, { direct: direct ? "optional" : "off" });
    // Some disks have units that are larger than the smallest pages of a server.
    const { offset, memory } = file.alignment;
    if (!file.direct || blockSize % Math.max(offset, memory) === 0) return file;
    file.closeSync();
    return aio.openFileSync(path);
  } catch (error) {
    throw systemFailure(`could not open file "${path}"`, error);
  }
}
