/**
 * asked_thread.ts: a Worker that is asked for one thing after the other, by messages, and answers
 * each.
 *
 * @module
 */

import { shareAmongTests } from "../shared.ts";

/** What the Worker gets. */
export interface Question<Ask> {
  readonly id: number;
  readonly ask: Ask;
}

/** What it answers. */
export type Answer = { id: number; value: unknown } | { id: number; error: string };

/**
 * The thread. An error that ends it rejects each question without an answer, and all later ones; a
 * test that asks nothing any more does not fail by it.
 */
export class AskedThread<Ask> {
  readonly #worker: Worker;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 0;
  /** What ended it. */
  #error: Error | null = null;

  /** Starts it with a module. */
  constructor(module: URL) {
    this.#worker = new Worker(module, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const pending = this.#pending.get(data.id);
      this.#pending.delete(data.id);
      if ("error" in data) pending?.reject(new Error(data.error));
      else pending?.resolve(data.value);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`The Worker has ended: ${event.message}`));
    };
  }

  #fail(error: Error): void {
    this.#error = error;
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }

  /** Asks for something; resolves with what came of it. */
  ask<T>(ask: Ask): Promise<T> {
    if (this.#error !== null) return Promise.reject(this.#error);
    const pending = Promise.withResolvers<unknown>();
    this.#pending.set(this.#nextId, pending);
    this.tell(ask);
    return pending.promise as Promise<T>;
  }

  /** The same, without waiting for an answer. */
  tell(ask: Ask): void {
    const question: Question<Ask> = { id: this.#nextId++, ask };
    this.#worker.postMessage(question);
  }

  /** Ends it as it is. */
  terminate(): void {
    this.#worker.terminate();
  }
}

/**
 * One for all tests of a file that leave it alive, one after the other: as `shared.ts` has it.
 *
 * @param module what it starts with
 * @param first the first question, which it answers once it has begun
 */
export function shareAskedThread<Ask>(module: URL, first: Ask): () => AskedThread<Ask> {
  const shared = shareAmongTests(async () => {
    const thread = new AskedThread<Ask>(module);
    await thread.ask(first);
    return {
      thread,
      async [Symbol.asyncDispose]() {
        await Promise.resolve(thread.terminate());
      },
    };
  });
  return () => shared().thread;
}
