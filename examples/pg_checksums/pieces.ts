/**
 * Reads data files in large pieces, several at once, has each verified as soon as it is there, and
 * hands them out in order: while one piece is verified, those after it are already on their way,
 * across the ends of files. Between `scan.ts`, which names the files, and `verify_pool.ts`, which
 * looks at the pages.
 *
 * The memory is bounded: a fixed number of buffers in the arena, each lent to one piece at a time.
 *
 * @module
 */

import type { Aio } from "../../mod.ts";
import type { ControlFile } from "./control_file.ts";
import type { DataFile } from "./scan.ts";
import { type Extent, Source } from "./source.ts";
import type { BadPage } from "./verify.ts";
import type { VerifyPool } from "./verify_pool.ts";

/** A multiple of every block size, and of what direct I/O asks for. */
const PIECE_BYTES = 1024 * 1024;
const READ_AHEAD_COUNT = 16;

/** A piece of a file, read and verified. */
export interface Piece {
  file: DataFile;
  /** Where the piece begins in its file, in bytes. */
  offset: number;
  /** How many bytes were read: whole pages, but at the end of a file perhaps part of a page too. */
  byteLength: number;
  /** Its bad pages, in order. */
  badPages: BadPage[];
  /** Whether the file ends with this piece. Every file has one such piece, even if empty. */
  isLast: boolean;
  /** Whether the read went past the page cache. */
  direct: boolean;
}

/** With what, and how, to read and verify. */
export interface ReadOptions {
  aio: Aio;
  pool: VerifyPool;
  /** How the cluster's files are laid out. */
  control: ControlFile;
  /** Read past the page cache where the file system can. */
  direct: boolean;
}

/**
 * Reads and verifies files piece by piece. Whether the caller takes all pieces, leaves early or
 * throws: at the end no read is in flight, no file is open, and the buffers are given back.
 *
 * @param files The files, each opened when its turn comes.
 * @param options With what, and how.
 * @throws {CheckFailure} A file cannot be opened or read.
 */
export function readPieces(
  files: AsyncIterable<DataFile>,
  options: ReadOptions,
): AsyncGenerator<Piece, void, undefined> {
  return new PieceReader(options).read(files);
}

/** A piece on its way, and the buffer that is lent to it. */
interface PieceUnderWay {
  buffer: Uint8Array;
  done: Promise<Piece>;
}

class PieceReader {
  readonly #options: ReadOptions;
  readonly #buffers: Uint8Array[];
  readonly #idleBuffers: Uint8Array[];
  /** The oldest first. */
  readonly #underWay: PieceUnderWay[] = [];
  readonly #sources = new Set<Source>();

  constructor(options: ReadOptions) {
    this.#options = options;
    this.#buffers = Array.from(
      { length: READ_AHEAD_COUNT },
      () => options.aio.alloc(PIECE_BYTES),
    );
    this.#idleBuffers = [...this.#buffers];
  }

  async *read(files: AsyncIterable<DataFile>): AsyncGenerator<Piece, void, undefined> {
    try {
      for await (const file of files) {
        const source = this.#open(file);
        for (const extent of extents(file)) {
          if (this.#idleBuffers.length === 0) yield* this.#oldest();
          this.#start(source, extent);
        }
      }
      while (this.#underWay.length > 0) yield* this.#oldest();
    } finally {
      await this.#end();
    }
  }

  #open(file: DataFile): Source {
    const { aio, control, direct } = this.#options;
    const { blockSize } = control;
    const source = new Source(aio, file, extentCount(file), { blockSize, direct });
    this.#sources.add(source);
    return source;
  }

  #start(source: Source, extent: Extent): void {
    const buffer = this.#idleBuffers.pop()!;
    const done = this.#readAndVerify(source, extent, buffer);
    done.catch(() => {}); // The wait for it, when its turn comes, throws.
    this.#underWay.push({ buffer, done });
  }

  async #readAndVerify(source: Source, extent: Extent, buffer: Uint8Array): Promise<Piece> {
    const { pool, control } = this.#options;
    const { file } = source;
    const { bytes, direct } = await source.read(extent, buffer);
    const badPages = await pool.verify({
      bytes,
      blockSize: control.blockSize,
      firstBlock: extent.offset / control.blockSize,
      blocksBefore: file.segmentNumber * control.blocksPerSegment,
    });
    if (source.isDone && this.#sources.delete(source)) await source.close();
    const isLast = extent.offset + extent.length === file.size;
    return { file, offset: extent.offset, byteLength: bytes.byteLength, badPages, isLast, direct };
  }

  /** Waits for the oldest piece, hands it out, and takes its buffer back. */
  async *#oldest(): AsyncGenerator<Piece, void, undefined> {
    const { buffer, done } = this.#underWay[0]!;
    const piece = await done;
    this.#underWay.shift();
    this.#idleBuffers.push(buffer);
    yield piece;
  }

  async #end(): Promise<void> {
    await Promise.allSettled(this.#underWay.map(({ done }) => done));
    await Promise.all(Array.from(this.#sources, (source) => source.close()));
    for (const buffer of this.#buffers) this.#options.aio.free(buffer);
  }
}

function extentCount(file: DataFile): number {
  return Math.max(Math.ceil(file.size / PIECE_BYTES), 1);
}

/** Cuts a file into extents: one of no length if it is empty. */
function* extents({ size }: DataFile): Generator<Extent> {
  let offset = 0;
  do {
    const length = Math.min(PIECE_BYTES, size - offset);
    yield { offset, length };
    offset += length;
  } while (offset < size);
}
