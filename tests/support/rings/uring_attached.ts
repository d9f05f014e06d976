/**
 * uring_attached.ts: a Worker whose ring has a form, and which dies in one of the ways there are.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import type { RingForm } from "../../../methods/io_uring/setup.ts";
import type { WaitRef } from "../../../core/mod.ts";
import type { AioFile, AioToken, FileToken } from "../../../mod.ts";
import type { Fixture } from "../core.ts";
import { AskedThread, shareAskedThread } from "../threads/asked_thread.ts";
import { untilDead } from "../patience.ts";
import { PIPE_BYTES } from "./uring.ts";

/** What a test can ask of the Worker, one thing at a time. */
export type UringAsk =
  | { what: "attach"; token: AioToken; form: RingForm }
  | { what: "read"; fd: number; offset: number; view: Uint8Array | null; bytes: number }
  | { what: "readFile"; token: FileToken; count: number }
  | { what: "waitSync" | "result"; ref: WaitRef }
  | { what: "begin" | "lookAway" | "closeFile" | "selfClose" | "throw" | "close" };

/** The ways for a thread to end without `close()`. */
export const URING_ENDINGS = ["terminate", "selfClose", "throw"] as const;
/** One of them. */
export type UringEnding = typeof URING_ENDINGS[number];

const MODULE = new URL("./uring_worker.ts", import.meta.url);

/** Starts a Worker and attaches it. */
export type StartUringWorker = (fixture: Fixture, form: RingForm) => Promise<UringWorker>;

/** As `shareThread()` of `attached.ts`. */
export function shareUringThread(): StartUringWorker {
  const threadOf = shareAskedThread<UringAsk>(MODULE, { what: "begin" });
  return (fixture, form) => UringWorker.start(fixture, form, threadOf());
}

/** The Worker. */
export class UringWorker implements AsyncDisposable {
  /** Its backend. */
  id = -1;
  readonly #thread: AskedThread<UringAsk>;
  readonly #hasOwnThread: boolean;
  readonly #fixture: Fixture;
  #threadId = 0;
  #isOver = false;

  private constructor(fixture: Fixture, shared: AskedThread<UringAsk> | null) {
    this.#fixture = fixture;
    this.#thread = shared ?? new AskedThread<UringAsk>(MODULE);
    this.#hasOwnThread = shared === null;
  }

  /**
   * Starts one and attaches it.
   *
   * @param shared a thread that outlives it; null: it gets one of its own
   */
  static async start(
    fixture: Fixture,
    form: RingForm,
    shared: AskedThread<UringAsk> | null = null,
  ): Promise<UringWorker> {
    const worker = new UringWorker(fixture, shared);
    try {
      const { token } = fixture.aio;
      const attached = await worker.ask<{ id: number; threadId: number }>(
        { what: "attach", token, form },
      );
      worker.id = attached.id;
      worker.#threadId = attached.threadId;
      return worker;
    } catch (error) {
      worker.#endThread();
      throw error;
    }
  }

  /** Asks for something; resolves with what came of it. */
  ask<T>(ask: UringAsk): Promise<T> {
    return this.#thread.ask(ask);
  }

  /** Has it start a read, into memory that is posted or, if there is none, its own. */
  read(fd: number, view: Uint8Array | null, offset = 0): Promise<WaitRef> {
    return this.ask({ what: "read", fd, offset, view, bytes: PIPE_BYTES });
  }

  /** Has it open a file in its own name, and read so often from its start. */
  async readFile({ token }: AioFile, count: number): Promise<void> {
    await this.ask({ what: "readFile", token, count });
  }

  /** Has it close that file. */
  async closeFile(): Promise<void> {
    await this.ask({ what: "closeFile" });
  }

  /** Ends it, in one of the ways. */
  end(ending: UringEnding): void {
    if (!this.#hasOwnThread) throw new Error("The thread of this Worker is shared");
    this.#isOver = true;
    if (ending === "terminate") this.#thread.terminate();
    else this.#thread.tell({ what: ending });
  }

  /** Resolves when its thread is gone. */
  async untilDead(): Promise<void> {
    await untilDead(backendOf(this.#fixture.aio).libc, this.#threadId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    try {
      await this.ask({ what: "close" });
    } finally {
      this.#endThread();
    }
  }

  #endThread(): void {
    if (this.#hasOwnThread) this.#thread.terminate();
  }
}
