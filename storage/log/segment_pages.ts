/**
 * segment_pages.ts: the durable pages of one segment, through a read stream of its file: the next
 * ones are read while the records of the last ones are looked at.
 *
 * The stream asks for a page once all of it is durable, and so never reads what a flush writes at
 * the same time. Where that ends the stream ends, and gives its memory back; what is behind is for
 * a plain read, or for another stream once it is much.
 *
 * @module
 */

import type { Backend } from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import { insideOf } from "../file/open_file.ts";
import { fileStream } from "../stream/file_stream.ts";
import { nextOf, type ReadStream } from "../stream/read_stream.ts";
import type { StreamPage } from "../stream/stream_page.ts";

/** Each page costs a call, and reads of many large ones leave the cache of the processor. */
const PAGE_BYTES_MAX = 16_384;
const PAGE_BYTES_MIN = 4096;
/** What a stream reads ahead is at most this part of the arena. */
const STREAM_SHARE = 8;
/** One of its reads is at most this part. */
const READ_SHARE = 16;
/** It leaves at least this part to others as it begins: whoever appends needs some, too. */
const SHARE_LEFT = 4;

/** What a stream of a segment is made of. */
export interface SegmentPagesParts {
  readonly file: AioFile;
  readonly pageBytes: number;
  /** The offset of the first byte that is wanted. */
  readonly from: number;
  readonly segmentBytes: number;
  /** The offset up to which bytes are durable, and wanted, at the time of the call. */
  end(): number;
}

/** What of a thread a stream depends on. */
export type StreamThread = Pick<Backend, "arena" | "options">;

/**
 * Bytes of a page for the segments of a log.
 *
 * @param thread which reads
 * @param segmentBytes of each segment; a page divides them
 * @param blockBytes what reads must be multiples of
 * @returns 0: there is no such page, or the arena is too small for a stream
 */
export function segmentPageBytes(
  { arena, options }: StreamThread,
  segmentBytes: number,
  blockBytes: number,
): number {
  const share = arena.bytes / READ_SHARE / options.ioCombineLimit;
  let bytes = PAGE_BYTES_MAX;
  while (bytes > share || segmentBytes % bytes !== 0) bytes /= 2;
  return bytes < Math.max(PAGE_BYTES_MIN, blockBytes) ? 0 : bytes;
}

/** Whether the arena has room for a stream, and for what others do. */
export function hasRoom({ arena, options }: StreamThread, pageBytes: number): boolean {
  const readBytes = options.ioCombineLimit * pageBytes;
  const ahead = Math.min(
    arena.bytes / STREAM_SHARE,
    (options.effectiveIoConcurrency + 1) * readBytes,
  );
  return arena.freeBytes >= arena.bytes / SHARE_LEFT + ahead + readBytes;
}

/** The pages of one segment, from some offset on. */
export class SegmentPages {
  /** The offset of the next page that comes. */
  at: number;
  readonly #parts: SegmentPagesParts;
  readonly #stream: ReadStream<StreamPage>;
  /** The block that the stream asks for next. */
  #asked: number;
  #first: Promise<StreamPage | null> | null = null;

  constructor(parts: SegmentPagesParts) {
    const { file, pageBytes, from } = parts;
    this.#parts = parts;
    this.#asked = Math.floor(from / pageBytes);
    this.at = this.#asked * pageBytes;
    const options = { pageSize: pageBytes, sequential: true, full: true, next: this.#next };
    this.#stream = fileStream(insideOf(file), options, STREAM_SHARE);
  }

  readonly #next = (): number | null => {
    const { pageBytes } = this.#parts;
    return (this.#asked + 1) * pageBytes <= this.#parts.end() ? this.#asked++ : null;
  };

  /** Whether the last page of the segment is being read, or was. */
  get isAllAsked(): boolean {
    return this.#asked * this.#parts.pageBytes === this.#parts.segmentBytes;
  }

  /** How many pages could come now. */
  get count(): number {
    const { pageBytes } = this.#parts;
    return Math.floor((this.#parts.end() - this.at) / pageBytes);
  }

  /** Begins to read before the first page is wanted. */
  begin(): void {
    this.#first = this.#stream.next();
    this.#first.catch(() => {});
  }

  /**
   * The bytes of the next page, valid until the next call; of one that is there, without a promise.
   *
   * @returns null: the stream has ended
   */
  next(): Uint8Array | null | Promise<Uint8Array | null> {
    const first = this.#first;
    this.#first = null;
    const page = first ?? nextOf(this.#stream);
    return page instanceof Promise ? page.then(this.#take) : this.#take(page);
  }

  readonly #take = (page: StreamPage | null): Uint8Array | null => {
    if (page === null || page.bytes.length < this.#parts.pageBytes) return null;
    this.at += page.bytes.length;
    return page.bytes;
  };

  /** Gives up what is being read, without waiting for it. */
  giveUp(): void {
    this.#stream[Symbol.dispose]();
  }
}
