/**
 * log_bytes.ts: the durable bytes of a log, from a position on, a chunk at a time, for a reader.
 *
 * ```text
 * much is durable     a read stream of the segment's file (segment_pages.ts), and towards the end
 *                     of the segment that of the next one as well
 * little is, or the   what is there: at the end of a log that is followed, just what is new; out of
 * arena has no room   the log's ring while that still has it, else by a plain read
 * ```
 *
 * Either way a read begins when all that is used of it is durable.
 *
 * @module
 */

import type { Backend } from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import type { LogMemory } from "./log_memory.ts";
import { LONGEST_BYTES, NOTHING } from "./record.ts";
import { hasRoom, segmentPageBytes, SegmentPages } from "./segment_pages.ts";
import type { Segments } from "./segments.ts";

/** What loading bytes needs of the thread. */
export interface LogBytesHost {
  readonly memory: LogMemory;
  readonly backend: Backend;
  readonly segments: Segments;
  /** Opens a file for reading. */
  open(path: string): Promise<AioFile>;
}

/** Bytes of a chunk that pages are put into: the longest fragment fits twice. */
const CHUNK_BYTES = 128 * 1024;
/** Most bytes of a plain read: the longest fragment fits several times. */
const PLAIN_BYTES_MAX = 512 * 1024;
/** With less a plain read is as good as a stream. */
const STREAM_BYTES_MIN = 256 * 1024;
/** After so many bytes the arena may have room. */
const LOOK_AGAIN_BYTES = 1024 * 1024;

/** The segment that is read, or the next one. */
interface OpenSegment {
  readonly number: number;
  readonly file: AioFile;
  pages: SegmentPages | null;
}

/** The bytes of a log for one reader. */
export class LogBytes {
  readonly #host: LogBytesHost;
  readonly #until: number;
  readonly #pageBytes: number;
  #segment: OpenSegment | null = null;
  /** The next one, if it was begun; null is what comes of one that cannot be opened. */
  #upcoming: Promise<OpenSegment | null> | null = null;
  /** What was loaded last, and its position. */
  #chunk: Uint8Array = NOTHING;
  #chunkAt = 0;
  /** Before that position it is not looked whether the arena has room. */
  #lookAgainAt = 0;
  #isClosed = false;

  /**
   * @param host of this thread
   * @param until what begins there is not wanted; the end of what begins before it is
   */
  constructor(host: LogBytesHost, until: number) {
    const { backend, memory: { segmentBytes, blockBytes } } = host;
    this.#host = host;
    this.#until = until;
    this.#pageBytes = segmentPageBytes(backend, segmentBytes, blockBytes);
  }

  /**
   * Loads bytes of one segment, from a position on: a whole fragment, unless the durable part of
   * the log or the segment ends within it.
   *
   * @param at where the fragment begins that comes next, before the end of what is durable
   * @returns null: the segment's file is too short, or it was closed meanwhile
   */
  async load(at: number): Promise<Uint8Array | null> {
    const number = Math.floor(at / this.#host.memory.segmentBytes);
    const segment = this.#segment?.number === number ? this.#segment : await this.#enter(number);
    if (segment === null) return null;
    const rest = this.#restAt(at, number);
    const bytes = await this.#fromPages(segment, at, rest) ?? await this.#plain(segment, at);
    if (this.#isClosed) return null;
    this.#chunk = bytes ?? NOTHING;
    this.#chunkAt = at;
    return bytes;
  }

  /** What of the last chunk is not used yet. */
  #restAt(at: number, number: number): Uint8Array {
    const from = at - this.#chunkAt;
    const isSame = Math.floor(this.#chunkAt / this.#host.memory.segmentBytes) === number;
    return isSame && from >= 0 && from < this.#chunk.length ? this.#chunk.subarray(from) : NOTHING;
  }

  // --- segments ---

  async #enter(number: number): Promise<OpenSegment | null> {
    const before = this.#segment;
    this.#segment = null;
    await before?.file.close();
    const upcoming = await this.#upcoming;
    this.#upcoming = null;
    if (this.#isClosed) return null;
    if (upcoming?.number === number) return this.#segment = upcoming;
    await upcoming?.file.close();
    return this.#isClosed ? null : this.#segment = await this.#open(number);
  }

  /** @returns null: it was closed meanwhile */
  async #open(number: number): Promise<OpenSegment | null> {
    const { open, segments } = this.#host;
    const file = await open(segments.pathOf(number));
    if (!this.#isClosed) return { number, file, pages: null };
    await file.close();
    return null;
  }

  /** Opens the next segment, and has its first pages read. */
  async #openAhead(number: number): Promise<OpenSegment | null> {
    try {
      const segment = await this.#open(number);
      if (segment !== null) this.#beginPages(segment, 0)?.begin();
      return segment;
    } catch {
      // It is opened again when it is wanted, and what goes wrong is said then.
      return null;
    }
  }

  /** The offset up to which bytes of a segment are durable, and wanted. */
  #endIn(number: number): number {
    const { segmentBytes, flushed } = this.#host.memory;
    return Math.min(segmentBytes, Math.min(flushed, this.#until) - number * segmentBytes);
  }

  // --- pages ---

  #beginPages(segment: OpenSegment, from: number): SegmentPages | null {
    const { number, file } = segment;
    const { backend, memory: { segmentBytes } } = this.#host;
    const pageBytes = this.#pageBytes;
    const position = number * segmentBytes + from;
    const isMuch = this.#endIn(number) - from >= STREAM_BYTES_MIN;
    if (pageBytes === 0 || !isMuch || position < this.#lookAgainAt) return null;
    if (!hasRoom(backend, pageBytes)) {
      this.#lookAgainAt = position + LOOK_AGAIN_BYTES;
      return null;
    }
    const end = () => this.#endIn(number);
    return segment.pages = new SegmentPages({ file, pageBytes, from, segmentBytes, end });
  }

  /** What is left of the last chunk, and pages behind it. @returns null: there is no stream now */
  async #fromPages(segment: OpenSegment, at: number, rest: Uint8Array): Promise<Uint8Array | null> {
    const { memory: { segmentBytes } } = this.#host;
    const from = at + rest.length - segment.number * segmentBytes;
    const pages = segment.pages ?? this.#beginPages(segment, from);
    if (pages === null) return null;
    let bytes: Uint8Array | null = null;
    try {
      bytes = await this.#gather(pages, from, rest);
    } catch (error) {
      if (!this.#isPlainBetter(error)) throw error;
    }
    if (bytes === null) {
      pages.giveUp();
      segment.pages = null;
    } else if (pages.isAllAsked && this.#upcoming === null) {
      const next = segment.number + 1;
      if (this.#endIn(next) >= STREAM_BYTES_MIN) this.#upcoming = this.#openAhead(next);
    }
    return bytes;
  }

  async #gather(pages: SegmentPages, from: number, rest: Uint8Array): Promise<Uint8Array | null> {
    const { memory: { segmentBytes } } = this.#host;
    const pageBytes = this.#pageBytes;
    const count = Math.min(pages.count, Math.ceil((CHUNK_BYTES - rest.length) / pageBytes));
    const end = pages.at + count * pageBytes;
    const bytes = rest.length + end - from;
    // The fragment that comes next may be longer.
    if (count < 1 || bytes < LONGEST_BYTES && end < segmentBytes) return null;
    const chunk = new Uint8Array(bytes);
    chunk.set(rest);
    for (let filled = rest.length; filled < bytes;) {
      const skipped = from + filled - rest.length - pages.at;
      const next = pages.next();
      const page = next instanceof Promise ? await next : next;
      if (page === null) return null;
      chunk.set(skipped === 0 ? page : page.subarray(skipped), filled);
      filled += pageBytes - skipped;
    }
    return chunk;
  }

  /** Whether a plain read may do better than a stream that has failed so, or say what is wrong. */
  #isPlainBetter(error: unknown): boolean {
    if (error instanceof Deno.errors.UnexpectedEof) return true;
    if (!(error instanceof Deno.errors.Busy)) return false;
    this.#lookAgainAt = this.#chunkAt + this.#chunk.length + LOOK_AGAIN_BYTES;
    return true;
  }

  // --- plain reads ---

  /** @returns null: the file is too short */
  async #plain({ number, file }: OpenSegment, at: number): Promise<Uint8Array | null> {
    if (this.#isClosed) return null;
    const { segmentBytes, blockBytes, flushed } = this.#host.memory;
    const begin = number * segmentBytes;
    const from = at - begin;
    const wanted = Math.min(PLAIN_BYTES_MAX, Math.max(0, this.#until - at) + LONGEST_BYTES);
    const to = Math.min(flushed - begin, segmentBytes, from + wanted);
    const recent = this.#host.memory.tryCopy(at, begin + to);
    if (recent !== null) return recent;
    const first = from - from % blockBytes;
    const bytes = new Uint8Array(Math.ceil((to - first) / blockBytes) * blockBytes);
    const read = await file.readAt(bytes, first);
    return read < to - first ? null : bytes.subarray(from - first, to - first);
  }

  /** Leaves nothing in flight. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const [segment, upcoming] = [this.#segment, this.#upcoming];
    this.#segment = this.#upcoming = null;
    await segment?.file.close();
    await (await upcoming)?.file.close();
  }
}
