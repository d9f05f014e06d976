/**
 * bells.ts: what the tests of the doorbells need: methods that are replaced for a while, sleeps
 * that last long and are written down, and a Worker whose bells can be switched off
 * (`bells_worker.ts`).
 *
 * Every sleep of the library has an end, so a bell that is lost only delays. Here the sleeps last
 * so long that only a bell can have ended them.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import type { Libc } from "../../../ffi/libc.ts";
import type { WaitRef } from "../../../core/mod.ts";
import type { Aio, AioFile, AioToken, FileToken } from "../../../mod.ts";
import { type Fixture, openHeld } from "../core.ts";
import { HeldMethod } from "../held_method.ts";
import { HANG_MS, settles, untilDead } from "../patience.ts";
import { AskedThread, shareAskedThread } from "../threads/asked_thread.ts";

/** How long a sleep lasts that only a bell should end: longer than anybody waits for it. */
const LONG_MS = 2 * HANG_MS;
/** How long to wait for a bell that is switched off: a working one takes a few milliseconds. */
export const SILENCE_MS = 100;

/** Whether something comes: waits long where it should, and not where it should not. */
export async function comes(event: Promise<unknown>, isExpected: boolean): Promise<boolean> {
  return await settles(event, isExpected ? HANG_MS : SILENCE_MS);
}

/** Replaces a method of one object until the end of the scope. */
export function replace<T extends object, K extends keyof T>(
  object: T,
  name: K,
  method: T[K],
): Disposable {
  const before = Object.getOwnPropertyDescriptor(object, name);
  Object.defineProperty(object, name, { configurable: true, writable: true, value: method });
  return {
    [Symbol.dispose]() {
      if (before === undefined) Reflect.deleteProperty(object, name);
      else Object.defineProperty(object, name, before);
    },
  };
}

/** One sleep of the pump. */
export interface Poll {
  /** What the pump asked for, however long it lasts here. */
  readonly timeoutMs: number;
  /** Over 0: a bell ended it. 0: it came to its end. null: it goes on. */
  result: number | null;
  /** Resolves with the result. */
  readonly ended: Promise<number>;
}

/** Writes down the sleeps of this thread's pump, and makes them last long. */
export class PollWatch implements Disposable {
  /** All that have begun. */
  readonly polls: Poll[] = [];
  /** Called before each: the pump has said that it sleeps, and has looked once more. */
  onPoll: () => void = () => {};
  readonly #replaced: Disposable;
  #next = Promise.withResolvers<Poll>();

  /**
   * @param libc of this thread's backend
   * @param isLong which ones last long, by what the pump asked for; default: all
   */
  constructor(libc: Libc, isLong: (timeoutMs: number) => boolean = () => true) {
    const poll = libc.pollNonblocking.bind(libc);
    this.#replaced = replace(libc, "pollNonblocking", (pollfds, count, timeoutMs) => {
      this.onPoll();
      const result = poll(pollfds, count, isLong(timeoutMs) ? LONG_MS : timeoutMs);
      this.#record(timeoutMs, result);
      return result;
    });
  }

  #record(timeoutMs: number, promise: Promise<number>): void {
    const ended = promise.then((result) => poll.result = result);
    const poll: Poll = { timeoutMs, result: null, ended };
    this.polls.push(poll);
    this.#next.resolve(poll);
    this.#next = Promise.withResolvers();
  }

  /** Resolves when a sleep is under way. */
  async untilParked(): Promise<Poll> {
    const last = this.polls.at(-1);
    if (last !== undefined && last.result === null) return last;
    const next = this.#next.promise;
    if (!await comes(next, true)) throw new Error("The pump does not go to sleep");
    return await next;
  }

  [Symbol.dispose](): void {
    this.#replaced[Symbol.dispose]();
  }
}

/** What became of a sleep in `Atomics.wait`. */
export type SleepOutcome = "ok" | "not-equal" | "timed-out";

/**
 * Has the first blocking sleep of this thread on one word last until it is woken, if it ever is.
 */
export class SleepWatch implements Disposable {
  /** How each sleep on that word ended; the first is `"timed-out"` only where its bell was lost. */
  readonly outcomes: SleepOutcome[] = [];
  readonly #replaced: Disposable;

  /**
   * @param words the control memory
   * @param at the word slept on
   * @param beforeSleep called right before the first one
   * @param isOver whether whoever should wake it has done so: only then can a bell be lost
   * @param isExpected whether the bell should come
   */
  constructor(
    words: Int32Array,
    at: number,
    beforeSleep: () => void,
    isOver: () => boolean,
    isExpected: boolean,
  ) {
    const wait = Atomics.wait;
    const sleep = (value: number): SleepOutcome => {
      for (;;) {
        const outcome = wait(words, at, value, isExpected ? HANG_MS : SILENCE_MS);
        if (outcome !== "timed-out" || isOver()) return outcome;
      }
    };
    this.#replaced = replace(Atomics, "wait", (
      array: Int32Array | BigInt64Array,
      index: number,
      value: number | bigint,
      timeout?: number,
    ): SleepOutcome => {
      if (array.buffer !== words.buffer || index !== at || this.outcomes.length > 0) {
        return Reflect.apply(wait, Atomics, [array, index, value, timeout]);
      }
      beforeSleep();
      const outcome = sleep(Number(value));
      this.outcomes.push(outcome);
      return outcome;
    });
  }

  [Symbol.dispose](): void {
    this.#replaced[Symbol.dispose]();
  }
}

/** Lets one thread, blocking, wait for another to do something at a certain moment. */
export class Signal {
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** @param memory two words: told, done */
  constructor(readonly memory: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.#words = new Int32Array(memory);
  }

  /** Whether the other thread has done it. */
  get isDone(): boolean {
    return Atomics.load(this.#words, 1) === 1;
  }

  /** Tells the other thread to do it now. */
  tell(): void {
    this.#set(0);
  }

  /** The same, and blocks until it has done so. */
  tellAndWait(): void {
    this.#set(0);
    this.#await(1);
  }

  /** In the other thread: blocks until {@linkcode Signal.tell}. */
  awaitTold(): void {
    this.#await(0);
  }

  /** In the other thread: says that it is done. */
  done(): void {
    this.#set(1);
  }

  #set(at: number): void {
    Atomics.store(this.#words, at, 1);
    Atomics.notify(this.#words, at);
  }

  #await(at: number): void {
    const outcome = Atomics.wait(this.#words, at, 0, HANG_MS);
    if (outcome === "timed-out") throw new Error("The other thread does not go on");
  }
}

/** What a test can ask of the Worker. */
export type BellAsk =
  | { what: "begin" }
  | { what: "attach"; token: AioToken; file: FileToken }
  /** From now on its bell does not reach this backend. */
  | { what: "mute"; id: number }
  /** From now on its `Atomics.notify` does not reach this word. */
  | { what: "muteNotify"; at: number }
  | { what: "read" | "stage" | "submit" | "untilParked" | "close" }
  | { what: "claim" | "perform" | "await"; ref: WaitRef }
  | { what: "ring" | "reap"; id: number }
  /** Blocks until the signal, then for `delayMs`, and does `ask`. */
  | { what: "whenTold"; signal: SharedArrayBuffer; delayMs: number; ask: BellAsk };

const MODULE = new URL("./bells_worker.ts", import.meta.url);

/**
 * A Worker of one test, attached to its Aio. At the end of its scope it closes, and its thread ends
 * unless it is shared.
 */
export class BellWorker implements AsyncDisposable {
  readonly #thread: AskedThread<BellAsk>;
  readonly #hasOwnThread: boolean;
  readonly #aio: Aio;
  #isOver = false;
  /** Its backend. */
  id = -1;

  private constructor(aio: Aio, shared: AskedThread<BellAsk> | null) {
    this.#aio = aio;
    this.#thread = shared ?? new AskedThread<BellAsk>(MODULE);
    this.#hasOwnThread = shared === null;
  }

  /**
   * Starts one and attaches it.
   *
   * @param shared a thread that outlives it; null: it gets one of its own
   */
  static async start(
    aio: Aio,
    file: AioFile,
    shared: AskedThread<BellAsk> | null = null,
  ): Promise<BellWorker> {
    const worker = new BellWorker(aio, shared);
    try {
      const ask: BellAsk = { what: "attach", token: aio.token, file: file.token };
      worker.id = await worker.ask<number>(ask);
      return worker;
    } catch (error) {
      worker.#endThread();
      throw error;
    }
  }

  /** Asks for something; resolves with what came of it. */
  ask<T = void>(ask: BellAsk): Promise<T> {
    return this.#thread.ask(ask);
  }

  /** Lets an IO go. @returns how many bells it rang that cost a system call */
  perform(ref: WaitRef): Promise<number> {
    return this.ask({ what: "perform", ref });
  }

  /** Ends it as it is; resolves when its thread is gone. */
  async kill(): Promise<void> {
    const { control, libc } = backendOf(this.#aio);
    const threadId = control.words[control.backendAt(this.id) + BACKEND.threadId]!;
    if (!this.#hasOwnThread) throw new Error("The thread of this Worker is shared");
    this.#isOver = true;
    this.#thread.terminate();
    await untilDead(libc, threadId);
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

/** An Aio, Workers attached to it, and a pump whose sleeps last long. */
export interface Stage extends AsyncDisposable {
  readonly fixture: Fixture;
  readonly aio: Aio;
  readonly held: HeldMethod;
  readonly workers: readonly BellWorker[];
  readonly watch: PollWatch;
}

/** What a test needs of its {@linkcode Stage}. */
export interface StageOptions {
  /** How many Workers; default: none. */
  readonly workers?: number;
  /** How many of them, the first ones, the test kills; default: none. */
  readonly mortals?: number;
  /** The method; default: one that holds everything. */
  readonly held?: HeldMethod;
  /** Which sleeps last long; default: all. */
  readonly isLong?: (timeoutMs: number) => boolean;
  /** Handles of each backend; default: 8. */
  readonly maxConcurrency?: number;
  /** Longest doze; default: 0, as most tests are about sleeping. */
  readonly dozeMicroseconds?: number;
}

/**
 * Starts threads for the Workers of a file's tests that leave them alive: a thread takes longer to
 * start than they do. Called while the tests are registered.
 *
 * @param count most Workers of a test
 * @returns opens a stage; at its end every thread that still sleeps is woken
 */
export function shareStages(count: number): (options?: StageOptions) => Promise<Stage> {
  const first: BellAsk = { what: "begin" };
  const threads = Array.from({ length: count }, () => shareAskedThread<BellAsk>(MODULE, first));
  return (options = {}) => openStage(options, threads);
}

/** Opens an Aio and attaches the Workers. */
async function openStage(
  options: StageOptions,
  threads: readonly (() => AskedThread<BellAsk>)[],
): Promise<Stage> {
  const { workers: count = 0, mortals = 0, held = new HeldMethod(), maxConcurrency = 8 } = options;
  const { dozeMicroseconds = 0 } = options;
  const fixture = await openHeld({ maxBackends: 4, maxConcurrency, dozeMicroseconds }, held);
  const { aio, file } = fixture;
  const workers: BellWorker[] = [];
  while (workers.length < count) {
    const isMortal = workers.length < mortals;
    const shared = isMortal ? null : threads[workers.length]!();
    workers.push(await BellWorker.start(aio, file, shared));
  }
  const watch = new PollWatch(backendOf(aio).libc, options.isLong);
  return {
    fixture,
    aio,
    held,
    workers,
    watch,
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      if (!aio.isClosed) {
        for (const { id } of workers) backendOf(aio).doorbells.ring(id);
        backendOf(aio).doorbells.ringSelf();
        held.performAll(aio);
      }
      for (const worker of workers) await worker[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

/** Has a Worker do something once the main thread tells it; resolves with what came of it. */
export function whenTold<T = void>(
  worker: BellWorker,
  ask: BellAsk,
  delayMs = 0,
): { signal: Signal; answer: Promise<T> } {
  const signal = new Signal();
  const answer = worker.ask<T>({ what: "whenTold", signal: signal.memory, delayMs, ask });
  return { signal, answer };
}
