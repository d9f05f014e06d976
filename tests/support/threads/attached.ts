/**
 * attached.ts: a Worker that is attached to a test's Aio and does what the test asks.
 *
 * @module
 */

import type { WaitRef } from "../../../core/mod.ts";
import type { Aio, AioFile, AioToken, FileToken, LogToken } from "../../../mod.ts";
import { AskedThread, shareAskedThread } from "./asked_thread.ts";

/** What a test can ask of the Worker. */
export type Ask =
  | { what: "begin" }
  | { what: "attach"; token: AioToken; file: FileToken }
  | { what: "attachAgain"; token: AioToken }
  | { what: "write"; bytes: Uint8Array; offset: number }
  | { what: "append" | "appendSync"; bytes: Uint8Array; durable: boolean }
  | { what: "beginAppendToLog"; log: LogToken; bytes: Uint8Array }
  | { what: "read" | "stage" | "dieStaged"; offset: number; bytes: number }
  | { what: "openFile"; path: string }
  | { what: "fillStreams"; offsets: readonly number[]; bytes: Uint8Array }
  | { what: "sync" | "syncSync" | "startSync" }
  | { what: "readFd"; fd: number; bytes: number }
  | { what: "readFdHeld" | "tryReadFd"; fd: number; bytes: number; gate: Int32Array }
  | { what: "submit" | "close" | "closeAio" | "acquire" | "selfClose" }
  | { what: "seen" | "perform" | "await" | "waitSync"; ref: WaitRef }
  | { what: "complete"; ref: WaitRef; result: number };

const MODULE = new URL("./attached_worker.ts", import.meta.url);

/** Starts a Worker that is attached to an Aio, and has the file. */
export type StartWorker = (aio: Aio, file: AioFile) => Promise<AttachedWorker>;

/**
 * Starts one thread for all Workers of a file's tests that leave it alive, one after the other: a
 * thread takes longer to start than they do. Called while the tests are registered.
 */
export function shareThread(): StartWorker {
  const threadOf = shareAskedThread<Ask>(MODULE, { what: "begin" });
  return (aio, file) => AttachedWorker.start(aio, file, threadOf());
}

/**
 * A Worker of one test. At the end of its scope it closes, and its thread ends unless it is shared.
 */
export class AttachedWorker implements AsyncDisposable {
  readonly #thread: AskedThread<Ask>;
  readonly #hasOwnThread: boolean;
  #isOver = false;

  private constructor(shared: AskedThread<Ask> | null) {
    this.#thread = shared ?? new AskedThread<Ask>(MODULE);
    this.#hasOwnThread = shared === null;
  }

  /**
   * Starts one and attaches it.
   *
   * @param shared a thread that outlives it; null: it gets one of its own
   */
  static async start(
    aio: Aio,
    file: AioFile,
    shared: AskedThread<Ask> | null = null,
  ): Promise<AttachedWorker> {
    const worker = new AttachedWorker(shared);
    try {
      await worker.ask({ what: "attach", token: aio.token, file: file.token });
      return worker;
    } catch (error) {
      if (shared === null) worker.terminate();
      throw error;
    }
  }

  /** Starts one that is not attached yet. */
  static startBare(): AttachedWorker {
    return new AttachedWorker(null);
  }

  /** Asks for something; resolves with what came of it. */
  ask<T>(ask: Ask): Promise<T> {
    return this.#thread.ask(ask);
  }

  /** Has its thread end itself, in the middle of what it does. */
  end(): void {
    this.#ownThread.tell({ what: "selfClose" });
  }

  /** Ends its thread as it is. */
  terminate(): void {
    this.#ownThread.terminate();
  }

  /** The thread, which is about to end. */
  get #ownThread(): AskedThread<Ask> {
    if (!this.#hasOwnThread) throw new Error("The thread of this Worker is shared");
    this.#isOver = true;
    return this.#thread;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    try {
      await this.ask({ what: "close" });
    } finally {
      if (this.#hasOwnThread) this.terminate();
    }
  }
}
