/**
 * segments.ts: the files of a log, as one thread has them. Segment n has the positions from n times
 * `segmentBytes` on; it is there, full of zeros, before anything is written to it, so that a write
 * changes no size and allocates nothing.
 *
 * ```text
 * 0000000000000007.log        a segment
 * 0000000000000008.log.x.new  what is to be one: it gets its name when it is whole and durable
 * control, lock
 * ```
 *
 * One thread at a time makes segments ahead, the *preparer*. A name is given by a hard link, which
 * never replaces a file. So it does no harm where another one makes the same segment, as it needs
 * it now: the second one finds that it is there.
 *
 * @module
 */

import {
  type Backend,
  get,
  type OpenFileOptions,
  runSteps,
  type Steps,
  wakeWord,
} from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import type { LogCalls } from "./calls.ts";
import { LOG, LOG_FLAGS, type LogMemory } from "./log_memory.ts";
import { NEW_SUFFIX, segmentNumbers, segmentPath } from "./segment_names.ts";

const ZEROS_BYTES = 1024 * 1024;
/** A thread keeps so many open: the one that is written, and the one before. */
const OPEN_MAX = 2;

/** A path that no file has, or had, for one that is to be a segment. */
function newPath(directory: string, number: number): string {
  return `${segmentPath(directory, number)}.${crypto.randomUUID()}${NEW_SUFFIX}`;
}

/** Makes the file of a segment. @returns whether it was not there yet */
export function* makeSegment(
  calls: LogCalls,
  directory: string,
  number: number,
  bytes: number,
): Steps<boolean> {
  const path = segmentPath(directory, number);
  const temporary = newPath(directory, number);
  const file = yield* get(calls.open(temporary, { write: true, createNew: true }));
  try {
    const zeros = new Uint8Array(ZEROS_BYTES);
    for (let at = 0; at < bytes; at += zeros.length) {
      const part = zeros.subarray(0, Math.min(zeros.length, bytes - at));
      yield* get(calls.write(file, [part], at, false));
    }
    yield* get(calls.sync(file));
    yield* get(calls.close(file));
    return yield* name(calls, temporary, path);
  } finally {
    // Where that failed it is open still; the name is gone anyway.
    if (!file.isClosed) yield* get(calls.close(file));
    yield* get(calls.remove(temporary));
    yield* get(calls.syncDirectory(directory));
  }
}

function* name(calls: LogCalls, from: string, to: string): Steps<boolean> {
  try {
    yield* get(calls.link(from, to));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** The segments of one log, in one thread. */
export class Segments {
  readonly #memory: LogMemory;
  readonly #directory: string;
  readonly #bells: Backend["doorbells"];
  readonly #ownMark: number;
  readonly #files = new Map<number, AioFile>();
  /** What goes on beside the log's calls, and never rejects. */
  readonly #background = new Set<Promise<void>>();

  /**
   * @param memory of the log
   * @param directory of its files
   * @param backend of this thread
   */
  constructor(memory: LogMemory, directory: string, backend: Backend) {
    this.#memory = memory;
    this.#directory = directory;
    this.#bells = backend.doorbells;
    this.#ownMark = backend.id + 1;
  }

  /** How a segment's file is opened to be read. */
  get readOptions(): OpenFileOptions {
    return { direct: (this.#memory.flags & LOG_FLAGS.readsDirect) !== 0 ? "required" : "off" };
  }

  get #writeOptions(): OpenFileOptions {
    const isDirect = (this.#memory.flags & LOG_FLAGS.direct) !== 0;
    return { read: true, write: true, direct: isDirect ? "required" : "off" };
  }

  /** The path of a segment. */
  pathOf(number: number): string {
    return segmentPath(this.#directory, number);
  }

  /** The file of a segment that is written, made if it is not there. */
  *toWrite(number: number, calls: LogCalls): Steps<AioFile> {
    const open = this.#files.get(number);
    if (open !== undefined) return open;
    yield* this.#haveMade(number, calls);
    const file = yield* get(calls.open(this.pathOf(number), this.#writeOptions));
    // Two tasks of a thread may have opened it.
    const other = this.#files.get(number);
    if (other !== undefined) {
      yield* get(calls.close(file));
      return other;
    }
    this.#files.set(number, file);
    yield* this.#closeOldest(number, calls);
    return file;
  }

  /**
   * Beside the flush where that can be: on a network it takes long.
   *
   * @param kept the one that is written next: the oldest, where a flush begins anew
   */
  *#closeOldest(kept: number, calls: LogCalls): Steps<void> {
    while (this.#files.size > OPEN_MAX) {
      const others = [...this.#files.keys()].filter((number) => number !== kept);
      const oldest = Math.min(...others);
      const file = this.#files.get(oldest)!;
      this.#files.delete(oldest);
      const closed = calls.close(file);
      if (calls.areBlocking) yield* get(closed);
      else this.#goOn(Promise.resolve(closed));
    }
  }

  /** Beside the log's calls. What goes wrong shows when it is needed, or has been said before. */
  #goOn(work: Promise<void>): void {
    const done = work.catch(() => {}).finally(() => this.#background.delete(done));
    this.#background.add(done);
  }

  /**
   * Makes a segment that is not there, or waits until this thread has done so beside. Another
   * thread is not waited for: it may block until the flush is over that needs the segment.
   */
  *#haveMade(number: number, calls: LogCalls): Steps<void> {
    const { words, change } = this.#memory;
    while (this.#preparedNear(number) <= number) {
      const seen = Atomics.load(words, LOG.change);
      const isMaking = Atomics.load(words, LOG.preparer) === this.#ownMark;
      if (isMaking && !calls.areBlocking) yield* get(calls.changed(change, seen));
      else yield* this.#make(number, calls);
    }
  }

  *#make(number: number, calls: LogCalls): Steps<void> {
    const { segmentBytes } = this.#memory;
    for (let next = this.#preparedNear(number); next <= number; next++) {
      yield* makeSegment(calls, this.#directory, next, segmentBytes);
      this.#notePrepared(next);
    }
  }

  #notePrepared(number: number): void {
    const { words } = this.#memory;
    for (;;) {
      const prepared = this.#preparedNear(number);
      if (prepared > number) return;
      const before = prepared | 0;
      if (Atomics.compareExchange(words, LOG.prepared, before, number + 1) === before) return;
    }
  }

  /**
   * The number of the first segment that is not there yet.
   *
   * @param number of one that is less than 2 ** 31 away, as any in use is
   */
  #preparedNear(number: number): number {
    return number + (Atomics.load(this.#memory.words, LOG.prepared) - number | 0);
  }

  /** Has the segment behind one made, if no thread does so. */
  prepareBehind(number: number, calls: LogCalls): void {
    const { words } = this.#memory;
    if (calls.areBlocking || this.#preparedNear(number) > number + 1) return;
    if (Atomics.compareExchange(words, LOG.preparer, 0, this.#ownMark) !== 0) return;
    this.#goOn(runSteps(this.#make(number + 1, calls)).finally(() => this.letGo()));
  }

  /** Waits until no other thread makes, moves or removes segments. */
  *takeOver(calls: LogCalls): Steps<void> {
    const { words, change } = this.#memory;
    for (;;) {
      const seen = Atomics.load(words, LOG.change);
      if (Atomics.compareExchange(words, LOG.preparer, 0, this.#ownMark) === 0) return;
      yield* get(calls.changed(change, seen));
    }
  }

  /** Others may do so again. */
  letGo(): void {
    const { words, change } = this.#memory;
    Atomics.store(words, LOG.preparer, 0);
    Atomics.add(words, LOG.change, 1);
    wakeWord(this.#bells, change);
  }

  /**
   * Gives up all segments before one: as many as may be made ahead are used again.
   *
   * @param first the number of the first that is kept
   * @param spare how many may be made ahead
   */
  *removeBefore(first: number, spare: number, calls: LogCalls): Steps<void> {
    const { inserted, segmentBytes } = this.#memory;
    const present = Math.floor(inserted / segmentBytes);
    for (const number of segmentNumbers(this.#directory)) {
      if (number >= first) continue;
      if (this.#preparedNear(present) - present <= spare) {
        yield* this.#useAgain(number, calls);
      } else yield* get(calls.remove(this.pathOf(number)));
    }
    yield* get(calls.syncDirectory(this.#directory));
  }

  /**
   * Makes a segment that is given up the next one. Its old name goes first, for good: if this fails
   * or its thread dies before the end, no other one finds the file there and gives it yet another
   * number. What it leaves then the next opening removes.
   */
  *#useAgain(number: number, calls: LogCalls): Steps<void> {
    const temporary = newPath(this.#directory, number);
    yield* get(calls.rename(this.pathOf(number), temporary));
    try {
      const next = this.#preparedNear(number);
      if (yield* name(calls, temporary, this.pathOf(next))) {
        yield* get(calls.syncDirectory(this.#directory));
        this.#notePrepared(next);
      }
    } finally {
      yield* get(calls.remove(temporary));
    }
  }

  /** Closes all files, once what goes on beside is over. */
  async close(): Promise<void> {
    await Promise.all(this.#background);
    // What closing says a flush has said before.
    await Promise.allSettled([...this.#files.values()].map((file) => file.close()));
    this.#files.clear();
  }
}
