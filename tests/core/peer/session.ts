/**
 * session.ts: a second session: a Worker that is attached to a test's Aio, reads pages with the
 * checker, waits for other threads' IO, and keeps what it was warned of and what it logged.
 *
 * @module
 */

import type { InjectionPoint, WaitRef } from "../../../core/mod.ts";
import type { AioToken, FileToken } from "../../../mod.ts";
import { HANG_MS } from "../../support/patience.ts";
import { AskedThread, shareAskedThread } from "../../support/threads/asked_thread.ts";
import type { Outcome, PageRead, Party, Way } from "./peer.ts";

/** What a hook does that a session attaches to an injection point. */
export type HookAct = "count" | "throw" | "block" | "end";

/** What a test can ask of the session. */
export type Ask =
  | { what: "attach"; token: AioToken; file: FileToken }
  | { what: "set"; zeroDamagedPages: boolean }
  | { what: "start"; read: PageRead; isWaiting: boolean }
  | { what: "wait"; way: Way; ref: WaitRef }
  | { what: "outcome" | "warn"; ref: WaitRef }
  | { what: "see"; frames: readonly Uint8Array[] }
  | { what: "hook"; point: InjectionPoint; act: HookAct; words: Int32Array }
  | { what: "told" | "leave" | "end" };

/** The warnings and the log of the session's thread. */
export interface Told {
  readonly warnings: readonly string[];
  readonly logs: readonly string[];
}

/** The words of a gate that a hook looks at. */
export const GATE_WORDS = { calls: 0, isOpen: 1, size: 2 } as const;

/**
 * Memory by which a hook in another thread and the test see each other's progress. The gate opens
 * at the end of its scope, so that a test that fails does not wait for a thread that waits for the
 * test.
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

  /** Releases the hook that is blocked at the gate, now or when it comes. */
  open(): void {
    Atomics.store(this.words, GATE_WORDS.isOpen, 1);
    Atomics.notify(this.words, GATE_WORDS.isOpen);
  }

  [Symbol.dispose](): void {
    this.open();
  }
}

const MODULE = new URL("./session_worker.ts", import.meta.url);

/** Starts a session of a thread's Aio. */
export type StartSession = (party: Party) => Promise<Session>;

/**
 * Starts one thread for the sessions of all tests of a file, one after the other: a thread takes
 * longer to start than they do. Called while the tests are registered.
 *
 * @returns starts a session that leaves in peace
 */
export function shareThread(): StartSession {
  const threadOf = shareAskedThread<Ask>(MODULE, { what: "told" });
  return (party) => Session.start(party, threadOf());
}

/**
 * A session of one test. At the end of its scope it leaves; its thread ends too, unless it is
 * shared.
 */
export class Session implements AsyncDisposable {
  readonly #thread: AskedThread<Ask>;
  readonly #hasOwnThread: boolean;
  #isOver = false;

  private constructor(shared: AskedThread<Ask> | null) {
    this.#thread = shared ?? new AskedThread<Ask>(MODULE);
    this.#hasOwnThread = shared === null;
  }

  /**
   * Starts a session and attaches it.
   *
   * @param shared a thread that outlives it; null: it gets one of its own
   */
  static async start(
    { aio, file }: Party,
    shared: AskedThread<Ask> | null = null,
  ): Promise<Session> {
    const session = new Session(shared);
    try {
      await session.#ask({ what: "attach", token: aio.token, file: file.token });
      return session;
    } catch (error) {
      if (shared === null) session.terminate();
      throw error;
    }
  }

  #ask<T>(ask: Ask): Promise<T> {
    return this.#thread.ask(ask);
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
    this.#ownThread.tell({ what: "wait", way, ref });
  }

  /** Has it start a read and wait, with such a hook. */
  readUntilEnd(read: PageRead): void {
    this.#ownThread.tell({ what: "start", read, isWaiting: true });
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

  /** What shared memory holds, as that thread sees it. */
  see(frames: readonly Uint8Array[]): Promise<Uint8Array[]> {
    return this.#ask({ what: "see", frames });
  }

  /** Has it attach a hook, which counts its calls at a gate, and does something there. */
  hook(point: InjectionPoint, act: HookAct, gate: Gate): Promise<void> {
    return this.#ask({ what: "hook", point, act, words: gate.words });
  }

  /** The warnings and the log of its thread until now. */
  told(): Promise<Told> {
    return this.#ask({ what: "told" });
  }

  /** Has it leave in peace, so that its own IO ends first. */
  async leave(): Promise<void> {
    try {
      this.#isOver = true;
      await this.#ask({ what: "leave" });
    } finally {
      if (this.#hasOwnThread) this.#thread.terminate();
    }
  }

  /** Has its thread end itself, whatever it has in flight. */
  end(): void {
    this.#ownThread.tell({ what: "end" });
  }

  /** Ends its thread, whatever it has in flight. */
  terminate(): void {
    this.#ownThread.terminate();
  }

  /** The thread, which is about to end. */
  get #ownThread(): AskedThread<Ask> {
    if (!this.#hasOwnThread) throw new Error("The thread of this session is shared");
    this.#isOver = true;
    return this.#thread;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) await this.leave();
  }
}
