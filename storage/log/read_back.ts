/**
 * read_back.ts: reads a log back when it is opened, from the position that is surely durable to the
 * first fragment that is none, and makes what it found durable.
 *
 * What is read may be in the page cache only: the crash was the program's, or a flush has failed
 * and the system has forgotten that. So all behind the greatest position that a fragment knows to
 * be durable is written anew, and flushed.
 *
 * @module
 */

import { shown } from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import type { LogAio } from "./calls.ts";
import type { LogControl } from "./control_file.ts";
import type { LogRecovery } from "./log.ts";
import { FRAGMENT_BYTES_MAX, HEAD_BYTES } from "./record.ts";
import { LogDamageError, scan, type ScanOptions, type ScanSource } from "./scan.ts";
import { segmentNumbers, segmentPath } from "./segment_names.ts";

/** What was found. */
export interface Found {
  /** Where the next record begins. */
  readonly end: number;
  /** Why nothing more was found. */
  readonly stop: LogRecovery["stop"];
}

/** So much is read at a time, and looked through without a pause. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** The least that is read. */
const FIRST_BYTES = 4096;
const COPY_BYTES = 1024 * 1024;
/** One more may be under way over the end of what was not flushed. */
const FRAGMENT_BYTES = HEAD_BYTES + FRAGMENT_BYTES_MAX;

/**
 * Reads a log back, and makes what is there durable.
 *
 * @throws {Deno.errors.InvalidData} if something is damaged that was durable
 */
export async function readBack(
  aio: LogAio,
  directory: string,
  control: LogControl,
): Promise<Found> {
  const files = new LogFiles(aio, directory, control.segmentBytes);
  try {
    const { end, stop, durable } = await scanFiles(files, control);
    await files.checkWhole(control.start, end);
    await rewrite(files, Math.max(durable, control.durable), end);
    return { end, stop };
  } catch (error) {
    if (!(error instanceof LogDamageError)) throw error;
    const what = `Cannot open the log in ${shown(directory)}`;
    throw new Deno.errors.InvalidData(`${what}: ${error.message}`, { cause: error });
  } finally {
    await files.close();
  }
}

/** Scans all that there is, a window at a time, so that the event loop goes on in between. */
async function scanFiles(
  files: LogFiles,
  control: LogControl,
): Promise<Found & { readonly durable: number }> {
  const { identity, segmentBytes, opening, durable, bufferBytes, isClosed } = control;
  const window = new Window(segmentBytes);
  let from = durable;
  for (;;) {
    const options: ScanOptions = {
      from,
      until: from + WINDOW_BYTES,
      identity,
      segmentBytes,
      newestOpening: opening,
      newestFrom: durable,
      openingAtFrom: opening,
      cleanEnd: isClosed === true ? durable : null,
      searchBytes: 2 * (bufferBytes + FRAGMENT_BYTES),
      segments: files.numbers,
    };
    try {
      const { end, stop, durable: known } = scan(window, options);
      if (stop !== "until") return { end, stop, durable: Math.max(durable, known) };
      from = end;
      window.forgetBefore(from);
    } catch (error) {
      if (!(error instanceof NotLoaded)) throw error;
      const { position, bytes } = error;
      const isFirst = bytes <= FIRST_BYTES && position % segmentBytes === 0;
      if (isFirst) await window.loadFirst(files, position);
      else await window.load(files, position);
    }
  }
}

/** Some bytes are to be loaded before a scan can go on. */
class NotLoaded extends Error {
  readonly position: number;
  readonly bytes: number;

  constructor(position: number, bytes: number) {
    super(`${bytes} bytes at ${position} are not loaded`);
    this.position = position;
    this.bytes = bytes;
  }
}

/** The part of the log that is loaded. */
class Window implements ScanSource {
  readonly #segmentBytes: number;
  #pieces: { readonly from: number; readonly bytes: Uint8Array; readonly isLast: boolean }[] = [];

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
  }

  /** @throws {NotLoaded} */
  read(position: number, bytes: number): Uint8Array {
    for (const { from, bytes: loaded, isLast } of this.#pieces) {
      const at = position - from;
      if (at < 0 || at >= loaded.length && !(isLast && position < this.#segmentEnd(from))) continue;
      // A piece ends where its segment or its file does, or another one follows.
      if (at + bytes <= loaded.length || isLast) return loaded.subarray(at, at + bytes);
    }
    throw new NotLoaded(position, bytes);
  }

  #segmentEnd(position: number): number {
    return (Math.floor(position / this.#segmentBytes) + 1) * this.#segmentBytes;
  }

  /** Loads what there is of a segment from a position on. */
  async load(files: LogFiles, position: number): Promise<void> {
    const bytes = new Uint8Array(Math.min(WINDOW_BYTES, this.#segmentEnd(position) - position));
    const read = await files.read(position, bytes);
    const isLast = read < bytes.length || position + read === this.#segmentEnd(position);
    this.#pieces.push({ from: position, bytes: bytes.subarray(0, read), isLast });
  }

  /**
   * Loads a little from a position on, and from the beginning of each segment behind: as the scan
   * looks at all of those, which may be many.
   */
  async loadFirst(files: LogFiles, position: number): Promise<void> {
    const segmentBytes = this.#segmentBytes;
    const behind = [...files.numbers].map((number) => number * segmentBytes)
      .filter((from) => from > position);
    for (const from of [position, ...behind]) {
      const bytes = new Uint8Array(FIRST_BYTES);
      const read = await files.read(from, bytes);
      this.#pieces.push({ from, bytes: bytes.subarray(0, read), isLast: read < bytes.length });
    }
  }

  /** Lets go of what is not needed any more. */
  forgetBefore(position: number): void {
    this.#pieces = this.#pieces.filter(({ from, bytes }) => from + bytes.length > position);
  }
}

/** The bytes of the block in which the log ends, up to there. */
export async function lastBlock(
  aio: LogAio,
  directory: string,
  segmentBytes: number,
  end: number,
  blockBytes: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(end % blockBytes);
  const files = new LogFiles(aio, directory, segmentBytes);
  try {
    if (bytes.length > 0) await files.read(end - bytes.length, bytes);
    return bytes;
  } finally {
    await files.close();
  }
}

/** The segments of a log that nobody writes. */
class LogFiles {
  /** Of those that are there, in order. */
  readonly numbers: ReadonlySet<number>;
  readonly #aio: LogAio;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #open = new Map<number, AioFile>();

  constructor(aio: LogAio, directory: string, segmentBytes: number) {
    this.#aio = aio;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.numbers = new Set(segmentNumbers(directory));
  }

  /** The file of a position, and where in it that is; null: there is no such file. */
  async at(position: number): Promise<{ file: AioFile; offset: number } | null> {
    const number = Math.floor(position / this.#segmentBytes);
    if (!this.numbers.has(number)) return null;
    let file = this.#open.get(number);
    if (file === undefined) {
      await this.close();
      const path = segmentPath(this.#directory, number);
      file = await this.#aio.openFile(path, { read: true, write: true });
      this.#open.set(number, file);
    }
    return { file, offset: position - number * this.#segmentBytes };
  }

  /** Reads what a segment has from a position on. @returns bytes */
  async read(position: number, into: Uint8Array): Promise<number> {
    const found = await this.at(position);
    if (found === null) return 0;
    const bytes = Math.min(into.length, this.#segmentBytes - found.offset);
    return await found.file.readAt(into.subarray(0, bytes), found.offset);
  }

  /**
   * Looks whether all segments are there that a part of the log is in.
   *
   * @throws {Deno.errors.InvalidData}
   */
  async checkWhole(start: number, end: number): Promise<void> {
    for (let number = Math.floor(start / this.#segmentBytes);; number++) {
      const from = Math.max(start, number * this.#segmentBytes);
      if (from >= end) return;
      const found = await this.at(from);
      const bytes = found === null ? 0 : await found.file.size();
      if (bytes === this.#segmentBytes) continue;
      const path = shown(segmentPath(this.#directory, number));
      throw new Deno.errors.InvalidData(
        `Cannot open the log in ${shown(this.#directory)}: ` +
          (found === null ? `${path} is missing` : `${path} has ${bytes} bytes`) +
          `, and was whole: restore it from a copy of the log`,
      );
    }
  }

  async close(): Promise<void> {
    for (const file of this.#open.values()) await file.close();
    this.#open.clear();
  }
}

/** Writes a part of the log anew, and flushes the files that it is in. */
async function rewrite(files: LogFiles, from: number, to: number): Promise<void> {
  const buffer = new Uint8Array(COPY_BYTES);
  for (let at = from; at < to;) {
    const bytes = buffer.subarray(0, Math.min(buffer.length, to - at));
    const read = await files.read(at, bytes);
    const found = await files.at(at);
    if (found === null || read === 0) return;
    await found.file.writeAt(bytes.subarray(0, read), found.offset, { durable: true });
    at += read;
  }
}
