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
import { PIPE_BYTES } from "./uring.ts";

/** What the Worker can be asked, one thing at a time. */
export type UringAsk =
  | { what: "attach"; token: AioToken; form: RingForm }
  | { what: "read"; fd: number; offset: number; view: Uint8Array | null; bytes: number }
  | { what: "readFile"; token: FileToken; count: number }
  | { what: "waitSync" | "result"; ref: WaitRef }
  | { what: "closeFile" | "selfClose" | "close" };

/** What it answers. */
export type UringAnswer = { value: unknown } | { error: string };

/** The ways for a thread to end without `close()`. */
export const URING_ENDINGS = ["terminate", "selfClose", "throw"] as const;
/** One of them. */
export type UringEnding = typeof URING_ENDINGS[number];

/** The Worker. */
export class UringWorker implements AsyncDisposable {
  /** Its backend. */
  id = -1;
  readonly #worker: Worker;
  readonly #fixture: Fixture;
  #threadId = 0;
  #pending: PromiseWithResolvers<unknown> | null = null;
  #isOver = false;

  private constructor(fixture: Fixture) {
    this.#fixture = fixture;
    const url = new URL("./uring_worker.ts", import.meta.url);
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<UringAnswer>) => {
      if ("error" in data) this.#pending!.reject(new Error(data.error));
      else this.#pending!.resolve(data.value);
    };
    this.#worker.onerror = (event) => event.preventDefault();
  }

  /** Starts one and attaches it. */
  static async start(fixture: Fixture, form: RingForm): Promise<UringWorker> {
    const worker = new UringWorker(fixture);
    try {
      const { token } = fixture.aio;
      const attached = await worker.ask<{ id: number; threadId: number }>(
        { what: "attach", token, form },
      );
      worker.id = attached.id;
      worker.#threadId = attached.threadId;
      return worker;
    } catch (error) {
      worker.#worker.terminate();
      throw error;
    }
  }

  /** Asks for something; resolves with what came of it. */
  ask<T>(ask: UringAsk): Promise<T> {
    this.#pending = Promise.withResolvers<unknown>();
    this.#worker.postMessage(ask);
    return this.#pending.promise as Promise<T>;
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
    this.#isOver = true;
    if (ending === "terminate") this.#worker.terminate();
    else this.#worker.postMessage({ what: ending });
  }

  /** Resolves when its thread is gone. */
  async untilDead(): Promise<void> {
    const { libc } = backendOf(this.#fixture.aio);
    while (libc.isThreadAlive(this.#threadId)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    try {
      await this.ask({ what: "close" });
    } finally {
      this.#worker.terminate();
    }
  }
}
