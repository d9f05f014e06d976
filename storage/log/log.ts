/**
 * log.ts: {@linkcode Log}, a durable log of records, for all tasks and threads.
 *
 * @module
 */

import { called, calledFor, calling, INSPECT, shown } from "../../core/inside.ts";
import type { FileToken } from "../../core/mod.ts";
import type { LogFlush } from "./log_flush.ts";
import type { LogInsert } from "./log_insert.ts";
import {
  LogReader,
  type LogReaderHost,
  type LogReadOptions,
  type LogRecord,
} from "./log_reader.ts";
import type { LogFigures, LogStats } from "./log_stats.ts";
import { truncateBefore, type UpkeepParts } from "./log_upkeep.ts";

/** Names a log, for `aio.attachLog()` in any thread; can be posted to Workers. */
export interface LogToken {
  /** What it is. */
  readonly kind: "deno-aio log";
  /** The layout of shared memory. */
  readonly version: number;
  /** Which Aio. */
  readonly identity: readonly [number, number];
  /** Where it is in the arena. */
  readonly offset: number;
  /** Which log was there. */
  readonly serial: number;
  /** Where its files are. */
  readonly directory: string;
  /** The file whose lock keeps other programs out. */
  readonly lock: FileToken;
}

/** What reading the log back at its opening has found. */
export interface LogRecovery {
  /** Where the log goes on. */
  readonly end: number;
  /**
   * Why it ends there: `"closed"`: it was closed there; `"missing"`: it is new, or its next file is
   * not there yet; `"empty"`: nothing follows, though it was not closed; `"torn or damaged"`: what
   * follows is no whole record, as a crash cut it off; `"stale"`: what follows was cut off by an
   * earlier crash; `"attached"`: it was open already.
   */
  readonly stop: "closed" | "missing" | "empty" | "torn or damaged" | "stale" | "attached";
}

/** What a log is made of in one thread. */
export interface LogHost extends LogReaderHost, UpkeepParts {
  readonly token: LogToken;
  readonly recovery: LogRecovery;
  readonly insert: LogInsert;
  readonly flush: LogFlush;
  readonly stats: LogStats;
  /** All logs of this thread. */
  readonly logs: Iterable<Log>;
  /** Leaves the log: closes files, and gives back what the last user gives back. */
  leave(): Promise<void>;
}

/** Makes the log's door. */
export let makeLog: (host: LogHost) => Log;

/**
 * A durable log of records: what was appended is there after any crash, whole, once and in order.
 * From `aio.openLog()` and `aio.attachLog()`.
 *
 * A record's *position* is where it begins in the log, in bytes; positions only grow. All tasks and
 * threads share the flushes: one is under way at a time, and whoever comes meanwhile shares the
 * next one.
 */
export class Log implements AsyncDisposable {
  /** Where its files are: an absolute path. */
  readonly directory: string;
  /** Names this log, for `aio.attachLog()` in any thread; can be posted to Workers. */
  readonly token: LogToken;
  /** What its opening has found. */
  readonly recovery: LogRecovery;
  readonly #host: LogHost;
  #closed: Promise<void> | null = null;
  /** What its memory said at last: another log may have that once this one was left. */
  #last: Readonly<{ start: number; end: number; flushed: number; figures: LogFigures }> | null =
    null;
  /** Those under way: what they write to is another log's once this one was left. */
  readonly #truncations = new Set<Promise<void>>();

  /** @ignore */
  private constructor(host: LogHost) {
    this.#host = host;
    this.directory = host.directory;
    this.token = host.token;
    this.recovery = host.recovery;
  }

  static {
    makeLog = (host) => new Log(host);
  }

  /** One line for `console.log(log)`. */
  [INSPECT](): string {
    const state = this.isClosed ? "closed" : `${this.start} to ${this.end}`;
    return `Log ${shown(this.directory)} (${state})`;
  }

  /** Whether {@linkcode close} was called. */
  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** Where it begins: nothing before is kept. */
  get start(): number {
    return this.#last?.start ?? this.#host.memory.start;
  }

  /** Where the next record begins, whatever is durable. */
  get end(): number {
    return this.#last?.end ?? this.#host.memory.inserted;
  }

  /** Everything before is durable; a record ends there. */
  get flushed(): number {
    return this.#last?.flushed ?? this.#host.memory.flushed;
  }

  /**
   * Appends a record, or several one after another.
   *
   * @param data of a record, or a list; it must not change until the promise settles
   * @returns the position, or those of the list, once all is durable
   * @throws {TypeError} for data that is no Uint8Array
   * @throws {RangeError} for a record that is larger than a segment
   * @throws {Deno.errors.BadResource} if the log is closed
   * @throws what the system says. Whether the record is in the log is not known then: after a flush
   *   that failed, all calls reject, in every thread, until the log is opened again.
   */
  append(data: Uint8Array): Promise<number>;
  /** The same of several records, one after another. */
  append(data: readonly Uint8Array[]): Promise<number[]>;
  append(data: Uint8Array | readonly Uint8Array[]): Promise<number | number[]> {
    try {
      const { insert, flush } = this.#host;
      this.#check("append to", data);
      if (!(data instanceof Uint8Array)) return called(this.#appendAll(data));
      const position = insert.tryInsert(data);
      if (position >= 0) return calledFor(flush.join(insert.end - 1), position);
      return called(this.#appendSlowly(data));
    } catch (error) {
      return called(Promise.reject(error));
    }
  }

  async #appendSlowly(data: Uint8Array): Promise<number> {
    const { position, end } = await this.#host.insert.insert(data);
    await this.#host.flush.join(end - 1);
    return position;
  }

  async #appendAll(list: readonly Uint8Array[]): Promise<number[]> {
    const { insert, flush } = this.#host;
    const positions: number[] = [];
    let last = -1;
    for (const data of list) {
      const position = insert.tryInsert(data);
      const inserted = position >= 0 ? { position, end: insert.end } : await insert.insert(data);
      positions.push(inserted.position);
      last = inserted.end - 1;
    }
    if (last >= 0) await flush.join(last);
    return positions;
  }

  /**
   * As {@linkcode append}, blocking the thread.
   *
   * @throws {Deno.errors.Busy} while this thread awaits a flush of any log, or room in its buffer
   */
  appendSync(data: Uint8Array): number;
  /** The same of several records, one after another. */
  appendSync(data: readonly Uint8Array[]): number[];
  appendSync(data: Uint8Array | readonly Uint8Array[]): number | number[] {
    return calling(Log.prototype.appendSync, () => {
      const { insert, flush } = this.#host;
      this.#check("append to", data);
      this.#checkBlocking("append to");
      const list = data instanceof Uint8Array ? [data] : data;
      const positions = list.map((one) => insert.insertSync(one));
      if (positions.length > 0) flush.joinSync(insert.end - 1);
      return data instanceof Uint8Array ? positions[0]! : positions;
    });
  }

  /**
   * Puts a record into the log, without waiting until it is durable. The next flush of anybody, in
   * any thread, takes it along.
   *
   * @param data of the record; it may change afterwards
   * @returns the position
   * @throws {Deno.errors.Busy} if the buffer has no room for it: `await log.flush()` makes some
   * @throws as {@linkcode append}
   */
  write(data: Uint8Array): number {
    return calling(Log.prototype.write, () => {
      this.#check("write to", data);
      const position = this.#host.insert.tryInsert(data);
      if (position >= 0) return position;
      throw new Deno.errors.Busy(
        `Cannot write ${data.length} bytes to the log in ${shown(this.directory)}: its buffer of ` +
          `${this.#host.memory.ring.length} bytes has no room now; await log.flush(), or open it ` +
          'with a larger "bufferBytes"',
      );
    });
  }

  /**
   * Makes what was written durable.
   *
   * @param position of the last record that is wanted. Default: all of them
   * @throws {RangeError} if it lies behind all that was written
   * @throws what the system says
   */
  flush(position?: number): Promise<void> {
    return called(Promise.try(async () => {
      this.#check("flush");
      const last = this.#lastWanted(position);
      if (last >= this.flushed) await this.#host.flush.join(last);
      else this.#host.flush.check();
    }));
  }

  /**
   * As {@linkcode flush}, blocking the thread.
   *
   * @throws {Deno.errors.Busy} as {@linkcode appendSync}
   */
  flushSync(position?: number): void {
    calling(Log.prototype.flushSync, () => {
      this.#check("flush");
      this.#checkBlocking("flush");
      const last = this.#lastWanted(position);
      if (last >= this.flushed) this.#host.flush.joinSync(last);
      else this.#host.flush.check();
    });
  }

  /** A position that is durable with the last record that is wanted. */
  #lastWanted(position: number | undefined): number {
    if (position === undefined) return this.end - 1;
    if (Number.isSafeInteger(position) && position >= 0 && position < this.end) return position;
    throw new RangeError(
      `Cannot flush the log in ${shown(this.directory)} up to ${shown(position)}: ` +
        `pass the position of a record, below ${this.end}`,
    );
  }

  /**
   * Reads records, in order, up to where the log is durable; what is behind them is read ahead of
   * its use. {@linkcode close} ends it.
   *
   * @param options which, and whether to wait for more
   * @returns them, with their positions
   * @throws {TypeError} or {RangeError} for options that cannot be
   * @throws {Deno.errors.NotFound} for what is no longer kept
   * @throws {Deno.errors.InvalidData} for a position at which no record begins, or a damaged one
   */
  read(options: LogReadOptions = {}): AsyncGenerator<LogRecord, void, void> {
    return calling(Log.prototype.read, () => {
      this.#check("read");
      checkRead(this.directory, options, this.flushed);
      return new LogReader(this.#host, options).records();
    });
  }

  /**
   * Gives up what is before a position: it cannot be read any more, and files that are wholly
   * before it are used again or removed. As many as the log had are kept for what comes next, 64 at
   * most: they need not be filled with zeros once more.
   *
   * @param position of the first record that is kept, or `flushed`: none is
   * @throws {RangeError} if it is not durable yet, or no record begins there
   * @throws what the system says
   */
  truncateBefore(position: number): Promise<void> {
    return called(Promise.try(() => {
      this.#check("truncate");
      if (!Number.isSafeInteger(position) || position < 0) {
        throw new RangeError(
          `Cannot truncate the log in ${shown(this.directory)} before ${shown(position)}: ` +
            "pass the position of a record",
        );
      }
      const done = truncateBefore(this.#host, position).finally(() => {
        this.#truncations.delete(done);
      });
      this.#truncations.add(done);
      return done;
    }));
  }

  /** What all threads have done with it since it was opened. */
  stats(): LogFigures {
    return this.#last?.figures ?? this.#host.stats.figures();
  }

  #check(verb: string, data?: Uint8Array | readonly Uint8Array[]): void {
    if (this.isClosed) throw new Deno.errors.BadResource(`${this.#cannot(verb)}: it is closed`);
    if (data === undefined) return;
    this.#host.flush.check();
    if (!Array.isArray(data)) this.#checkData(verb, data);
    else for (const one of data) this.#checkData(verb, one);
  }

  #checkData(verb: string, data: unknown): void {
    if (!(data instanceof Uint8Array)) {
      const what = this.#cannot(verb);
      throw new TypeError(`${what} ${shown(data)}: pass a Uint8Array, or a list of them`);
    }
    const { segmentBytes } = this.#host.memory;
    if (data.length <= segmentBytes) return;
    const what = `${this.#cannot(verb)} a record of ${data.length} bytes`;
    throw new RangeError(`${what}: at most ${segmentBytes}, its "segmentBytes"`);
  }

  #cannot(verb: string): string {
    return `Cannot ${verb} the log in ${shown(this.directory)}`;
  }

  /**
   * Refuses to block while this thread awaits a flush of any log, or room in one: none of that goes
   * on meanwhile, and what is waited for may need it, by way of another thread.
   *
   * @throws {Deno.errors.Busy}
   */
  #checkBlocking(verb: string): void {
    for (const log of this.#host.logs) {
      const { flush, insert } = log.#host;
      if (!flush.isLeading && !insert.isWaiting) continue;
      const which = log === this ? "it" : `the one in ${shown(log.directory)}`;
      const awaited = flush.isLeading ? `a flush of ${which}` : `room in the buffer of ${which}`;
      throw new Deno.errors.Busy(
        `${this.#cannot(verb)}, blocking, while this thread awaits ${awaited}: await that first`,
      );
    }
  }

  /**
   * Leaves the log: all that was written is made durable first. What this thread still reads of it
   * rejects. The log is closed with its last user in any thread. Calling it again does nothing.
   *
   * @throws what the system says, or the error of a flush that failed before; it is closed all the
   *   same
   */
  close(): Promise<void> {
    return called(this.#closed ??= this.#leave());
  }

  async #leave(): Promise<void> {
    const { insert, flush, memory, readers } = this.#host;
    try {
      const closed = new Deno.errors.BadResource(`${this.#cannot("read")}: it was closed`);
      await readers.end(closed);
      await insert.idle();
      if (memory.inserted > memory.flushed) await flush.join(memory.inserted - 1);
      flush.check();
    } finally {
      await Promise.allSettled(this.#truncations);
      await flush.idle();
      const { start, end, flushed } = this;
      this.#last = { start, end, flushed, figures: this.stats() };
      await this.#host.leave();
    }
  }

  /** {@linkcode close}, quiet where that was called and has thrown already. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#closed === null ? this.close() : this.#closed.catch(() => {});
  }
}

const READ_OPTIONS: readonly string[] = ["from", "until", "follow", "signal"];

function checkRead(directory: string, options: LogReadOptions, flushed: number): void {
  const what = `Cannot read the log in ${shown(directory)}`;
  for (const name of Object.keys(options)) {
    if (READ_OPTIONS.includes(name)) continue;
    throw new TypeError(`${what}: unknown option "${name}": known are ${READ_OPTIONS.join(", ")}`);
  }
  const { from = 0, until = 0, follow = false, signal } = options;
  for (const [name, value] of Object.entries({ from, until })) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new RangeError(`${what}: "${name}" must be a position: got ${shown(value)}`);
  }
  if (from > flushed) {
    throw new RangeError(`${what} from ${from}: it is durable up to ${flushed}`);
  }
  if (typeof follow !== "boolean") {
    throw new TypeError(`${what}: "follow" must be a boolean: got ${shown(follow)}`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`${what}: "signal" must be an AbortSignal: got ${shown(signal)}`);
  }
  signal?.throwIfAborted();
}
