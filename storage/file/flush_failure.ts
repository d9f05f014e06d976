/**
 * flush_failure.ts: what an open file says once a flush of it has failed.
 *
 * The kernel tells lost write-back once; core/files/flush_error.ts keeps what it told. A flush that
 * went well may have overlapped another one, which heard the error in its place. So before a flush
 * resolves, it waits for those that are in flight in any thread, and then looks whether one has
 * failed. Flushes that begin later are not waited for.
 *
 * @module
 */

import {
  backendOf,
  type Control,
  type FileSlot,
  flushErrors,
  shown,
  systemError,
} from "../../core/inside.ts";
import type { AioCore, SystemError } from "../../core/mod.ts";

const REMEDY = "open it again and verify what was written since the last sync() that resolved";

const { flushErrorOf, flushesInFlight, mayLoseWrites } = flushErrors;

/** Puts into words what could not be done with the file of a path: `Cannot sync "x"`. */
export type Cannot = (path: string) => string;

/** The failed flush of one open file, as one thread sees it. */
export class FlushFailure {
  readonly #aio: AioCore;
  readonly #control: Control;
  readonly #slot: FileSlot;
  readonly #fd: number;
  readonly #path: string;
  #isTold = false;
  #closeError: SystemError | null = null;

  /**
   * For one open file.
   *
   * @param aio the core that executes its IO
   * @param slot its place in the table of open files
   * @param fd its descriptor
   * @param path for errors
   */
  constructor(aio: AioCore, slot: FileSlot, fd: number, path: string) {
    this.#aio = aio;
    this.#control = backendOf(aio).control;
    this.#slot = slot;
    this.#fd = fd;
    this.#path = path;
  }

  /** The error number of the first flush that failed, in whichever thread; 0: none has. */
  get errno(): number {
    return flushErrorOf(this.#control, this.#slot);
  }

  /**
   * After a flush that went well: waits for the flushes that it overlapped.
   *
   * @param cannot puts into words what could not be done, such as `Cannot sync "x"`, by the path
   * @param syscall the call that went well
   * @throws if one of them, or an earlier one, has failed
   */
  async settle(cannot: Cannot, syscall: string): Promise<void> {
    for (const ref of flushesInFlight(this.#control, this.#slot, this.#fd)) {
      await this.#aio.wait(ref);
    }
    this.check(cannot, syscall);
  }

  /** As {@linkcode settle}, blocking. */
  settleSync(cannot: Cannot, syscall: string): void {
    for (const ref of flushesInFlight(this.#control, this.#slot, this.#fd)) {
      this.#aio.waitSync(ref);
    }
    this.check(cannot, syscall);
  }

  /** Throws if a flush has failed. */
  check(cannot: Cannot, syscall: string): void {
    const { errno } = this;
    if (errno !== 0) throw this.error(errno, cannot, syscall);
  }

  /** The error of a flush that failed, with the remedy where writes may be lost. */
  error(errno: number, cannot: Cannot, syscall: string): SystemError {
    const what = cannot(this.#path);
    const fields = { syscall, path: this.#path };
    if (!mayLoseWrites(errno)) return systemError(errno, what, fields);
    return systemError(errno, what, fields, undefined, `; close it, ${REMEDY}`);
  }

  /** A call of this object is about to throw an error: perhaps the one of the failed flush. */
  noteTold(error: unknown): unknown {
    const { errno } = this;
    if (errno !== 0 && error instanceof Error && "errno" in error && error.errno === errno) {
      this.#isTold = true;
    }
    return error;
  }

  /**
   * The end of the file's `close()`: it rejects after everything is closed if a flush has failed,
   * so that whoever never flushed hears of it.
   *
   * @param closed the closing itself
   */
  async closing(closed: Promise<void>): Promise<void> {
    const before = this.errno;
    await closed;
    this.#checkClosed(before);
  }

  /** As {@linkcode closing}, blocking. */
  closingSync(close: () => void): void {
    const before = this.errno;
    close();
    this.#checkClosed(before);
  }

  /** @param before the error when the closing began: the slot may be another file's by now */
  #checkClosed(before: number): void {
    const errno = before === 0 ? this.errno : before;
    if (errno === 0) return;
    const what = `Closed ${shown(this.#path)}, but an earlier flush of it failed`;
    const fields = { syscall: "close", path: this.#path };
    this.#closeError = systemError(errno, what, fields, undefined, `; ${REMEDY}`);
    throw this.#closeError;
  }

  /**
   * The end of a block with `await using`. It stays quiet about a failure that a call of this
   * object has thrown already: that error would be hidden in a SuppressedError.
   *
   * @param closed what `close()` returned
   */
  async disposing(closed: Promise<void>): Promise<void> {
    try {
      await closed;
    } catch (error) {
      if (!this.#isKnown(error)) throw error;
    }
  }

  /** As {@linkcode disposing}, blocking. */
  disposingSync(close: () => void): void {
    try {
      close();
    } catch (error) {
      if (!this.#isKnown(error)) throw error;
    }
  }

  #isKnown(error: unknown): boolean {
    return this.#isTold && error === this.#closeError;
  }
}
