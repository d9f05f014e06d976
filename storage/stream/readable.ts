/**
 * readable.ts: a part of a file as a web stream: for `Response`, `pipeTo`, `pipeThrough`. What a
 * reader gets is its own. As long as the bytes are in the page cache they are copied from there
 * (cached_copy.ts); from the first on that is not, they come from a read stream, which reads ahead
 * of them, and are copied once more.
 *
 * A read stream has memory in the arena. A web stream that finds none left waits for that of
 * another one. A stream that ends gives its memory back; so does an idle one, with no read pending,
 * which begins anew where it was. So any number of them get on, however they are read.
 *
 * @module
 */

import { onAbort, runSteps, shown } from "../../core/inside.ts";
import type { FileInside } from "../file/file_inside.ts";
import { fileStat, fileStream } from "./file_stream.ts";
import type { ReadStream } from "./read_stream.ts";
import { checkNames } from "../file/option_names.ts";
import type { ReadStreamOptions } from "./stream_options.ts";
import type { StreamPage } from "./stream_page.ts";

/** What `readable` takes. */
export interface ReadableOptions {
  /** Where it begins, in bytes. Default: 0. */
  readonly offset?: number | undefined;
  /** How many bytes, at most. Default: to the end of the file, as it is at the first read. */
  readonly length?: number | undefined;
  /**
   * Bytes of a chunk, for readers that bring no buffer of their own. The last one may be shorter.
   * Default: 65536. Range: 1..16777216.
   */
  readonly chunkBytes?: number | undefined;
  /** Ends the stream: it errors with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Whether the file is closed with the stream, however that ends. Default: false. */
  readonly close?: boolean | undefined;
}

const CHUNK_BYTES = 65_536;
const CHUNK_BYTES_MAX = 16 * 1024 * 1024;
/** So many bytes are copied between two looks at the turn of the event loop. */
const COPY_BYTES = 128 * 1024;
const PAGE_BYTES_MIN = 4096;
const PAGE_BYTES_MAX = 65_536;
/** One stream takes at most this part of the arena: a server has many. */
const ARENA_SHARE = 32;
const NAMES: readonly string[] = ["offset", "length", "chunkBytes", "signal", "close"];

type Pages = ReadStream<StreamPage>;

/** See `AioFile.readable`. */
export function readable(
  file: FileInside,
  options: ReadableOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  file.checkAccess("read", 0);
  check(file.path, options);
  options.signal?.throwIfAborted();
  return new ReadableStream(new FileSource(file, options));
}

function check(path: string, options: ReadableOptions): void {
  const what = `Cannot stream ${shown(path)}`;
  checkNames(what, options, NAMES);
  const { offset = 0, length = Number.MAX_SAFE_INTEGER, chunkBytes = CHUNK_BYTES } = options;
  const { signal, close = false } = options;
  if (typeof close !== "boolean") {
    throw new TypeError(`${what}: "close" must be a boolean: got ${shown(close)}`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`${what}: "signal" must be an AbortSignal: got ${shown(signal)}`);
  }
  for (const [name, value] of Object.entries({ offset, length })) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new RangeError(`${what}: "${name}" must be an integer from 0: got ${shown(value)}`);
  }
  if (Number.isInteger(chunkBytes) && chunkBytes >= 1 && chunkBytes <= CHUNK_BYTES_MAX) return;
  throw new RangeError(
    `${what}: "chunkBytes" must be an integer from 1 to ${CHUNK_BYTES_MAX}: got ${
      shown(chunkBytes)
    }`,
  );
}

/** The web streams of one thread that have memory, and those that wait for some. */
class Room {
  /** By the read streams that have it, also those that are being closed. */
  readonly holders: Map<Pages, FileSource> = new Map<Pages, FileSource>();
  /** How often one has given memory back. */
  departures = 0;
  readonly #waiters: (() => void)[] = [];

  /** Whether another one waits. */
  get isWanted(): boolean {
    return this.#waiters.length > 0;
  }

  /**
   * Resolves when another one has given memory back.
   *
   * @param error why there is none
   * @param seen `departures` before that
   * @throws that error, if no stream has any memory
   */
  async wait(error: unknown, seen: number): Promise<void> {
    if (this.departures !== seen) return;
    if (this.holders.size === 0) {
      // None is left that would wake whoever waits behind this one.
      this.wakeNext();
      throw error;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.push(resolve);
    for (const holder of this.holders.values()) {
      if (holder.tryLetGo()) break;
    }
    await promise;
  }

  /** One has given memory back. */
  leave(pages: Pages): void {
    this.holders.delete(pages);
    this.departures++;
    this.wakeNext();
  }

  /** Has the one that has waited longest try again. */
  wakeNext(): void {
    this.#waiters.shift()?.();
  }
}

const ROOMS = new WeakMap<object, Room>();

function roomOf({ transfers }: FileInside): Room {
  const room = ROOMS.get(transfers) ?? new Room();
  ROOMS.set(transfers, room);
  return room;
}

/** Where the bytes come from. */
class FileSource implements UnderlyingByteSource {
  readonly type = "bytes";
  readonly #file: FileInside;
  readonly #options: ReadableOptions;
  readonly #chunkBytes: number;
  readonly #room: Room;
  #pages: Pages | null = null;
  #pageBytes = PAGE_BYTES_MAX;
  /** What is left of the page that the stream has delivered. */
  #rest: Uint8Array<SharedArrayBuffer> | null = null;
  /** Where in the file the next byte is. */
  #at: number;
  /** Behind which byte the stream ends; -1: that is not known yet. */
  #end = -1;
  #ignoreAbort: (() => void) | null = null;
  #isPulled = false;
  /** Whether all so far was in the page cache. */
  #isCached = true;
  /** Whether it was canceled, or has errored: what is under way comes too late. */
  #isOver = false;

  constructor(file: FileInside, options: ReadableOptions) {
    this.#file = file;
    this.#options = options;
    this.#chunkBytes = options.chunkBytes ?? CHUNK_BYTES;
    this.#room = roomOf(file);
    this.#at = options.offset ?? 0;
  }

  start(controller: ReadableByteStreamController): void {
    const { signal } = this.#options;
    if (signal === undefined) return;
    this.#ignoreAbort = onAbort(signal, (reason) => {
      controller.error(reason);
      // A callback of an IO may abort it, and must not do what this does.
      queueMicrotask(() => this.#finish());
    });
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    this.#isPulled = true;
    try {
      if (this.#end < 0) await this.#measure();
      const request = controller.byobRequest;
      if (request?.view) await this.#answer(controller, request, asBytes(request.view));
      else await this.#deliver(controller);
    } catch (error) {
      if (this.#isOver) return;
      this.#finish();
      throw error;
    } finally {
      this.#isPulled = false;
      if (this.#room.isWanted) this.tryLetGo();
    }
  }

  /** To a reader that has brought a buffer. */
  async #answer(
    controller: ReadableByteStreamController,
    request: ReadableStreamBYOBRequest,
    into: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    const bytes = await this.#fill(into);
    if (this.#isOver) return;
    if (bytes === 0) this.#close(controller);
    // What the reader has brought is given back in any case.
    request.respond(bytes);
  }

  /** To one that has not. */
  async #deliver(controller: ReadableByteStreamController): Promise<void> {
    const left = Math.max(0, this.#end - this.#at);
    const chunk = new Uint8Array(new ArrayBuffer(Math.min(this.#chunkBytes, left)));
    const bytes = await this.#fill(chunk);
    if (this.#isOver) return;
    if (bytes > 0) controller.enqueue(bytes < chunk.length ? chunk.subarray(0, bytes) : chunk);
    if (bytes < chunk.length || this.#at >= this.#end) this.#close(controller);
  }

  #close(controller: ReadableByteStreamController): void {
    controller.close();
    this.#finish();
  }

  async cancel(): Promise<void> {
    await this.#finish();
  }

  async #measure(): Promise<void> {
    const { length = Infinity } = this.#options;
    const { size } = await runSteps(fileStat(this.#file, false));
    this.#end = this.#isOver ? this.#at : Math.min(this.#at + length, size);
  }

  /** @returns bytes; fewer than there is room for only at the end */
  async #fill(into: Uint8Array<ArrayBuffer>): Promise<number> {
    let filled = this.#isCached ? await this.#copyCached(into) : 0;
    while (!this.#isOver && filled < into.length && this.#at < this.#end) {
      if (this.#rest === null && !await this.#next()) break;
      const rest = this.#rest!;
      const bytes = Math.min(rest.length, into.length - filled, this.#end - this.#at);
      into.set(bytes < rest.length ? rest.subarray(0, bytes) : rest, filled);
      this.#rest = bytes < rest.length ? rest.subarray(bytes) : null;
      filled += bytes;
      this.#at += bytes;
    }
    return filled;
  }

  /**
   * What is in the page cache goes straight to where it is wanted. From the first byte on that is
   * not, a read stream reads ahead.
   *
   * @returns bytes
   */
  async #copyCached(into: Uint8Array<ArrayBuffer>): Promise<number> {
    const { transfers: { cachedCopies, backend: { turn } } } = this.#file;
    const length = Math.min(into.length, this.#end - this.#at);
    let filled = 0;
    while (filled < length) {
      if (turn.isOver()) await new Promise<void>((resolve) => turn.handOut({ completed: resolve }));
      if (this.#isOver) break;
      this.#file.checkOpen("read");
      const part = into.subarray(filled, Math.min(length, filled + COPY_BYTES));
      this.#isCached = cachedCopies.tryReadNext(this.#file, part, this.#at);
      if (!this.#isCached) break;
      filled += part.length;
      this.#at += part.length;
    }
    return filled;
  }

  /** Gets the next page. @returns false: it is over, or the file has become shorter meanwhile */
  async #next(): Promise<boolean> {
    const page = this.#pages === null ? await this.#begin() : await this.#pages.next();
    if (page === null || this.#isOver) return false;
    this.#rest = page.bytes.subarray(this.#at - page.block * this.#pageBytes);
    return this.#rest.length > 0;
  }

  /** Gets the first page of a new read stream, once there is memory for it. */
  async #begin(): Promise<StreamPage | null> {
    const pageSize = this.#pageBytes = pageBytesFor(this.#file, this.#end - this.#at);
    const range = { from: Math.floor(this.#at / pageSize), until: Math.ceil(this.#end / pageSize) };
    const options: ReadStreamOptions = { ...range, pageSize, full: true };
    while (!this.#isOver) {
      const { departures } = this.#room;
      const pages = this.#pages = fileStream(this.#file, options, ARENA_SHARE);
      this.#room.holders.set(pages, this);
      try {
        return await pages.next();
      } catch (error) {
        if (this.#isOver || !(error instanceof Deno.errors.Busy)) throw error;
        // It has no memory that anybody could take.
        this.#pages = null;
        this.#room.holders.delete(pages);
        await pages.close();
        await this.#room.wait(error, departures);
        // The memory is for the next one then.
        if (this.#isOver) this.#room.wakeNext();
      }
    }
    return null;
  }

  /** Gives the memory back, if nobody reads right now. @returns whether it does */
  tryLetGo(): boolean {
    if (this.#isPulled || this.#pages === null) return false;
    this.#letGo();
    return true;
  }

  async #letGo(): Promise<void> {
    const pages = this.#pages;
    if (pages === null) return;
    this.#pages = null;
    this.#rest = null;
    await pages.close();
    this.#room.leave(pages);
  }

  async #finish(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ignoreAbort?.();
    await this.#letGo();
    if (this.#options.close === true) await this.#closeFile();
  }

  /** Nobody awaits this: what goes wrong is a warning. */
  async #closeFile(): Promise<void> {
    const { ending, path, transfers: { backend } } = this.#file;
    try {
      await ending.close();
    } catch (error) {
      backend.warn(`Cannot close ${shown(path)} with its stream`, error);
    }
  }
}

/** Little of a file is read by little pages, which begin near it. */
function pageBytesFor({ direct }: FileInside, bytes: number): number {
  if (direct) return PAGE_BYTES_MAX;
  let pageBytes = PAGE_BYTES_MIN;
  while (pageBytes < bytes && pageBytes < PAGE_BYTES_MAX) pageBytes *= 2;
  return pageBytes;
}

function asBytes({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
