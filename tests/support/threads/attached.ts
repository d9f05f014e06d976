/**
 * attached.ts: a Worker that is attached to a test's Aio and does what it is asked.
 *
 * @module
 */

import type { WaitRef } from "../../../core/mod.ts";
import type { Aio, AioFile, AioToken, FileToken } from "../../../mod.ts";

/** What the Worker can be asked. */
export type Ask =
  | { what: "attach"; token: AioToken; file: FileToken }
  | { what: "attachAgain"; token: AioToken }
  | { what: "write"; bytes: Uint8Array; offset: number }
  | { what: "read" | "stage" | "dieStaged"; offset: number; bytes: number }
  | { what: "openFile"; path: string }
  | { what: "sync" | "syncSync" | "startSync" }
  | { what: "readFd"; fd: number; bytes: number }
  | { what: "readFdHeld" | "tryReadFd"; fd: number; bytes: number; gate: Int32Array }
  | { what: "submit" | "close" | "closeAio" | "acquire" | "selfClose" }
  | { what: "seen" | "perform" | "await" | "waitSync"; ref: WaitRef }
  | { what: "complete"; ref: WaitRef; result: number };

/** What it answers. */
export type Answer = { id: number; value: unknown } | { id: number; error: string };

/** A Worker of one test; it is closed and ended with the scope. */
export class AttachedWorker implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 0;
  #isOver = false;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const pending = this.#pending.get(data.id)!;
      this.#pending.delete(data.id);
      if ("error" in data) pending.reject(new Error(data.error));
      else pending.resolve(data.value);
    };
  }

  /** Starts one and attaches it. */
  static async start(aio: Aio, file: AioFile): Promise<AttachedWorker> {
    const worker = AttachedWorker.startBare();
    try {
      await worker.ask({ what: "attach", token: aio.token, file: file.token });
      return worker;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** Starts one that is not attached yet. */
  static startBare(): AttachedWorker {
    const url = new URL("./attached_worker.ts", import.meta.url);
    return new AttachedWorker(new Worker(url, { type: "module" }));
  }

  /** Asks for something; resolves with what came of it. */
  ask<T>(ask: Ask): Promise<T> {
    const pending = Promise.withResolvers<unknown>();
    const id = this.#nextId++;
    this.#pending.set(id, pending);
    this.#worker.postMessage({ id, ask });
    return pending.promise as Promise<T>;
  }

  /** Has it end itself, in the middle of what it does. */
  end(): void {
    this.#isOver = true;
    this.#worker.postMessage({ id: this.#nextId++, ask: { what: "selfClose" } });
  }

  /** Ends it as it is. */
  terminate(): void {
    this.#isOver = true;
    this.#worker.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    try {
      await this.ask({ what: "close" });
    } finally {
      this.terminate();
    }
  }
}
