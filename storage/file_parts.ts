/**
 * file_parts.ts: what an open file is made of, and what its calls take.
 *
 * @module
 */

import type { AioCore } from "../core/aio.ts";
import { DURABLE_WRITE } from "../core/file_callbacks.ts";
import { FLAG_BITS } from "../core/handle_flag.ts";
import {
  FILE_FLAGS,
  type FileIdentity,
  type FileSlot,
  type OpenFileEntry,
} from "../core/open_file.ts";
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

/** What a file gives all its IOs, and the callback for each kind. */
export interface FileIo extends FileIdentity, FileIds {}

/** What a file gives all its IOs. */
export function fileIo(aio: AioCore, { slot, entry }: AioFileParts): FileIo {
  return {
    slot: slot.slot,
    generation: slot.generation,
    targetId: aio.targetId("file"),
    flags: (entry.flags & FILE_FLAGS.direct) !== 0 ? 0 : FLAG_BITS.buffered,
    callbackData: (entry.flags & FILE_FLAGS.dsync) === 0 ? 0 : DURABLE_WRITE,
    readv: aio.callbackId("fileReadv"),
    writev: aio.callbackId("fileWritev"),
    sync: aio.callbackId("fileSync"),
  };
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
