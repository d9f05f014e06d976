/**
 * log_reader.ts: reads the log from a position on, up to where it is durable, and on as it grows:
 * it makes records of what log_bytes.ts loads.
 *
 * @module
 */

import { onAbort, shown } from "../../core/inside.ts";
import { LogBytes, type LogBytesHost } from "./log_bytes.ts";
import { LOG } from "./log_memory.ts";
import { FragmentReader, RecordAssembler } from "./record_reader.ts";
import { segmentPath } from "./segment_names.ts";

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
export interface LogReaderHost extends LogBytesHost {
  readonly directory: string;
  readonly readers: LogReaders;
}

/** The readings of a log in this thread that have begun and not ended. */
export class LogReaders {
  readonly #active = new Set<LogReader>();
  #ended: { readonly error: unknown } | null = null;

  /** Takes one in. @throws the error, once they were ended */
  begin(reader: LogReader): void {
    if (this.#ended !== null) throw this.#ended.error;
    this.#active.add(reader);
  }

  /** One has ended. */
  leave(reader: LogReader): void {
    this.#active.delete(reader);
  }

  /** Ends all of them, and those that have not begun: nothing of them is in flight afterwards. */
  async end(error: unknown): Promise<void> {
    this.#ended = { error };
    await Promise.allSettled([...this.#active].map((reader) => reader.end(error)));
  }
}

/** One reading of a log. */
export class LogReader {
  readonly #host: LogReaderHost;
  readonly #options: LogReadOptions;
  readonly #bytes: LogBytes;
  readonly #fragments: FragmentReader;
  readonly #assembler = new RecordAssembler();
  readonly #until: number;
  /** Where the next fragment begins. */
  #at: number;
  /** The segment that it is in; -1: none yet. */
  #number = -1;
  #openingMin = 0;
  /** What its calls reject with from now on. */
  #ended: { readonly error: unknown } | null = null;
  #wake: () => void = () => {};

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
    this.#bytes = new LogBytes(host, this.#until);
  }

  /** The records, one after another. */
  async *records(): AsyncGenerator<LogRecord, void, void> {
    const { readers } = this.#host;
    const { signal } = this.#options;
    readers.begin(this);
    const ignoreAbort = signal === undefined ? null : onAbort(signal, (reason) => {
      this.#endWith(reason);
    });
    try {
      signal?.throwIfAborted();
      while (await this.#hasMore()) {
        const bytes = await this.#load();
        const begin = this.#at;
        while (this.#at - begin < bytes.length && this.#isWanted) {
          if (!this.#readFragment(bytes, this.#at - begin)) break;
          if (!this.#assembler.push(this.#fragments)) continue;
          yield { position: this.#assembler.position, data: this.#assembler.data };
          this.#check();
        }
      }
    } finally {
      ignoreAbort?.();
      readers.leave(this);
      await this.#bytes.close();
    }
  }

  /** Ends it: the call under way rejects with the error, or the next one. */
  async end(error: unknown): Promise<void> {
    this.#endWith(error);
    await this.#bytes.close();
  }

  #endWith(error: unknown): void {
    this.#ended ??= { error };
    this.#wake();
  }

  /** @throws why it has ended; nothing of the log's memory may be used then */
  #check(): void {
    if (this.#ended !== null) throw this.#ended.error;
  }

  /** Waits until there is something to read. @returns false: nothing follows */
  async #hasMore(): Promise<boolean> {
    const { memory, memory: { words } } = this.#host;
    for (;;) {
      this.#check();
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
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { completed: resolve };
    this.#wake = () => {
      wordWaits.forget(waiter);
      resolve();
    };
    if (!wordWaits.whenChanged(change, seen, waiter)) await promise;
    this.#wake = () => {};
  }

  /** Loads what is durable, from the next fragment on. */
  async #load(): Promise<Uint8Array> {
    const number = Math.floor(this.#at / this.#host.memory.segmentBytes);
    if (number !== this.#number) this.#checkStart();
    this.#number = number;
    let bytes: Uint8Array | null;
    try {
      bytes = await this.#bytes.load(this.#at);
    } catch (error) {
      // A file that is closed under a read says only that.
      this.#check();
      throw error;
    }
    this.#check();
    return bytes ?? this.#refuse("its file is too short");
  }

  /** What is no longer kept may be anything by now. */
  #checkStart(): void {
    const { memory: { start }, directory } = this.#host;
    if (this.#at >= start) return;
    throw new Deno.errors.NotFound(
      `Cannot read the log in ${shown(directory)} at ${this.#at}: it begins at ${start}`,
    );
  }

  /** Reads the next fragment. @returns false: these bytes end within it */
  #readFragment(bytes: Uint8Array, index: number): boolean {
    const fragments = this.#fragments;
    const { opening } = this.#host.memory;
    const state = fragments.read(bytes, index, this.#at, this.#openingMin, opening);
    if (state === "cut off" && index > 0) return false;
    if (state !== "valid") {
      // A segment that was given up meanwhile may have another record there.
      this.#checkStart();
      this.#refuse(`no record begins there, or it is ${state}`);
    }
    this.#openingMin = fragments.opening;
    this.#at = fragments.end;
    return true;
  }

  #refuse(why: string): never {
    const { memory: { segmentBytes }, directory } = this.#host;
    const number = Math.floor(this.#at / segmentBytes);
    const path = segmentPath(directory, number);
    throw new Deno.errors.InvalidData(
      `Cannot read the record at ${this.#at} of the log, byte ${this.#at % segmentBytes} of ` +
        `${shown(path)}: ${why}`,
    );
  }
}
