/**
 * layer_thread.ts: a Worker that attaches to a test's Aio with the layers of a message, and does
 * what the test asks.
 *
 * @module
 */

import type { WaitRef } from "../../../core/mod.ts";
import type { Aio, AioToken, FileToken } from "../../../mod.ts";
import type { Layer } from "../../../core/life/layer.ts";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import type { Fixture } from "../core.ts";
import { untilDead } from "../patience.ts";
import { AskedThread, shareAskedThread } from "../threads/asked_thread.ts";
import { modulesOf } from "../../../core/life/layers.ts";
import type { NamedModule } from "../../../core/base/named_module.ts";

/** What a test can ask of the Worker. */
export type LayerAsk =
  | { what: "begin" }
  | { what: "attach"; token: AioToken; file: FileToken; layers: readonly NamedModule[] }
  | { what: "read"; callback: string }
  | { what: "await"; ref: WaitRef }
  | { what: "acquire" | "alloc" }
  | { what: "openFile"; path: string }
  | { what: "takeRun"; bytes: number; mark: number }
  | { what: "reapAndDie"; id: number }
  | { what: "change" | "changeWhenWaited" | "store" | "waitWord"; index: number; value: number }
  | { what: "id" | "reaped" | "close" };

const MODULE = new URL("./layer_thread_worker.ts", import.meta.url);

/** An Aio and a file, or their tokens. */
interface Attachable {
  readonly aio: { readonly token: AioToken };
  readonly file: { readonly token: FileToken };
}

/** Starts a thread that is attached to an Aio with layers, and has the file. */
export type StartLayerThread = (
  aio: Attachable["aio"],
  file: Attachable["file"],
  layers: readonly Layer[],
) => Promise<LayerThread>;

/**
 * Starts one Worker for all threads of a file's tests that leave it alive, one after the other: a
 * Worker takes longer to start than they do. Called while the tests are registered.
 */
export function shareLayerThread(): StartLayerThread {
  const threadOf = shareAskedThread<LayerAsk>(MODULE, { what: "begin" });
  return (aio, file, layers) => LayerThread.start(aio, file, layers, threadOf());
}

/**
 * A thread of one test. At the end of its scope it closes, and its Worker ends unless it is shared.
 */
export class LayerThread implements AsyncDisposable {
  readonly #thread: AskedThread<LayerAsk>;
  readonly #hasOwnWorker: boolean;
  #isOver = false;

  private constructor(shared: AskedThread<LayerAsk> | null) {
    this.#thread = shared ?? new AskedThread(MODULE);
    this.#hasOwnWorker = shared === null;
  }

  /**
   * Starts one and attaches it.
   *
   * @param shared a Worker that outlives it; null: it gets one of its own
   */
  static async start(
    aio: Attachable["aio"],
    file: Attachable["file"],
    layers: readonly Layer[],
    shared: AskedThread<LayerAsk> | null = null,
  ): Promise<LayerThread> {
    const thread = new LayerThread(shared);
    try {
      await thread.#attach({ aio, file }, layers);
      return thread;
    } catch (error) {
      if (shared === null) thread.terminate();
      throw error;
    }
  }

  /**
   * Attaches one thread to several Aios, and has it die as it is, until it is gone.
   *
   * @param prepare what it does in each of them before that
   */
  static async dieIn(
    fixtures: readonly Fixture[],
    layers: readonly Layer[],
    prepare: (thread: LayerThread, fixture: Fixture) => Promise<unknown> = async () => {},
  ): Promise<void> {
    const thread = new LayerThread(null);
    try {
      for (const fixture of fixtures) {
        await thread.#attach(fixture, layers);
        await prepare(thread, fixture);
      }
      await thread.die(fixtures.at(-1)!.aio);
    } finally {
      thread.terminate();
    }
  }

  async #attach({ aio, file }: Attachable, layers: readonly Layer[]): Promise<void> {
    const { token } = aio;
    await this.ask({ what: "attach", token, file: file.token, layers: modulesOf(layers) });
  }

  /** Asks for something; resolves with what came of it. */
  ask<T>(ask: LayerAsk): Promise<T> {
    return this.#thread.ask(ask);
  }

  /** Ends its Worker as it is. */
  terminate(): void {
    this.#ownWorker.terminate();
  }

  /** The Worker, which is about to end. */
  get #ownWorker(): AskedThread<LayerAsk> {
    if (!this.#hasOwnWorker) throw new Error("The Worker of this thread is shared");
    this.#isOver = true;
    return this.#thread;
  }

  /** Ends it as it is, and waits until its thread is gone. */
  async die(aio: Aio): Promise<void> {
    const threadId = await this.#threadIdIn(aio);
    this.terminate();
    await untilDead(backendOf(aio).libc, threadId);
  }

  /**
   * Has it end itself while it reaps another one, in the layer's hook, and waits until it is gone.
   */
  async dieReaping(aio: Aio, dead: number): Promise<void> {
    const threadId = await this.#threadIdIn(aio);
    this.#ownWorker.tell({ what: "reapAndDie", id: dead });
    await untilDead(backendOf(aio).libc, threadId);
    this.terminate();
  }

  async #threadIdIn(aio: Aio): Promise<number> {
    const { control } = backendOf(aio);
    const id = await this.ask<number>({ what: "id" });
    return Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    try {
      await this.ask({ what: "close" });
    } finally {
      if (this.#hasOwnWorker) this.terminate();
    }
  }
}
