/**
 * pool_asked.ts: another thread that uses the pool of a test, and does what the test asks.
 *
 * @module
 */

import type { Aio, AioFile, PagePool, PageReadOptions } from "../../../mod.ts";
import { AskedThread, shareAskedThread } from "../threads/asked_thread.ts";
import { until } from "../patience.ts";

/** What a test can ask of the thread. */
export type PoolAsk =
  | { what: "begin" | "wait" | "giveUp" | "unpin" | "warnings" | "close" | "leave" | "die" }
  | { what: "attach"; aio: Aio["token"]; pool: PagePool["token"]; file: AioFile["token"] }
  | { what: "read"; block: number; blocks?: boolean; options?: PageReadOptions }
  | { what: "start"; block: number; count: number; options?: PageReadOptions }
  | { what: "pin" | "invalidate"; block: number }
  | { what: "lock"; mode: "shared" | "exclusive" }
  | { what: "open"; path: string }
  | { what: "stop"; gate: Int32Array<SharedArrayBuffer> };

const MODULE = new URL("./pool_asked_worker.ts", import.meta.url);

/** What a thread is started for. */
type Parts = Readonly<{ aio: Aio; pool: PagePool; file: AioFile }>;

/** Starts one thread for all tests of a file that leave it alive, one after the other. */
export function sharePoolThread(): (it: Parts) => Promise<PoolThreadAsked> {
  const threadOf = shareAskedThread<PoolAsk>(MODULE, { what: "begin" });
  return (it) => PoolThreadAsked.start(it, threadOf());
}

/** A thread of one test. At the end of its scope it leaves the pool. */
export class PoolThreadAsked implements AsyncDisposable {
  readonly #thread: AskedThread<PoolAsk>;
  readonly #isShared: boolean;
  #isOver = false;

  private constructor(shared: AskedThread<PoolAsk> | null) {
    this.#thread = shared ?? new AskedThread<PoolAsk>(MODULE);
    this.#isShared = shared !== null;
  }

  /** Starts one, which has the pool and the file. */
  static async start(
    { aio, pool, file }: Parts,
    shared: AskedThread<PoolAsk> | null = null,
  ): Promise<PoolThreadAsked> {
    const thread = new PoolThreadAsked(shared);
    await thread.ask({ what: "attach", aio: aio.token, pool: pool.token, file: file.token });
    return thread;
  }

  /** Asks for something; resolves with what came of it. */
  ask<T>(ask: PoolAsk): Promise<T> {
    return this.#thread.ask(ask);
  }

  /** Has it do nothing at all, not even look for its IO. @returns has it go on */
  async stop(): Promise<() => Promise<void>> {
    const gate = new Int32Array(new SharedArrayBuffer(8));
    const stopped = this.ask<void>({ what: "stop", gate });
    await until(() => Atomics.load(gate, 0) === 1, "the other thread stops");
    return () => {
      Atomics.store(gate, 1, 1);
      Atomics.notify(gate, 1);
      return stopped;
    };
  }

  /** Ends the thread in the middle of what it has. */
  die(): void {
    if (this.#isShared) throw new Error("A thread that tests share must not die");
    this.#isOver = true;
    this.#thread.tell({ what: "die" });
  }

  /** Has it close its Aio, whatever it has of the pool. */
  async leave(): Promise<void> {
    this.#isOver = true;
    await this.ask({ what: "leave" });
    if (!this.#isShared) this.#thread.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    try {
      await this.ask({ what: "close" });
    } finally {
      if (!this.#isShared) this.#thread.terminate();
    }
  }
}
