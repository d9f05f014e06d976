/**
 * layer_thread.ts: a Worker that attaches to a test's Aio with the layers that it is told, and does
 * what it is asked.
 *
 * @module
 */

import type { WaitRef } from "../../../core/mod.ts";
import type { Aio, AioFile, AioToken, FileToken } from "../../../mod.ts";
import type { Layer } from "../../../core/life/layer.ts";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import { untilDead } from "../patience.ts";
import { modulesOf } from "../../../core/life/layers.ts";
import type { NamedModule } from "../../../core/base/named_module.ts";

/** What the Worker can be asked. */
export type LayerAsk =
  | { what: "attach"; token: AioToken; file: FileToken; layers: readonly NamedModule[] }
  | { what: "read"; callback: string }
  | { what: "await"; ref: WaitRef }
  | { what: "acquire" | "alloc" }
  | { what: "openFile"; path: string }
  | { what: "takeRun"; bytes: number; mark: number }
  | { what: "reapAndDie"; id: number }
  | { what: "change" | "changeWhenWaited" | "store" | "waitWord"; index: number; value: number }
  | { what: "id" | "reaped" | "close" };

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
  static start(aio: Aio, file: AioFile, layers: readonly Layer[]): Promise<LayerThread> {
    return LayerThread.startWith(aio.token, file.token, layers);
  }

  /** The same with tokens. */
  static async startWith(
    token: AioToken,
    file: FileToken,
    layers: readonly Layer[],
  ): Promise<LayerThread> {
    const thread = new LayerThread();
    try {
      await thread.ask({ what: "attach", token, file, layers: modulesOf(layers) });
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

  /** Ends it as it is, and waits until its thread is gone. */
  async die(aio: Aio): Promise<void> {
    const { control, libc } = backendOf(aio);
    const id = await this.ask<number>({ what: "id" });
    const threadId = Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
    this.terminate();
    await untilDead(libc, threadId);
  }

  /**
   * Has it end itself while it reaps another one, in the layer's hook, and waits until it is gone.
   */
  async dieReaping(aio: Aio, dead: number): Promise<void> {
    const { control, libc } = backendOf(aio);
    const id = await this.ask<number>({ what: "id" });
    const threadId = Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
    this.#isOver = true;
    this.#worker.postMessage({ what: "reapAndDie", id: dead } satisfies LayerAsk);
    await untilDead(libc, threadId);
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
