/**
 * file_parts.ts: what an open file is made of, and what its calls take and refuse.
 *
 * @module
 */

import {
  type Descriptors,
  DURABLE_WRITE,
  FILE_FLAGS,
  type FileIdentity,
  type FileSlot,
  FLAG_BITS,
  FUSE_BIT,
  type OpenFileEntry,
  shown,
} from "../../core/inside.ts";
import type { AioCore } from "../../core/mod.ts";
import type { Origin } from "./forgotten.ts";
import type { Transfers } from "./transfer.ts";
import { checkViews } from "./view_cursor.ts";

/** What `readAt`, `writeAt` and `sync` take. */
export interface TransferOptions {
  /**
   * Ends the wait: the promise rejects with its reason. What is not started yet is not done; what
   * the kernel has already goes on, and keeps its memory until it is done.
   */
  readonly signal?: AbortSignal | undefined;
}

/** What `readAt` takes. */
export interface ReadOptions extends TransferOptions {
  /**
   * `"drop"`: what the read brings into the page cache does not stay there (`RWF_DONTCACHE`, since
   * Linux 6.14). Where the system or the file system does not know that, and past the page cache,
   * it changes nothing. Default: `"keep"`.
   */
  readonly cache?: "keep" | "drop" | undefined;
}

/** What `writeAt` takes. */
export interface WriteOptions extends ReadOptions {
  /**
   * The promise resolves when the data is durable, with the metadata that reading it back needs, as
   * after `syncData()`: by one call (`RWF_DSYNC`), or by a write and a flush where the system does
   * not know that. A failure counts as a failed flush. Default: false.
   */
  readonly durable?: boolean | undefined;
}

/** What `append` takes. */
export interface AppendOptions extends TransferOptions {
  /**
   * The promise resolves when the data is durable, as after `syncData()`, and all that had been
   * appended before. A failure counts as a failed flush. Default: false.
   */
  readonly durable?: boolean | undefined;
}

/** What `append` has to know of its file. */
interface AppendTarget {
  readonly path: string;
  readonly direct: boolean;
  checkAccess(direction: "write", offset: number): void;
}

/**
 * Refuses an append that cannot be.
 *
 * @returns the views that have something in them
 */
export function checkAppend(
  file: AppendTarget,
  data: Uint8Array | readonly Uint8Array[],
  options: AppendOptions | undefined,
): readonly Uint8Array[] {
  const { path } = file;
  file.checkAccess("write", 0);
  if (file.direct) {
    throw new Deno.errors.NotSupported(
      `Cannot append to ${shown(path)}: it is open with "direct", which writes whole blocks; ` +
        "open it without, or write blocks by writeAt()",
    );
  }
  const durable: unknown = options?.durable;
  if (durable !== undefined && typeof durable !== "boolean") {
    throw new TypeError(
      `Cannot append to ${shown(path)}: the option "durable" must be a boolean: got ${
        shown(durable)
      }`,
    );
  }
  return checkViews("append", data);
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
export interface FileIo extends FileIdentity, FileIds {
  targetId: number;
}

/** What a file gives all its IOs. */
export function fileIo(aio: AioCore, { slot, entry }: AioFileParts): FileIo {
  return {
    slot: slot.slot,
    generation: slot.generation,
    targetId: aio.targetId("file"),
    flags: ((entry.flags & FILE_FLAGS.direct) !== 0 ? 0 : FLAG_BITS.buffered) |
      ((entry.flags & FILE_FLAGS.isFuse) !== 0 ? FUSE_BIT : 0),
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
  /** How it is measured, cut and closed. */
  readonly descriptors: Descriptors;
  /** Where it is in the table of open files. */
  readonly slot: FileSlot;
  /** What the table says of it. */
  readonly entry: OpenFileEntry;
  /** Its whole path. */
  readonly path: string;
  /** Deno's descriptor, if this thread opened it; else -1. */
  readonly denosFd: number;
  /** Says who opened it. */
  readonly origin: Origin;
  /** Told when this object is closed. */
  onClosed(): void;
}

/** Refuses a size that cannot be one. @throws {RangeError} */
export function checkSize(path: string, bytes: number): void {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return;
  throw new RangeError(
    `Cannot truncate ${shown(path)} to ${shown(bytes)} bytes: an integer from 0 to 2^53 - 1`,
  );
}
