/**
 * page.ts: {@linkcode Page}, a page that a task has pinned, and {@linkcode PageLock}, the lock of
 * its content.
 *
 * @module
 */

import { calling, INSPECT, runSteps, runStepsSync, type Steps } from "../../core/inside.ts";
import type { LockMode } from "./content_lock.ts";
import { fileOf, withLock } from "./pool_lock.ts";
import { BUFFER, BUFFER_STATE } from "./pool_memory.ts";
import type { PoolThread } from "./pool_thread.ts";

/** Whose a page is: a read's, or a stream's or a write's, which end the pin. */
export type PageKind = "read" | "lent" | "written";

/** Makes the object of a pin. */
export let makePage: (pool: PageHost, buffer: number, kind?: PageKind) => Page;

/** A page that a stream or the pool itself had pinned, and has no more. */
export let endPage: (page: Page) => void;

/** As `markDirty()` of a torn page that was mended. */
export let markMended: (page: Page) => void;

/** What a page needs of its pool: the pool's thread, in both ways to wait. */
export interface PageHost {
  readonly awaited: PoolThread;
  readonly blocking: PoolThread;
}

/**
 * A page of a file, pinned: it stays in the pool, and the same, until {@linkcode release}. From
 * `pool.read()`.
 */
export class Page implements Disposable {
  readonly #host: PageHost;
  #buffer: number;
  /** How often this page has its lock. */
  #locks = 0;
  #isExclusive = false;
  /** Whether the pin is a stream's or the pool's own, which ends it. */
  readonly #isLent: boolean;
  /** Whether it is about to be written, and its lock shared for that. */
  readonly #isWritten: boolean;

  /** @ignore */
  private constructor(host: PageHost, buffer: number, kind: PageKind) {
    this.#host = host;
    this.#buffer = buffer;
    this.#isLent = kind !== "read";
    this.#isWritten = kind === "written";
  }

  static {
    makePage = (host, buffer, kind = "read") => new Page(host, buffer, kind);
    endPage = (page) => {
      page.#buffer = -1;
    };
    markMended = (page) => page.#mark(true);
  }

  /**
   * Its content, shared with all threads: read it with a lock where others may change it, change it
   * with the exclusive one, and say {@linkcode markDirty}.
   *
   * @throws {Deno.errors.BadResource} after {@linkcode release}
   */
  get bytes(): Uint8Array<SharedArrayBuffer> {
    return this.#host.awaited.memory.bytes(this.#pinned("read"));
  }

  /** Its number in the file. */
  get block(): number {
    const { memory } = this.#host.awaited;
    return memory.words[memory.at(this.#pinned("read")) + BUFFER.block]!;
  }

  /** Whether it is newer than the file. */
  get isDirty(): boolean {
    const { memory } = this.#host.awaited;
    const state = Atomics.load(memory.words, memory.at(this.#pinned("read")) + BUFFER.state);
    return (state & BUFFER_STATE.dirty) !== 0;
  }

  /** One line for `console.log(page)`. */
  [INSPECT](): string {
    return this.#buffer < 0 ? "Page (released)" : `Page ${this.block} (buffer ${this.#buffer})`;
  }

  #pinned(what: string): number {
    if (this.#buffer < 0) {
      throw new Deno.errors.BadResource(`Cannot ${what} a page that was released`);
    }
    if (this.#host.awaited.pins.isOver) throw closedError(what);
    return this.#buffer;
  }

  /**
   * Locks the content: shared with others that only read it, or alone, to change it. Tasks of one
   * thread wait for each other, too, and whoever waits to have it alone keeps new sharers away.
   *
   * @returns to be released, by a call or the end of a block; refused once the page is released
   */
  async lock(mode: LockMode): Promise<PageLock> {
    return await runSteps(this.#lockCall(this.#host.awaited, mode));
  }

  /**
   * As {@linkcode lock}, blocking the thread.
   *
   * @throws {Deno.errors.Busy} if a task of this thread has it
   */
  lockSync(mode: LockMode): PageLock {
    const { lockSync } = Page.prototype;
    return calling(lockSync, () => runStepsSync(this.#lockCall(this.#host.blocking, mode)));
  }

  /** What is being written when the thread leaves its pool is written to the end. */
  #lockCall(pool: PoolThread, mode: LockMode): Steps<PageLock> {
    const steps = this.#lockSteps(pool, mode);
    return this.#isWritten ? pool.end.during(steps) : pool.end.call(steps);
  }

  /**
   * A lock has a pin of its own: the page may be released while the lock is waited for, and a page
   * of a stream is at the stream's next call, locked or not.
   */
  *#lockSteps(pool: PoolThread, mode: LockMode): Steps<PageLock> {
    const buffer = this.#pinned("lock");
    pool.pins.again(buffer);
    let isLocked = false;
    try {
      const joins = pool.blocks || this.#mayJoin();
      const end = this.#isWritten ? null : pool.end;
      yield* pool.locks.lock(buffer, mode, pool, { joins, end });
      isLocked = true;
      this.#pinned("lock");
    } catch (error) {
      if (isLocked) pool.locks.unlock(buffer, mode);
      pool.pins.unpin(buffer);
      throw error;
    }
    return this.#locked(buffer, mode);
  }

  /** As {@linkcode lock}, but never waits: null if the lock cannot be had now. */
  tryLock(mode: LockMode): PageLock | null {
    const buffer = this.#pinned("lock");
    const { locks, pins, end } = this.#host.awaited;
    if (!this.#isWritten) end.check();
    if (!locks.tryLock(buffer, mode, this.#mayJoin())) return null;
    pins.again(buffer);
    return this.#locked(buffer, mode);
  }

  /** The task has the lock already. */
  #mayJoin(): boolean {
    return this.#isWritten || this.#locks > 0;
  }

  #locked(buffer: number, mode: LockMode): PageLock {
    this.#locks++;
    if (mode === "exclusive") this.#isExclusive = true;
    return makeLock(() => {
      this.#locks--;
      if (mode === "exclusive") this.#isExclusive = false;
      const { locks, pins } = this.#host.awaited;
      // The thread has left the pool, or is about to, and its locks were taken away.
      if (pins.isOver) return;
      if (mode === "shared" || !locks.isTorn) locks.unlock(buffer, mode);
      pins.unpin(buffer);
    });
  }

  /**
   * Says that the content was changed: it is written back before the pool gives its place away, and
   * by `pool.flush()`.
   *
   * @throws {Deno.errors.Busy} without the exclusive lock; `BadResource` once the file is closed
   */
  markDirty(): void {
    this.#mark(false);
  }

  /** @param isMended whether it is torn no more: what is torn is forgotten, changed or not */
  #mark(isMended: boolean): void {
    const buffer = this.#pinned("change");
    if (!this.#isExclusive) {
      throw new Deno.errors.Busy(
        'Cannot change a page without its exclusive lock: await page.lock("exclusive") first',
      );
    }
    const { memory, locks, files } = this.#host.awaited;
    // The thread is about to leave the pool, and has lost the lock: another one may have it.
    if (locks.isTorn) throw closedError("change");
    const file = fileOf(memory, buffer);
    if (files.isUsed(file)) return this.#setState(buffer, isMended);
    // This thread has closed it. The last one that has not forgets the page under the lock, unless
    // it is changed by then.
    const isChanged = file >= 0 && withLock(memory, () => {
      if (memory.words[memory.at(buffer) + BUFFER.file] === 0) return false;
      this.#setState(buffer, isMended);
      return true;
    });
    if (isChanged) return;
    throw new Deno.errors.BadResource("Cannot change a page whose file was closed: open it again");
  }

  #setState(buffer: number, isMended: boolean): void {
    const { awaited } = this.#host;
    awaited.locks.markDirty(buffer);
    if (isMended) awaited.clearTorn(buffer);
  }

  /**
   * Ends the pin, once. A page of a stream is pinned until the stream's next call all the same.
   *
   * @throws {Deno.errors.Busy} while it is locked
   */
  release(): void {
    const buffer = this.#buffer;
    if (buffer < 0 || this.#isLent) return;
    if (this.#locks > 0) {
      throw new Deno.errors.Busy("Cannot release a page that is locked: release the lock first");
    }
    this.#buffer = -1;
    this.#host.awaited.pins.unpin(buffer);
  }

  /** The end of a `using` block. */
  [Symbol.dispose](): void {
    this.release();
  }
}

function closedError(what: string): Error {
  return new Deno.errors.BadResource(`Cannot ${what} a page of a pool that is closed`);
}

let makeLock: (unlock: () => void) => PageLock;

/** The lock of a page's content. */
export class PageLock implements Disposable {
  #unlock: (() => void) | null;

  /** @ignore */
  private constructor(unlock: () => void) {
    this.#unlock = unlock;
  }

  static {
    makeLock = (unlock) => new PageLock(unlock);
  }

  /** Gives it back. Calling it again does nothing. */
  release(): void {
    const unlock = this.#unlock;
    this.#unlock = null;
    unlock?.();
  }

  /** The end of a `using` block. */
  [Symbol.dispose](): void {
    this.release();
  }
}
