/**
 * file_parts.ts: what an open file is made of, and what its calls take.
 *
 * @module
 */

import type { FileSlot, OpenFileEntry } from "../core/open_file.ts";
import type { Transfers } from "./transfer.ts";

/** What `readAt`, `writeAt` and `sync` take. */
export interface TransferOptions {
  /**
   * Ends the wait: the promise rejects with its reason. What is not started yet is not done; what
   * the kernel has already goes on, and keeps its memory until it is done.
   */
  readonly signal?: AbortSignal | undefined;
}

/** The ids that a file's IO is registered with. */
export interface FileIds {
  /** The callbacks of reads. */
  readonly readv: number;
  /** The callbacks of writes. */
  readonly writev: number;
  /** The callbacks of flushes. */
  readonly sync: number;
}

/** What a file is made of. */
export interface AioFileParts {
  /** How its transfers are done. */
  readonly transfers: Transfers;
  /** Where it is in the table of open files. */
  readonly slot: FileSlot;
  /** What the table says of it. */
  readonly entry: OpenFileEntry;
  /** Its whole path. */
  readonly path: string;
  /** Told when this object is closed. */
  onClosed(): void;
}
