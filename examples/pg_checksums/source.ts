/**
 * A data file while it is read: opened before its first piece, closed after its last, in whichever
 * order they come in. `pieces.ts` has several of them at once.
 *
 * @module
 */

import type { Aio, AioFile } from "../../mod.ts";
import { systemFailure } from "./failure.ts";
import type { DataFile } from "./scan.ts";

/** Which part of a file to read. */
export interface Extent {
  /** In bytes; a multiple of the block size. */
  offset: number;
  /** In bytes; less than whole pages only where the file ends. */
  length: number;
}

/** A file that is being read. */
export class Source {
  readonly file: DataFile;
  readonly #opened: Promise<AioFile>;
  readonly #blockSize: number;
  #extentsLeft: number;

  /**
   * Begins to open a file.
   *
   * @param aio What reads it.
   * @param file The file.
   * @param extentCount How many extents of it will be read.
   * @param options The bytes of a page, and whether to read past the page cache.
   */
  constructor(
    aio: Aio,
    file: DataFile,
    extentCount: number,
    options: { blockSize: number; direct: boolean },
  ) {
    this.file = file;
    this.#extentsLeft = extentCount;
    this.#blockSize = options.blockSize;
    this.#opened = aio.openFile(file.path, { direct: options.direct ? "optional" : "off" });
    this.#opened.catch(() => {}); // Reading throws it.
  }

  /**
   * Reads an extent.
   *
   * @param extent Which.
   * @param buffer Room for it, from the arena; a multiple of what direct I/O asks for.
   * @returns What was read, in the buffer, and whether it came past the page cache.
   * @throws {CheckFailure} The file cannot be opened or read.
   */
  async read(
    extent: Extent,
    buffer: Uint8Array,
  ): Promise<{ bytes: Uint8Array; direct: boolean }> {
    const file = await this.#requireOpened();
    const bytes = buffer.subarray(0, await this.#readAt(file, extent, buffer));
    this.#extentsLeft--;
    return { bytes, direct: file.direct };
  }

  /** Whether all that will be read of the file has been read. */
  get isDone(): boolean {
    return this.#extentsLeft === 0;
  }

  /** Closes the file, if it was opened. */
  async close(): Promise<void> {
    const file = await this.#opened.catch(() => undefined);
    await file?.close();
  }

  async #requireOpened(): Promise<AioFile> {
    try {
      return await this.#opened;
    } catch (error) {
      throw systemFailure(`could not open file "${this.file.path}"`, error);
    }
  }

  async #readAt(file: AioFile, { offset, length }: Extent, buffer: Uint8Array): Promise<number> {
    if (length === 0) return 0;
    // Direct I/O asks for whole units; the read then ends where the file ends.
    const unit = Math.max(this.#blockSize, file.alignment.offset);
    const wanted = buffer.subarray(0, Math.ceil(length / unit) * unit);
    try {
      return await file.readAt(wanted, offset);
    } catch (error) {
      const first = offset / this.#blockSize;
      const last = first + Math.ceil(length / this.#blockSize) - 1;
      const blocks = first === last ? `block ${first}` : `blocks ${first} to ${last}`;
      throw systemFailure(`could not read ${blocks} in file "${this.file.path}"`, error);
    }
  }
}
