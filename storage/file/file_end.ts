/**
 * file_end.ts: what an open file counts while it is used, and how it ends.
 *
 * @module
 */

import {
  type ClosingFile,
  closingSteps,
  type Descriptors,
  fileCalls,
  type Hold,
  Patience,
  runSteps,
  runStepsSync,
  shown,
} from "../../core/inside.ts";
import type { FlushFailure } from "./flush_failure.ts";

/** Whoever hears of the end of a file. */
interface Ending {
  /** It has begun, and nothing may start on the file any more. */
  closes(): void;
  /** The file is closed. */
  closed(): void;
}

/** Whoever has something to do before a file is closed. */
export interface FileUser {
  /** Does it, awaiting. */
  closing(): Promise<void>;
  /** Throws if it cannot be done by blocking the thread: then the file stays open. */
  checkClosingSync?(): void;
  /** Does it, blocking the thread. */
  closingSync(): void;
}

/** The end of one `AioFile`. */
export class FileEnd {
  /** Have something to do first. */
  readonly users: Set<FileUser> = new Set<FileUser>();
  /** Of those who wait for it. */
  readonly patience: Patience = new Patience();
  /** Lets the event loop end while the file is being closed, or not. */
  readonly hold: Hold = {
    ref: () => this.patience.change(false),
    unref: () => this.patience.change(true),
  };
  readonly #descriptors: Descriptors;
  readonly #file: ClosingFile;
  readonly #flushFailure: FlushFailure;
  readonly #on: Ending;
  #closed: Promise<void> | null = null;
  #isClosed = false;
  #pending = 0;
  #onIdle: (() => void) | null = null;

  /**
   * For one file.
   *
   * @param descriptors how it is closed
   * @param file what is to be closed
   * @param flushFailure what its end tells of flushes that failed
   * @param on hears of it
   */
  constructor(
    descriptors: Descriptors,
    file: ClosingFile,
    flushFailure: FlushFailure,
    on: Ending,
  ) {
    this.#descriptors = descriptors;
    this.#file = file;
    this.#flushFailure = flushFailure;
    this.#on = on;
  }

  /** Whether it has begun. */
  get hasBegun(): boolean {
    return this.#isClosed;
  }

  /** Counts an operation that the descriptor must outlive. */
  begin(): void {
    this.#pending++;
  }

  /** The end of what {@linkcode begin} counted. */
  end(): void {
    this.#pending--;
    if (this.#pending === 0) this.#onIdle?.();
  }

  /** Throws while anything is counted: a thread that blocks would not see the end of it. */
  checkIdle(): void {
    if (this.#pending === 0) return;
    throw new Deno.errors.Busy(
      `Cannot close ${shown(this.#file.path)} at once while ${this.#pending} operations are ` +
        "pending: await close() instead",
    );
  }

  /** See `AioFile.close`. */
  close(signal?: AbortSignal): Promise<void> {
    return this.patience.wait(this.#closed ?? this.#closeFirst(), signal);
  }

  async #closeFirst(): Promise<void> {
    this.#descriptors.backend.checkNotInCallback("close");
    this.#closed = this.#flushFailure.closing(this.#close());
    await this.#closed;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    this.#on.closes();
    const { pump } = this.#descriptors.backend;
    const { fd } = this.#file;
    const hold = { ref: () => pump.forsake(fd, false), unref: () => pump.forsake(fd, true) };
    await this.patience.holding(hold, this.#closeWhenIdle()).finally(hold.ref);
  }

  async #closeWhenIdle(): Promise<void> {
    const failures: unknown[] = [];
    // One that fails keeps no other from its end: what those have pending would never be over.
    for (const user of this.users) {
      try {
        await user.closing();
      } catch (error) {
        failures.push(error);
      }
    }
    await this.#closeItself();
    if (failures.length > 0) throw failures[0];
  }

  async #closeItself(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => this.#onIdle = resolve);
    const { awaited } = fileCalls(this.#descriptors.backend, this.patience);
    try {
      await runSteps(closingSteps(this.#descriptors, awaited, this.#file));
    } finally {
      this.#on.closed();
    }
  }

  /** See `AioFile.closeSync`. */
  closeSync(): void {
    this.#flushFailure.closingSync(() => this.#closeSync());
  }

  #closeSync(): void {
    this.#descriptors.backend.checkNotInCallback("closeSync");
    this.checkIdle();
    for (const user of this.users) user.checkClosingSync?.();
    this.#isClosed = true;
    this.#closed = Promise.resolve();
    this.#on.closes();
    const failures: unknown[] = [];
    for (const user of this.users) {
      try {
        user.closingSync();
      } catch (error) {
        failures.push(error);
      }
    }
    this.#on.closed();
    runStepsSync(closingSteps(this.#descriptors, this.#descriptors.calls.blocking, this.#file));
    if (failures.length > 0) throw failures[0];
  }

  /** The end of a `using` block. */
  disposeSync(): void {
    if (!this.hasBegun) this.#flushFailure.disposingSync(() => this.closeSync());
  }

  /** The end of an `await using` block. */
  dispose(): Promise<void> {
    if (this.patience.isGivenUp) return Promise.resolve();
    return this.#flushFailure.disposing(this.close());
  }
}
