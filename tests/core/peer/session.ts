/**
 * session.ts: a second session: a Worker that is attached to a test's Aio, reads pages with the
 * checker, waits for other threads' IO, and keeps what it was warned of and what it logged.
 *
 * @module
 */

import type { AioFile, AioToken, FileToken, InjectionPoint, WaitRef } from "../../../mod.ts";
import type { Aio } from "../../../storage/aio.ts";
import { HANG_MS } from "../../support/patience.ts";
import type { Outcome, PageRead, Way } from "./peer.ts";

/** What a hook does that a session attaches to an injection point. */
export type HookAct = "count" | "throw" | "block" | "end";

/** What the session can be asked. */
export type Ask =
  | { what: "attach"; token: AioToken; file: FileToken }
  | { what: "set"; zeroDamagedPages: boolean }
  | { what: "start"; read: PageRead; isWaiting: boolean }
  | { what: "wait"; way: Way; ref: WaitRef }
  | { what: "outcome" | "warn"; ref: WaitRef }
  | { what: "see"; frames: readonly Uint8Array[] }
  | { what: "hook"; point: InjectionPoint; act: HookAct; words: Int32Array }
  | { what: "told" | "leave" | "end" };

/** What it answers. */
export type Answer = { id: number; value: unknown } | { id: number; error: string };

/** What was said in the session's thread. */
export interface Told {
  readonly warnings: readonly string[];
  readonly logs: readonly string[];
}

/** The words of a gate that a hook looks at. */
export const GATE_WORDS = { calls: 0, isOpen: 1, size: 2 } as const;

/**
 * Memory by which a hook in another thread and the test know of each other. The gate opens at the end
 * of its scope, so that a test that fails does not wait for a thread that waits for the test.
 */
export class Gate implements Disposable {
  /** What is posted to the session. */
  readonly words = new Int32Array(
    new SharedArrayBuffer(GATE_WORDS.size * Int32Array.BYTES_PER_ELEMENT),
  );

  /** How often the hook was called. */
  get calls(): number {
    return Atomics.load(this.words, GATE_WORDS.calls);
  }

  /** Resolves when the hook was called once. */
  async whenCalled(): Promise<void> {
    const { value } = Atomics.waitAsync(this.words, GATE_WORDS.calls, 0, HANG_MS);
    if (await value === "timed-out") throw new Error("The hook was not called");
  }

  /** Lets the hook go that is blocked at the gate, now or when it comes. */
  open(): void {
    Atomics.store(this.words, GATE_WORDS.isOpen, 1);
    Atomics.notify(this.words, GATE_WORDS.isOpen);
  }

  [Symbol.dispose](): void {
    this.open();
  }
}

/** A session of one test. It leaves, and its thread ends, with the scope. */
export class Session implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 0;
  #isOver = false;

  private constructor() {
    this.#worker = new Worker(new URL("./session_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const pending = this.#pending.get(data.id)!;
      this.#pending.delete(data.id);
      if ("error" in data) pending.reject(new Error(data.error));
      else pending.resolve(data.value);
    };
  }

  /** Starts one and attaches it. */
  static async start({ aio, file }: { aio: Aio; file: AioFile }): Promise<Session> {
    const session = new Session();
    try {
      await session.#ask({ what: "attach", token: aio.token, file: file.token });
      return session;
    } catch (error) {
      session.terminate();
      throw error;
    }
  }

  #ask<T>(ask: Ask): Promise<T> {
    const pending = Promise.withResolvers<unknown>();
    const id = this.#nextId++;
    this.#pending.set(id, pending);
    this.#worker.postMessage({ id, ask });
    return pending.promise as Promise<T>;
  }

  /** Sets the session's `zero_damaged_pages`. */
  set(zeroDamagedPages: boolean): Promise<void> {
    return this.#ask({ what: "set", zeroDamagedPages });
  }

  /** Has it start a checked read, without waiting. The frames are in the arena. */
  start(read: PageRead): Promise<WaitRef> {
    return this.#ask({ what: "start", read, isWaiting: false });
  }

  /** Has it wait for an IO, its own or another thread's. */
  wait(way: Way, ref: WaitRef): Promise<void> {
    return this.#ask({ what: "wait", way, ref });
  }

  /** Has it wait for an IO with a hook attached that ends the thread. No answer comes. */
  waitUntilEnd(way: Way, ref: WaitRef): void {
    this.#tellLast({ what: "wait", way, ref });
  }

  /** Has it start a read and wait, with such a hook. */
  readUntilEnd(read: PageRead): void {
    this.#tellLast({ what: "start", read, isWaiting: true });
  }

  /** How a read that it started ended. */
  outcome(ref: WaitRef): Promise<Outcome> {
    return this.#ask({ what: "outcome", ref });
  }

  /** Has it start a read, wait for it, and say how it ended. */
  async read(read: PageRead): Promise<Outcome> {
    const ref = await this.start(read);
    await this.wait("wait", ref);
    return await this.outcome(ref);
  }

  /** Has it report the result of a read that it started, as a warning. */
  warn(ref: WaitRef): Promise<void> {
    return this.#ask({ what: "warn", ref });
  }

  /** What shared memory holds, seen by that thread. */
  see(frames: readonly Uint8Array[]): Promise<Uint8Array[]> {
    return this.#ask({ what: "see", frames });
  }

  /** Has it attach a hook, which counts its calls at a gate, and does something there. */
  hook(point: InjectionPoint, act: HookAct, gate: Gate): Promise<void> {
    return this.#ask({ what: "hook", point, act, words: gate.words });
  }

  /** What was said in its thread until now. */
  told(): Promise<Told> {
    return this.#ask({ what: "told" });
  }

  /** Has it leave in peace: its own IO ends first. The thread ends then. */
  async leave(): Promise<void> {
    try {
      await this.#ask({ what: "leave" });
    } finally {
      this.terminate();
    }
  }

  /** Has its thread end itself, whatever it has in flight. */
  end(): void {
    this.#tellLast({ what: "end" });
  }

  #tellLast(ask: Ask): void {
    this.#isOver = true;
    this.#worker.postMessage({ id: this.#nextId++, ask });
  }

  /** Ends its thread, whatever it has in flight. */
  terminate(): void {
    this.#isOver = true;
    this.#worker.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) await this.leave();
  }
}
