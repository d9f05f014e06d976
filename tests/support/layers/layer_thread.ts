/**
 * layer_thread.ts: a Worker that attaches to a test's Aio with the layers that it is told, and does what
 * it is asked.
 *
 * @module
 */

import type { Aio, AioFile, AioToken, FileToken, WaitRef } from "../../../mod.ts";
import type { Layer } from "../../../core/life/layer.ts";
import { modulesOf } from "../../../core/life/layers.ts";
import type { NamedModule } from "../../../core/base/named_module.ts";

/** What the Worker can be asked. */
export type LayerAsk =
  | { what: "attach"; token: AioToken; file: FileToken; layers: readonly NamedModule[] }
  | { what: "read"; callback: string }
  | { what: "await"; ref: WaitRef }
  | { what: "close" };

/** What it answers. */
export type LayerAnswer = { value: unknown } | { error: string };

/** A Worker of one test; it is closed and ended with the scope. */
export class LayerThread implements AsyncDisposable {
  readonly #worker = new Worker(import.meta.resolve("./layer_thread_worker.ts"), {
    type: "module",
  });
  #isOver = false;

  private constructor() {}

  /** Starts one and attaches it. */
  static async start(
    aio: Aio,
    file: AioFile,
    layers: readonly Layer[],
  ): Promise<LayerThread> {
    const thread = new LayerThread();
    const [token, fileToken] = [aio.token, file.token];
    try {
      await thread.ask({ what: "attach", token, file: fileToken, layers: modulesOf(layers) });
      return thread;
    } catch (error) {
      thread.terminate();
      throw error;
    }
  }

  /** Asks for something, one at a time; resolves with what came of it. */
  ask<T>(ask: LayerAsk): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#worker.onmessage = ({ data }: MessageEvent<LayerAnswer>) => {
      if ("error" in data) reject(new Error(data.error));
      else resolve(data.value as T);
    };
    this.#worker.postMessage(ask);
    return promise;
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
