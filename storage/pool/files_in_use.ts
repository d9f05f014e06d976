/**
 * files_in_use.ts: the user's files whose pages one thread has asked a pool for, until the last
 * opening of each in this thread is closed, or the thread leaves the pool: what was changed is
 * written back then.
 *
 * @module
 */

import { get, runSteps, runStepsSync, shown, type Steps } from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import { insideOf } from "../file/open_file.ts";
import type { FileUser } from "../file/file_end.ts";
import type { FileInside } from "../file/file_inside.ts";
import { tryForgetPages } from "./mapping.ts";
import type { PageHost } from "./page.ts";
import type { PoolThread } from "./pool_thread.ts";
import { checkBlock } from "./read_operation.ts";

/** The files of one thread. */
export class FilesInUse {
  readonly #host: PageHost;
  readonly #users = new Map<FileInside, FileUser>();
  #isOver = false;
  #lastFile: AioFile | null = null;
  #lastNumber = -1;

  /** @param host the pool */
  constructor(host: PageHost) {
    this.#host = host;
  }

  /**
   * The number of a file in the pool, for one of its blocks.
   *
   * @throws what the calls of the pool throw for a file or a block that cannot be read
   */
  numberOf(file: AioFile, block: number): number {
    // Nearly always it is the file of the last call.
    const isKnown = file === this.#lastFile && (block | 0) === block && block >= 0;
    return isKnown ? this.#lastNumber : this.#find(file, block);
  }

  #find(file: AioFile, block: number): number {
    if (this.#isOver) throw new Deno.errors.BadResource("Cannot read: the pool is closed");
    checkBlock(block);
    const { files, memory: { pageBytes }, backend } = this.#host.awaited;
    const inside = insideOf(file);
    // Its place in the table of open files is another file's here.
    if (inside.transfers.backend !== backend) {
      throw new TypeError(
        `Cannot read ${shown(file.path)} through a pool of another aio: open the file in that one`,
      );
    }
    inside.checkAccess("read", 0);
    if (file.direct && pageBytes % file.alignment.offset !== 0) {
      throw new RangeError(
        `Cannot read ${shown(file.path)} by pages of ${pageBytes} bytes past the page cache: ` +
          `give openPool() a "pageSize" that is a multiple of ${file.alignment.offset}`,
      );
    }
    const number = files.numberOf(inside);
    if (!this.#users.has(inside)) this.#watch(inside);
    this.#lastFile = file;
    this.#lastNumber = number;
    return number;
  }

  /** The pages of a file are written back before the last opening of this thread is closed. */
  #watch(file: FileInside): void {
    const { awaited, blocking } = this.#host;
    const user: FileUser = {
      closing: () => this.#closeFile(file, awaited, runSteps),
      checkClosingSync: () => checkClosingSync(file, blocking),
      closingSync: () => void this.#closeFile(file, blocking, runStepsSync),
    };
    this.#users.set(file, user);
    file.ending.users.add(user);
  }

  #closeFile(
    file: FileInside,
    pool: PoolThread,
    run: (steps: Steps<void>) => unknown,
  ): Promise<void> {
    this.#lastFile = null;
    const user = this.#users.get(file)!;
    this.#users.delete(file);
    file.ending.users.delete(user);
    const number = pool.files.closing(file);
    const left = number < 0 ? null : run(pool.end.during(this.#leaveSteps(pool, number)));
    return left instanceof Promise ? left : Promise.resolve();
  }

  /**
   * This thread is done with a file: what it changed is written back. Other tasks go on meanwhile:
   * one that begins to use the file keeps it, and what one changes is written back as well.
   */
  *#leaveSteps(pool: PoolThread, number: number): Steps<void> {
    const use = pool.files.useOf(number);
    let failure: { error: unknown } | null = null;
    let held: readonly FileInside[] | null = null;
    while (held === null) {
      try {
        yield* pool.writes.flush(number);
      } catch (error) {
        failure ??= { error };
      }
      // Another thread would get the turn, and what this one still cuts could be shorter then.
      const growth = pool.files.growthOf(number);
      if (growth !== null) {
        yield* get(growth);
        continue;
      }
      const tryForget = () => tryForgetPages(pool.memory, number, failure !== null);
      held = pool.files.leave(number, use, tryForget);
    }
    for (const { ending } of held) {
      // One that fails keeps no other open: nobody else closes them.
      try {
        if (pool.blocks) ending.closeSync();
        else yield* get(ending.close());
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== null) throw failure.error;
  }

  /** No file is used any more from now on. */
  end(): void {
    this.#isOver = true;
    this.#lastFile = null;
    const { awaited: { files } } = this.#host;
    for (const [file, user] of this.#users) {
      file.ending.users.delete(user);
      files.closing(file);
    }
    this.#users.clear();
  }

  /**
   * Writes all of them back, after {@linkcode end}.
   *
   * @param pool does so
   * @returns what failed
   */
  async leaveAll(pool: PoolThread): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const number of pool.files.numbers) {
      await runSteps(this.#leaveSteps(pool, number)).catch((error) => failures.push(error));
    }
    return failures;
  }
}

/**
 * Refuses to close a file while pages of it cannot be written back by a thread that blocks. What
 * the system says of one is no reason: that is so later on as well.
 */
function checkClosingSync(file: FileInside, pool: PoolThread): void {
  const number = pool.files.numberOfOnly(file);
  if (number < 0) return;
  pool.files.checkIdle(number);
  try {
    runStepsSync(pool.writes.flush(number));
  } catch (error) {
    if (error instanceof Deno.errors.Busy) throw error;
  }
}
