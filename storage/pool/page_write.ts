/**
 * page_write.ts: writing changed pages back to their files: those that follow one another in a file
 * in one IO, and several IOs submitted together.
 *
 * A page that is being written keeps its content: its buffer has the IO's word, which keeps
 * exclusive locks away. Until it has that, the writer shares the lock.
 *
 * @module
 */

import { type Eventually, get, type Steps } from "../../core/inside.ts";
import { type AioHandle, AioReturn, type WaitRef } from "../../core/mod.ts";
import { endIo, ioWordOf } from "./buffer_io.ts";
import { COUNT } from "./pool_counts.ts";
import { fileOf } from "./pool_lock.ts";
import { BUFFER, BUFFER_STATE, isDirty } from "./pool_memory.ts";
import type { PoolSide } from "./pool_side.ts";

/** Buffers that are written back together, so that the next victims need no write. */
const VICTIMS_MAX = 32;

/** Buffers behind a victim among which others are looked for that are to be written, too. */
const LOOKS_MAX = 1024;

/** One IO that is under way; made once and used again. */
class Written {
  readonly ref: WaitRef = { index: -1, generation: 0 };
  readonly ret = new AioReturn();
  buffers: readonly number[] = [];
}

/** What came of some writes. */
interface WriteOutcome {
  /** The buffers that were written, whole. */
  readonly whole: Set<number>;
  /** Those that could not be written. Others may not have been, as they were locked. */
  readonly failures: WriteFailure[];
}

/** Why some buffers could not be written. */
interface WriteFailure {
  readonly buffers: readonly number[];
  readonly error: unknown;
}

/** A buffer to be written, pinned, with its place in the file. */
interface Candidate {
  readonly buffer: number;
  readonly file: number;
  readonly block: number;
}

/** Writes of one thread. */
export class PageWrites {
  readonly #pool: PoolSide;
  readonly #idle: Written[] = [];

  /** @param pool of this thread */
  constructor(pool: PoolSide) {
    this.#pool = pool;
  }

  /**
   * Writes a victim back, which this thread has pinned alone, and others that will be victims soon.
   * What cannot be written stays as it is.
   *
   * @throws why the victim cannot be written; of the others that is no concern of the caller's
   */
  *writeVictims(first: number): Steps<void> {
    const { memory, pins } = this.#pool;
    const own: number[] = [];
    const looks = Math.min(memory.pages, LOOKS_MAX);
    for (let i = 1; i < looks && own.length < VICTIMS_MAX - 1; i++) {
      const buffer = (first + i) % memory.pages;
      const at = memory.at(buffer);
      if (memory.words[at + BUFFER.usage] !== 0 || !this.isToWrite(buffer)) continue;
      if (!pins.tryOwn(buffer)) continue;
      pins.toWork(buffer);
      own.push(buffer);
    }
    try {
      const { failures } = yield* this.#writeAll(this.#candidatesOf([first, ...own]), false);
      const failure = failures.find(({ buffers }) => buffers.includes(first));
      if (failure !== undefined) throw failure.error;
    } finally {
      for (const buffer of own) pins.endWork(buffer);
    }
  }

  /**
   * Writes buffers back, except those that are locked or being written.
   *
   * @returns how many
   * @throws why the first that failed did
   */
  *writeSome(buffers: readonly number[]): Steps<number> {
    const { whole, failures } = yield* this.#writeAll(this.#candidatesOf(buffers), false);
    if (failures.length > 0) throw failures[0]!.error;
    return whole.size;
  }

  /** Whether a buffer is newer than the file, and nobody is writing it. */
  isToWrite(buffer: number): boolean {
    const { memory } = this.#pool;
    return this.#isDirty(buffer) &&
      Atomics.load(memory.words, memory.at(buffer) + BUFFER.io) === 0;
  }

  /**
   * Writes back all changed pages of a file, or of all files, that there are now. One that fails
   * keeps no other from being written.
   *
   * @param file its number; -1: all
   * @returns how many
   * @throws why the first that failed did
   */
  *flush(file: number): Steps<number> {
    const dirty = this.#listDirty(file);
    const failures: WriteFailure[] = [];
    const isOver = new Set<number>();
    // What another thread was writing, or the system wrote a part of, takes another round.
    for (let left = dirty; left.length > 0;) {
      const round = yield* this.#writeAll(left, true);
      failures.push(...round.failures);
      for (const buffer of round.whole) isOver.add(buffer);
      for (const { buffers } of round.failures) buffers.forEach((buffer) => isOver.add(buffer));
      left = left.filter((one) => !isOver.has(one.buffer) && this.#isStillDirty(one));
    }
    if (failures.length > 0) throw failures[0]!.error;
    return dirty.length;
  }

  #isStillDirty({ buffer, file, block }: Candidate): boolean {
    const { memory: { words }, memory } = this.#pool;
    const at = memory.at(buffer);
    const isIt = fileOf(memory, buffer) === file &&
      Atomics.load(words, at + BUFFER.block) === block;
    return isIt && this.#isDirty(buffer);
  }

  /** Whether a buffer is newer than the file, and may be written. */
  #isDirty(buffer: number): boolean {
    const { memory } = this.#pool;
    return isDirty(Atomics.load(memory.words, memory.at(buffer) + BUFFER.state));
  }

  #listDirty(file: number): Candidate[] {
    const { memory } = this.#pool;
    const { words, pages } = memory;
    const dirty: Candidate[] = [];
    for (let buffer = 0; buffer < pages; buffer++) {
      const at = memory.at(buffer);
      // A plain load, as there are many. What was changed before this call is seen by it.
      if ((words[at + BUFFER.state]! & BUFFER_STATE.dirty) === 0) continue;
      const number = fileOf(memory, buffer);
      if (number < 0 || (file >= 0 && number !== file)) continue;
      dirty.push({ buffer, file: number, block: words[at + BUFFER.block]! });
    }
    return inOrder(dirty);
  }

  /**
   * Writes buffers, in the order of their blocks: those of an IO that fails once more, one by one,
   * so that it is known which of them cannot be written.
   *
   * @param isFlush whether those that are locked or being written are waited for; or left
   */
  *#writeAll(left: readonly Candidate[], isFlush: boolean): Steps<WriteOutcome> {
    const { whole, failures } = yield* this.#writeRuns(left, isFlush, this.#pool.combineLimit);
    const several = failures.flatMap(({ buffers }) => buffers.length > 1 ? buffers : []);
    if (several.length === 0) return { whole, failures };
    const again = left.filter(({ buffer }) => several.includes(buffer));
    const byOne = yield* this.#writeRuns(again, isFlush, 1);
    return {
      whole: whole.union(byOne.whole),
      failures: [...failures.filter(({ buffers }) => buffers.length < 2), ...byOne.failures],
    };
  }

  /**
   * Writes buffers, in the order of their blocks. While it waits for a lock it has one pinned, so
   * that whoever has that lock finds room for other pages.
   *
   * @param isFlush whether those that are locked or being written are waited for; or left
   * @param most buffers of one IO
   */
  *#writeRuns(left: readonly Candidate[], isFlush: boolean, most: number): Steps<WriteOutcome> {
    const under: Written[] = [];
    const failures: WriteFailure[] = [];
    const whole = new Set<number>();
    for (let next = 0; next < left.length;) {
      const locked: Candidate[] = [];
      try {
        next += yield* this.#takeRun(left.slice(next, next + most), isFlush, locked, failures);
        if (locked.length > 0) under.push((yield this.#start(locked)) as Written);
      } catch (error) {
        failures.push({ buffers: locked.map(({ buffer }) => buffer), error });
      } finally {
        for (const { buffer } of locked) this.#letGo(buffer);
      }
    }
    for (const written of under) {
      try {
        if (!this.#isDone(written)) yield this.#pool.calls.wait(written.ref);
        for (const buffer of this.#end(written)) whole.add(buffer);
      } catch (error) {
        failures.push({ buffers: written.buffers, error });
      }
    }
    return { whole, failures };
  }

  /** Buffers without a block are left out: they have nowhere to be written to. */
  #candidatesOf(buffers: readonly number[]): Candidate[] {
    const { memory: { words }, memory } = this.#pool;
    const candidates = buffers.map((buffer) => {
      const at = memory.at(buffer);
      return { buffer, file: words[at + BUFFER.file]! - 1, block: words[at + BUFFER.block]! };
    });
    return inOrder(candidates.filter(({ file }) => file >= 0));
  }

  #letGo(buffer: number): void {
    this.#pool.locks.unlock(buffer, "shared");
    this.#pool.pins.endWork(buffer);
  }

  /**
   * Pins and shares the locks of the first candidates that are one IO.
   *
   * @param locked gets them one by one: the caller has to let go of them
   * @param failures gets why one cannot be written
   * @returns how many candidates it has dealt with
   */
  *#takeRun(
    left: readonly Candidate[],
    isFlush: boolean,
    locked: Candidate[],
    failures: WriteFailure[],
  ): Steps<number> {
    for (const [passed, one] of left.entries()) {
      const last = locked.at(-1);
      const isNext = last === undefined || (one.file === last.file && one.block === last.block + 1);
      if (!isNext) return passed;
      try {
        if (!this.#tryTake(one)) {
          // Only the first is waited for: whoever has another one locked may wait for that.
          if (last !== undefined) return passed;
          if (!isFlush || !(yield* this.#take(one))) return 1;
        }
        yield* this.#prepare(one);
      } catch (error) {
        failures.push({ buffers: [one.buffer], error });
        return passed + 1;
      }
      locked.push(one);
    }
    return left.length;
  }

  /** Calls the hook for a buffer that was taken; lets go of it if that throws. */
  *#prepare({ buffer }: Candidate): Steps<void> {
    const { beforeWrite } = this.#pool;
    if (beforeWrite === null) return;
    try {
      const done = beforeWrite(buffer);
      if (!(done instanceof Promise)) return;
      if (this.#pool.blocks) refuseToBlock(done);
      yield* get(done);
    } catch (error) {
      this.#letGo(buffer);
      throw error;
    }
  }

  /** Pins a buffer and shares its lock, if it is to be written, and nobody is in the way. */
  #tryTake({ buffer, file, block }: Candidate): boolean {
    const { pins, locks } = this.#pool;
    if (!pins.tryPin(buffer, file, block)) return false;
    pins.toWork(buffer);
    if (!locks.tryLock(buffer, "shared", true)) {
      pins.endWork(buffer);
      return false;
    }
    if (this.isToWrite(buffer)) return true;
    this.#letGo(buffer);
    return false;
  }

  /** The same once whoever is in the way is not any more. */
  *#take({ buffer, file, block }: Candidate): Steps<boolean> {
    const { pins, locks } = this.#pool;
    if (!pins.tryPin(buffer, file, block)) return false;
    pins.toWork(buffer);
    let isLocked = false;
    try {
      yield* locks.lock(buffer, "shared", this.#pool, { joins: true, end: null });
      isLocked = true;
      yield* this.#pool.waitForIo(buffer);
    } catch (error) {
      if (isLocked) locks.unlock(buffer, "shared");
      pins.endWork(buffer);
      throw error;
    }
    if (this.isToWrite(buffer)) return true;
    this.#letGo(buffer);
    return false;
  }

  #start(run: readonly Candidate[]): Eventually<Written> {
    const written = this.#idle.pop() ?? new Written();
    const buffers = run.map(({ buffer }) => buffer);
    const use = (handle: AioHandle): Written => {
      handle.waitRef(written.ref);
      const begun = this.#begin(handle, buffers, run[0]!);
      written.buffers = begun === buffers.length ? buffers : buffers.slice(0, begun);
      return written;
    };
    return this.#pool.calls.withHandle(use, written.ret);
  }

  /** @returns how many of them the IO has, from the first */
  #begin(handle: AioHandle, buffers: readonly number[], { file, block }: Candidate): number {
    const { memory, control, bells } = this.#pool;
    const word = ioWordOf(control, handle.index, "write");
    let begun = 0;
    try {
      for (const buffer of buffers) {
        const at = memory.at(buffer) + BUFFER.io;
        if (Atomics.compareExchange(memory.words, at, 0, word) !== 0) break;
        begun++;
      }
      // The file may have been closed since the buffers were found: its pages are forgotten then,
      // and its number may be another's.
      begun = this.#endForgotten(buffers, begun, file, block);
      const writer = begun === 0 ? null : this.#pool.files.writerOf(file);
      // From here on it is not, as this thread uses it.
      begun = this.#endForgotten(buffers, begun, file, block);
      if (begun === 0) {
        handle.release();
        return 0;
      }
      if (writer === null) {
        throw new Deno.errors.BadResource(
          `Cannot write back block ${block} of ${this.#pool.files.pathOf(file)}: ` +
            "no thread has the file open for writing any more",
        );
      }
      this.#pool.startWrite(
        handle,
        writer,
        block,
        begun < buffers.length ? buffers.slice(0, begun) : buffers,
      );
      this.#pool.counts[COUNT.writes]!++;
      this.#pool.counts[COUNT.blocksWritten]! += begun;
      return begun;
    } catch (error) {
      for (const buffer of buffers.slice(0, begun)) endIo(bells, memory, buffer);
      if (handle.state === "handedOut") handle.release();
      throw error;
    }
  }

  /**
   * Takes the IO's word away from buffers from the first on that does not have its block any more.
   *
   * @returns how many are before that
   */
  #endForgotten(buffers: readonly number[], begun: number, file: number, block: number): number {
    const { memory: { words }, memory, bells } = this.#pool;
    let left = 0;
    for (; left < begun; left++) {
      const at = memory.at(buffers[left]!);
      if (Atomics.load(words, at + BUFFER.file) !== file + 1) break;
      if (words[at + BUFFER.block] !== block + left) break;
    }
    for (let i = left; i < begun; i++) endIo(bells, memory, buffers[i]!);
    return left;
  }

  #isDone({ ref, buffers }: Written): boolean {
    return buffers.length === 0 || this.#pool.aio.checkDone(ref);
  }

  /** The end of one IO. @returns the buffers that were written whole */
  #end(written: Written): readonly number[] {
    const { ret: { result, targetData }, buffers } = written;
    if (buffers.length === 0) return buffers;
    const { aio, memory: { pageBytes } } = this.#pool;
    this.#idle.push(written);
    // Less than a page would be tried for ever.
    if (result.status === "error" || result.result < pageBytes) {
      aio.reportResult(result, targetData, "error");
    }
    const whole = Math.floor(result.result / pageBytes);
    return whole === buffers.length ? buffers : buffers.slice(0, whole);
  }
}

function inOrder(candidates: Candidate[]): Candidate[] {
  return candidates.sort((a, b) => a.file - b.file || a.block - b.block);
}

/** The promise of a hook is settled by the event loop, which a thread that blocks holds up. */
function refuseToBlock(done: Promise<unknown>): never {
  done.catch(() => {});
  throw new Deno.errors.Busy(
    "Cannot write a page back and block the thread, as beforeWrite() has returned a promise: " +
      "await pool.flush() first",
  );
}
