/**
 * log_reader.ts: reads the log from a position on, up to where it is durable, and on as it grows.
 *
 * @module
 */

import { join } from "node:path";
import { type Backend, onAbort, shown } from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import { LOG, type LogMemory } from "./log_memory.ts";
import { FragmentReader, RecordAssembler } from "./record_reader.ts";
import { segmentName } from "./segment_names.ts";
import type { Segments } from "./segments.ts";

/** A record of a log. */
export interface LogRecord {
  /** Where it begins in the log. */
  readonly position: number;
  /** What was appended; the reader's own. */
  readonly data: Uint8Array;
}

/** What `log.read()` takes. */
export interface LogReadOptions {
  /** The position of the first record. Default: where the log begins. */
  readonly from?: number | undefined;
  /** Records that begin before it. Default: all that are durable when reading begins. */
  readonly until?: number | undefined;
  /** Whether it waits for records that are not there yet, without end. Default: false. */
  readonly follow?: boolean | undefined;
  /** Ends it: the call under way rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What reading needs of the thread. */
export interface LogReaderHost {
  readonly memory: LogMemory;
  readonly backend: Backend;
  readonly segments: Segments;
  readonly directory: string;
  /** Opens a file for reading. */
  open(path: string): Promise<AioFile>;
}

/** The longest fragment fits several times. */
const CHUNK_BYTES = 512 * 1024;

/** One reading of a log. */
export class LogReader {
  readonly #host: LogReaderHost;
  readonly #options: LogReadOptions;
  readonly #fragments: FragmentReader;
  readonly #assembler = new RecordAssembler();
  readonly #until: number;
  /** Where the next fragment begins. */
  #at: number;
  #openingMin = 0;
  #file: { readonly number: number; readonly file: AioFile } | null = null;

  /**
   * @param host of this thread
   * @param options checked
   */
  constructor(host: LogReaderHost, options: LogReadOptions) {
    this.#host = host;
    this.#options = options;
    const { memory } = host;
    this.#fragments = new FragmentReader(memory.segmentBytes, memory.identity);
    this.#at = options.from ?? memory.start;
    this.#until = options.until ?? (options.follow === true ? Infinity : memory.flushed);
  }

  /** The records, one after another. */
  async *records(): AsyncGenerator<LogRecord, void, void> {
    try {
      while (await this.#hasMore()) {
        const bytes = await this.#load();
        yield* this.#recordsIn(bytes);
      }
    } finally {
      await this.#file?.file.close();
    }
  }

  /** Waits until there is something to read. @returns false: nothing follows */
  async #hasMore(): Promise<boolean> {
    const { memory, memory: { words } } = this.#host;
    for (;;) {
      this.#options.signal?.throwIfAborted();
      if (!this.#isWanted) return false;
      const seen = Atomics.load(words, LOG.change);
      if (this.#at < memory.flushed) return true;
      if (this.#options.follow !== true) return false;
      await this.#changed(seen);
    }
  }

  /** A record that begins before `until` may end behind it. */
  get #isWanted(): boolean {
    return this.#at < this.#until || this.#assembler.openAt >= 0;
  }

  async #changed(seen: number): Promise<void> {
    const { memory: { change }, backend: { wordWaits } } = this.#host;
    const { signal } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { completed: resolve };
    const ignoreAbort = signal === undefined ? null : onAbort(signal, () => {
      wordWaits.forget(waiter);
      resolve();
    });
    if (!wordWaits.whenChanged(change, seen, waiter)) await promise;
    ignoreAbort?.();
  }

  /** Reads what is durable of the segment, from the next fragment on. */
  async #load(): Promise<Uint8Array> {
    const { memory: { segmentBytes, blockBytes, flushed } } = this.#host;
    const number = Math.floor(this.#at / segmentBytes);
    const begin = number * segmentBytes;
    const file = await this.#open(number);
    const from = this.#at - begin;
    const to = Math.min(flushed - begin, segmentBytes, from + CHUNK_BYTES);
    const first = from - from % blockBytes;
    const bytes = new Uint8Array(Math.ceil((to - first) / blockBytes) * blockBytes);
    const read = await file.readAt(bytes, first);
    if (read < to - first) this.#refuse("its file is too short");
    return bytes.subarray(from - first, to - first);
  }

  async #open(number: number): Promise<AioFile> {
    if (this.#file?.number === number) return this.#file.file;
    await this.#file?.file.close();
    this.#file = null;
    this.#checkStart();
    const file = await this.#host.open(this.#host.segments.pathOf(number));
    this.#file = { number, file };
    return file;
  }

  /** What is no longer kept may be anything by now. */
  #checkStart(): void {
    const { memory: { start }, directory } = this.#host;
    if (this.#at >= start) return;
    throw new Deno.errors.NotFound(
      `Cannot read the log in ${shown(directory)} at ${this.#at}: it begins at ${start}`,
    );
  }

  *#recordsIn(bytes: Uint8Array): Generator<LogRecord, void, void> {
    const { opening } = this.#host.memory;
    const fragments = this.#fragments;
    const begin = this.#at;
    while (this.#at - begin < bytes.length && this.#isWanted) {
      const index = this.#at - begin;
      const state = fragments.read(bytes, index, this.#at, this.#openingMin, opening);
      if (state === "cut off" && index > 0) return;
      if (state !== "valid") {
        // A segment that was given up meanwhile may have another record there.
        this.#checkStart();
        this.#refuse(`it is ${state}`);
      }
      this.#openingMin = fragments.opening;
      this.#at = fragments.end;
      if (this.#assembler.push(fragments)) {
        yield { position: this.#assembler.position, data: this.#assembler.data };
      }
    }
  }

  #refuse(why: string): never {
    const { memory: { segmentBytes }, directory } = this.#host;
    const number = Math.floor(this.#at / segmentBytes);
    const path = join(directory, segmentName(number));
    throw new Deno.errors.InvalidData(
      `Cannot read the record at ${this.#at} of the log, byte ${this.#at % segmentBytes} of ` +
        `${shown(path)}: ${why}`,
    );
  }
}
