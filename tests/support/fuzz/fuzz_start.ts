/**
 * fuzz_start.ts: the random tests prepare a handle in a random way, and start it.
 *
 * @module
 */

import { assertThrows } from "@std/assert";
import type { AioHandle, StartOptions } from "../../../core/io/handle.ts";
import { EBADF } from "../../../ffi/errno.ts";
import type { Prng } from "../prng.ts";
import { MARK_MAX } from "./fuzz_callbacks.ts";
import { FUZZ_FILE_BYTES, type FuzzFile } from "./fuzz_files.ts";
import { type Asked, type FuzzIo, UNREAD_BYTE } from "./fuzz_io.ts";
import type { FuzzModel } from "./fuzz_model.ts";

/** A descriptor that no file has. */
const NO_DESCRIPTOR = 1_000_000;
const PAGE_BYTES = 4096;
const PAGES_MAX = 4;
const BUFFERS_MAX = 5;
const KINDS = [
  ...["read", "read", "read", "read", "write", "write", "sync", "syncData", "flushRange"],
  ...["badRead", "badWrite"],
] as const;
const MARKERS = ["mark", "mark", "mark", "throwInStage", "throwInShared", "throwInLocal"] as const;

/** Memory of IOs, which goes back once they are over. */
export type Blocks = Map<FuzzIo, Uint8Array>;

/** Prepares and starts handles. */
export class FuzzStarter {
  readonly #model: FuzzModel;
  readonly #prng: Prng;
  readonly #files: () => readonly FuzzFile[];
  /** The memory that has to go back. */
  readonly blocks: Blocks = new Map();

  constructor(model: FuzzModel, prng: Prng, files: () => readonly FuzzFile[]) {
    this.#model = model;
    this.#prng = prng;
    this.#files = files;
  }

  /** Starts an IO on a handle. If that is refused, it releases the handle. */
  start(handle: AioHandle, io: FuzzIo): void {
    const prng = this.#prng;
    const kind = prng.pick(KINDS);
    const file = this.#pickFile();
    const isAtEndOfTurn = prng.chance(1, 3);
    const options: StartOptions = isAtEndOfTurn ? { submit: "endOfTurn" } : {};
    const isLocal = !file.file.direct && prng.chance(1, 10);
    const isFlagged = prng.chance(1, 12);
    if (isFlagged) handle.setFlag("synchronous");
    if (isLocal) handle.setFlag("referencesLocal");
    const more = prng.chance(1, 2) ? [prng.below(Number.MAX_SAFE_INTEGER)] : [];
    handle.setHandleData([io.number, ...more].slice(0, this.#model.aio.options.ioMaxCombineLimit));
    this.#register(handle, io, kind.startsWith("bad") ? 4 : 3);
    const range = this.#range(file, kind === "write");
    const views = this.#views(io, range.length, isLocal, file);
    const asked = { ...range, views, file, isAtOnce: isFlagged || isLocal };
    if (file.isClosed && !kind.startsWith("bad")) return this.#startClosed(handle, io, file, views);
    const { start, ...what } = this.#plan(kind, handle, io, file, asked, options);
    io.asked = { ...asked, ...what };
    start();
    this.#model.startedIo(io, isAtEndOfTurn);
  }

  /** One that is open, most often. */
  #pickFile(): FuzzFile {
    const all = this.#files();
    return this.#prng.pick(this.#prng.chance(1, 8) ? all : all.filter(({ isClosed }) => !isClosed));
  }

  #register(handle: AioHandle, io: FuzzIo, countMax: number): void {
    const { aio } = this.#model;
    const count = this.#prng.chance(1, 2) ? 0 : this.#prng.below(countMax + 1);
    for (let i = 0; i < count; i++) {
      const name = this.#prng.pick(MARKERS);
      const data = this.#prng.between(1, MARK_MAX);
      const id = aio.callbackId(name);
      handle.registerCallbacks(id, data);
      io.callbacks.push({ id, name, data });
    }
  }

  /** Direct files want whole pages; writes, and reads of what is written, stay within the file. */
  #range({ file, isWritten }: FuzzFile, isWrite: boolean): { offset: number; length: number } {
    const prng = this.#prng;
    const end = isWritten || isWrite
      ? FUZZ_FILE_BYTES - FUZZ_FILE_BYTES % PAGE_BYTES
      : FUZZ_FILE_BYTES + PAGE_BYTES;
    if (file.direct) {
      const pages = prng.between(1, PAGES_MAX);
      const first = prng.below(Math.floor(end / PAGE_BYTES) - PAGES_MAX);
      return { offset: first * PAGE_BYTES, length: pages * PAGE_BYTES };
    }
    const length = prng.between(1, PAGES_MAX * PAGE_BYTES);
    return { offset: prng.below(end - length), length };
  }

  /** One view or more, of the arena or of memory of its own. */
  #views(io: FuzzIo, length: number, isLocal: boolean, { file }: FuzzFile): Uint8Array[] {
    const { aio } = this.#model;
    const block = isLocal ? new Uint8Array(length) : aio.alloc(length);
    if (!isLocal) this.blocks.set(io, block);
    block.fill(UNREAD_BYTE);
    const count = file.direct ? 1 : this.#prng.between(1, BUFFERS_MAX);
    const most = Math.min(count, length, aio.options.ioMaxCombineLimit);
    const cuts = new Set(Array.from({ length: most - 1 }, () => this.#prng.between(1, length - 1)));
    const ends = [...cuts, length].sort((a, b) => a - b);
    return ends.map((end, i) => block.subarray(ends[i - 1] ?? 0, end));
  }

  /** A file that is closed takes no IO; the handle stays handed out, and can be released. */
  #startClosed(
    handle: AioHandle,
    io: FuzzIo,
    { file }: FuzzFile,
    views: readonly Uint8Array[],
  ): void {
    handle.setIovec(views);
    assertThrows(() => file.startReadv(handle, 0), Deno.errors.BadResource);
    handle.release();
    this.#model.handed = null;
    this.#model.gaveBack(io);
  }

  #plan(
    kind: typeof KINDS[number],
    handle: AioHandle,
    io: FuzzIo,
    fuzzFile: FuzzFile,
    { offset, length, views }: Pick<Asked, "offset" | "length" | "views">,
    options: StartOptions,
  ): Pick<Asked, "operation" | "answer" | "file"> & { start(): void } {
    const { file } = fuzzFile;
    const { aio } = this.#model;
    const by = (name: string) => io.callbacks.push({ id: aio.callbackId(name), name, data: 0 });
    switch (kind) {
      case "read":
        by("fileReadv");
        handle.setIovec(views);
        return {
          operation: "readv",
          file: fuzzFile,
          answer: Math.min(Math.max(FUZZ_FILE_BYTES - offset, 0), length),
          start: () => file.startReadv(handle, offset, options),
        };
      case "write":
        by("fileWritev");
        handle.setIovec(views);
        this.#fill(views, offset);
        return {
          operation: "writev",
          file: fuzzFile,
          // What was not opened for writing is refused by the system.
          answer: fuzzFile.isWritten ? length : -EBADF,
          start: () => file.startWritev(handle, offset, options),
        };
      case "sync":
      case "syncData": {
        by("fileSync");
        const dataOnly = kind === "syncData";
        return {
          operation: dataOnly ? "fdatasync" : "fsync",
          file: fuzzFile,
          answer: 0,
          start: () => file.startFsync(handle, { ...options, dataOnly }),
        };
      }
      case "flushRange":
        handle.setTarget(aio.targetId("number"), [io.number]);
        return {
          operation: "flush_range",
          file: fuzzFile,
          answer: 0,
          start: () => handle.startFlushRange(file.fd, offset, length, options),
        };
      case "badRead":
      case "badWrite": {
        handle.setTarget(aio.targetId("number"), [io.number]);
        handle.setIovec(views);
        const isRead = kind === "badRead";
        return {
          operation: isRead ? "readv" : "writev",
          file: null,
          answer: -EBADF,
          start: () =>
            isRead
              ? handle.startReadv(NO_DESCRIPTOR, offset, options)
              : handle.startWritev(NO_DESCRIPTOR, offset, options),
        };
      }
    }
  }

  /** Fills the views with what belongs at that offset of the file. */
  #fill(views: readonly Uint8Array[], offset: number): void {
    let at = offset;
    for (const view of views) {
      view.set(this.#model.files.pattern(at, view.length));
      at += view.length;
    }
  }
}
