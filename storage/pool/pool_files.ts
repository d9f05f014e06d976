/**
 * pool_files.ts: the files of a pool. One file opened twice is one file: its number in the pool
 * belongs to the device and the inode. A thread that uses one keeps it open for the pool, so that
 * its changed pages can be written back; the last to leave it forgets its pages.
 *
 * The number of a file that all have left becomes another one's. A task may wait meanwhile that
 * still has it: so a thread counts how often it has left the file of a number, its *uses*, and
 * whoever has waited looks whether the use is still that with which it began.
 *
 * @module
 */

import {
  type Backend,
  type FileSlot,
  type OpenFileEntry,
  type Steps,
  wakeWord,
} from "../../core/inside.ts";
import type { FileInside } from "../file/file_inside.ts";
import { POOL, POOL_FILE, type PoolMemory } from "./pool_memory.ts";
import { extenderOf } from "./wait_words.ts";

/** Opens a file of another thread in this one; null: it was closed. */
export type AttachOpening = (slot: number, generation: number) => FileInside | null;

/** A file, as this thread uses it. */
interface OwnFile {
  /** What it reads through; null: the user has not opened it here, and it is only written. */
  reader: FileInside | null;
  /** What it writes through; null: it has none yet. */
  writer: FileInside | null;
  /** The user's openings of it, in this thread. */
  readonly openings: Set<FileInside>;
  /** The pool's own openings, which it closes. */
  readonly held: FileInside[];
  /** Resolves once a task that makes it longer has done so; null: none does. */
  growth: Promise<void> | null;
}

/** Which file it is, however it was opened. */
type FileOnDevice = Pick<
  OpenFileEntry,
  "deviceMajor" | "deviceMinor" | "inodeLow" | "inodeHigh"
>;

/** Whether that file is at a place. The caller has the lock. */
function isAt(words: Int32Array, at: number, file: FileOnDevice): boolean {
  return words[at + POOL_FILE.inodeLow] === file.inodeLow &&
    words[at + POOL_FILE.inodeHigh] === file.inodeHigh &&
    words[at + POOL_FILE.deviceMajor] === file.deviceMajor &&
    words[at + POOL_FILE.deviceMinor] === file.deviceMinor;
}

function newFile(): OwnFile {
  return { reader: null, writer: null, openings: new Set(), held: [], growth: null };
}

/** What is needed of the pool's thread. */
export interface PoolFilesHost {
  readonly memory: PoolMemory;
  readonly backend: Backend;
  locked<T>(use: () => T): T;
}

/** The files of a pool in one thread. */
export class PoolFiles {
  readonly #host: PoolFilesHost;
  readonly #attach: AttachOpening;
  readonly #bit: number;
  readonly #own = new Map<number, OwnFile>();
  readonly #numbers = new Map<FileInside, number>();
  /** How often this thread has left the file of each number. */
  readonly #uses: Int32Array;

  /**
   * None yet.
   *
   * @param host the pool's thread
   * @param attach opens a file once more
   */
  constructor(host: PoolFilesHost, attach: AttachOpening) {
    this.#host = host;
    this.#attach = attach;
    this.#bit = 1 << host.backend.id;
    this.#uses = new Int32Array(host.memory.fileCount);
  }

  /** The numbers of the files that this thread uses. */
  get numbers(): number[] {
    return [...this.#own.keys()];
  }

  /**
   * The number of an open file.
   *
   * @throws {Deno.errors.BadResource} if it is closed
   * @throws {Deno.errors.Busy} if the pool has no place for another file
   */
  numberOf(file: FileInside): number {
    return this.#numbers.get(file) ?? this.#join(file);
  }

  #join(file: FileInside): number {
    const { slot, generation } = file.token;
    const entry = this.#host.backend.files.entry({ slot, generation });
    if (entry === null) throw new Deno.errors.BadResource(`Cannot use ${file.path}: it is closed`);
    const held = this.#attach(slot, generation);
    if (held === null) throw new Deno.errors.BadResource(`Cannot use ${file.path}: it is closed`);
    const number = this.#host.locked(() => this.#enter(entry, file));
    if (number < 0) {
      held.ending.closeSync();
      throw new Deno.errors.Busy(
        `Cannot use ${file.path} with the pool while ${this.#host.memory.fileCount} files have ` +
          'pages in it: close some or raise the option "maxFiles"',
      );
    }
    const own = this.#own.get(number) ?? newFile();
    own.reader ??= held;
    if (own.writer === null && held.canWrite) own.writer = held;
    own.openings.add(file);
    own.held.push(held);
    this.#own.set(number, own);
    this.#numbers.set(file, number);
    return number;
  }

  /** Finds a file's place, or takes one. The caller has the lock. */
  #enter(entry: FileOnDevice, file: FileInside): number {
    const { memory } = this.#host;
    const { words, fileCount } = memory;
    let free = -1;
    let number = -1;
    for (let left = fileCount; left > 0 && number < 0; left--) {
      // A task that waited while its file was closed still has that file's number.
      const i = (words[POOL.nextFile]! + fileCount - left) % fileCount;
      const at = memory.fileAt(i);
      if (words[at + POOL_FILE.users] === 0) {
        if (free < 0) free = i;
      } else if (isAt(words, at, entry)) number = i;
    }
    if (number < 0) number = free;
    if (number < 0) return number;
    const at = memory.fileAt(number);
    if (words[at + POOL_FILE.users] === 0) {
      words[at + POOL_FILE.deviceMajor] = entry.deviceMajor;
      words[at + POOL_FILE.deviceMinor] = entry.deviceMinor;
      words[at + POOL_FILE.inodeLow] = entry.inodeLow;
      words[at + POOL_FILE.inodeHigh] = entry.inodeHigh;
      words[at + POOL_FILE.writer] = 0;
      words[POOL.nextFile] = (number + 1) % fileCount;
      words[at + POOL_FILE.extender] = 0;
    }
    if (file.canWrite) this.#publish(at, file);
    // Last: the place is taken once its words are there.
    Atomics.or(words, at + POOL_FILE.users, this.#bit);
    return number;
  }

  /** Whether this thread uses the file of a number: its pages keep it as long as that is so. */
  isUsed(number: number): boolean {
    return this.#own.has(number);
  }

  /** Which use of a number this thread is at: for {@linkcode checkUse}, after a wait. */
  useOf(number: number): number {
    return this.#uses[number]!;
  }

  /** Whether this thread has not left the file since. */
  isUse(number: number, use: number): boolean {
    return this.#uses[number] === use;
  }

  /** @throws {Deno.errors.BadResource} if the user has closed the file while a task waited */
  checkUse(number: number, use: number): void {
    if (this.isUse(number, use)) return;
    throw new Deno.errors.BadResource("Cannot read blocks of a file that was closed meanwhile");
  }

  /** What this thread reads a file through. @throws as {@linkcode checkUse} */
  readerOf(number: number, use: number): FileInside {
    this.checkUse(number, use);
    return this.#own.get(number)!.reader!;
  }

  /**
   * What this thread writes a file through; null: nobody has it open for writing any more. From
   * then on this thread uses the file, so that its number is no other file's. Whether it is that of
   * a page still, the caller sees afterwards.
   */
  writerOf(number: number): FileInside | null {
    const own = this.#own.get(number);
    if (own !== undefined && own.writer !== null) return own.writer;
    const { memory } = this.#host;
    const at = memory.fileAt(number);
    for (const { slot, generation } of this.#writersAt(at)) {
      const writer = this.#attach(slot, generation);
      if (writer === null) continue;
      if (!this.#isFit(writer) || !this.#host.locked(() => this.#use(at, writer))) {
        writer.ending.closeSync();
        continue;
      }
      // It may be open for nothing but writing.
      const file = own ?? newFile();
      file.writer = writer;
      file.held.push(writer);
      this.#own.set(number, file);
      return writer;
    }
    return null;
  }

  /** The opening of the thread that used the file last; then, as it may be closed, all others. */
  *#writersAt(at: number): Generator<FileSlot> {
    const { memory: { words }, backend } = this.#host;
    const last = this.#host.locked(() =>
      words[at + POOL_FILE.users] === 0 ? null : {
        slot: words[at + POOL_FILE.writer]! - 1,
        generation: words[at + POOL_FILE.writerGeneration]!,
        deviceMajor: words[at + POOL_FILE.deviceMajor]!,
        deviceMinor: words[at + POOL_FILE.deviceMinor]!,
        inodeLow: words[at + POOL_FILE.inodeLow]!,
        inodeHigh: words[at + POOL_FILE.inodeHigh]!,
      }
    );
    if (last === null) return;
    if (last.slot >= 0) yield last;
    yield* backend.files.writersOf(last);
  }

  /** Whether pages can be written through an opening. */
  #isFit({ direct, alignment }: FileInside): boolean {
    return !direct || this.#host.memory.pageBytes % alignment.offset === 0;
  }

  /** Has this thread use the file at a place, if it is that one. The caller has the lock. */
  #use(at: number, file: FileInside): boolean {
    const { memory: { words }, backend } = this.#host;
    const entry = backend.files.entry(file.slot);
    if (words[at + POOL_FILE.users] === 0 || entry === null || !isAt(words, at, entry)) {
      return false;
    }
    Atomics.or(words, at + POOL_FILE.users, this.#bit);
    this.#publish(at, file);
    return true;
  }

  /** Has other threads write through an opening of this one. The caller has the lock. */
  #publish(at: number, { slot: { slot, generation } }: FileInside): void {
    const { memory: { words } } = this.#host;
    words[at + POOL_FILE.writerGeneration] = generation;
    Atomics.store(words, at + POOL_FILE.writer, slot + 1);
  }

  /** The path of a file, for words. */
  pathOf(number: number): string {
    const own = this.#own.get(number);
    return (own?.reader ?? own?.writer)?.path ?? `file ${number} of the pool`;
  }

  /** The number of a file of which this is the only opening of the user in this thread; else -1. */
  numberOfOnly(file: FileInside): number {
    const number = this.#numbers.get(file) ?? -1;
    return this.#own.get(number)?.openings.size === 1 ? number : -1;
  }

  /** Throws while one of the pool's openings of a file cannot be closed by blocking the thread. */
  checkIdle(number: number): void {
    for (const { ending } of this.#own.get(number)!.held) ending.checkIdle();
  }

  /** Makes a file longer: until that is over, {@linkcode growthOf} says so. */
  *growing<T>(number: number, steps: Steps<T>): Steps<T> {
    const own = this.#own.get(number)!;
    const { promise, resolve } = Promise.withResolvers<void>();
    own.growth = promise;
    try {
      return yield* steps;
    } finally {
      own.growth = null;
      resolve();
    }
  }

  /** What is to be waited for before this thread leaves a file; null: nothing. */
  growthOf(number: number): Promise<void> | null {
    return this.#own.get(number)?.growth ?? null;
  }

  /**
   * An opening of the user is about to be closed.
   *
   * @returns the number of its file if it was the last one in this thread; else -1
   */
  closing(file: FileInside): number {
    const number = this.#numbers.get(file);
    if (number === undefined) return -1;
    this.#numbers.delete(file);
    const own = this.#own.get(number)!;
    own.openings.delete(file);
    return own.openings.size === 0 ? number : -1;
  }

  /**
   * This thread no longer uses a file. What it is making longer then is no concern of the file's
   * any more.
   *
   * @param use which use of the number it is
   * @param tryForget forgets its pages, if no other thread uses it either: under the lock, as
   *   another one could begin to. False: there is one that must not be forgotten
   * @returns the openings that it was held open by, none if this thread uses it again; null: it
   *   stays, as `tryForget` says
   */
  leave(number: number, use: number, tryForget: () => boolean): readonly FileInside[] | null {
    const own = this.#own.get(number);
    // Another task opened it meanwhile, or left it.
    if (own === undefined || own.openings.size > 0 || !this.isUse(number, use)) return [];
    const { memory, backend } = this.#host;
    const at = memory.fileAt(number) + POOL_FILE.users;
    const extender = extenderOf(memory, number);
    const isLeft = this.#host.locked(() => {
      if (memory.words[at] === this.#bit && !tryForget()) return false;
      Atomics.compareExchange(memory.words, extender.index, backend.id + 1, 0);
      Atomics.and(memory.words, at, ~this.#bit);
      return true;
    });
    if (!isLeft) return null;
    wakeWord(backend.doorbells, extender);
    this.#own.delete(number);
    this.#uses[number]!++;
    return own.held;
  }
}
