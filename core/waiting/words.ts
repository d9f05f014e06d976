/**
 * words.ts: how a thread waits for a word of shared memory, blocking or awaiting, and how the
 * others wake it. The locks and queues of layers are made of this.
 *
 * Another word has a bit for each backend that waits. No wake-up is lost, because both sides do two
 * things in opposite order: a waiter sets its bit and then looks at the word once more; whoever
 * changes the word does so and then looks at the bits. So a change that nobody waits for costs one
 * load.
 *
 * A wait ends when the word no longer holds a value. Another thread may have brought the value back
 * by the time the waiter looks, and the wait also ends when the Aio closes: a waiter looks, and
 * waits again.
 *
 * @module
 */

import type { Doorbells } from "./doorbell.ts";
import { LOOK_AGAIN_MS, LOOKS_UNTIL_CHECK } from "../base/pauses.ts";
import { BACKEND } from "../memory/shared_memory.ts";
import { boundedMs, type BoundedSleeper } from "./sleep_bound.ts";
import type { CompletionWaiter, Turn } from "./turn.ts";
import { WAIT_EXTENSION, WAIT_NONE } from "../io/wait_event.ts";

/** A word that is waited for. */
export interface WaitWord {
  /** The memory: of the arena, or the control memory. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Which word. */
  readonly index: number;
  /** Which word has a bit for each backend that waits. */
  readonly waiters: number;
}

/** What waiting for words needs of the backend. */
export interface WordWaitsHost extends BoundedSleeper {
  /** Wakes and sleeps. */
  readonly doorbells: Doorbells;
  /** Decides whether a waiter is called now or in the next turn. */
  readonly turn: Turn;
  /** Throws if the call is made from a callback. */
  checkNotInCallback(call: string): void;
  /** Records sleeps. */
  readonly wakeUps: { blocks(): void };
  /**
   * Takes back own handles that other backends completed, and looks for completions of the method.
   */
  collect(): void;
  /** Looks for changes while somebody awaits one. */
  readonly pump: { start(): void; noticeIdle(): void };
  /** IOs that are prepared and not submitted. */
  readonly staging: { submit(): void; submitAtEndOfTurn(): void };
}

interface PendingWait {
  readonly word: WaitWord;
  readonly value: number;
  readonly waiter: CompletionWaiter;
}

/**
 * Says that a backend is about to wait for a word. For words that only move while somebody waits:
 * what is waited for must be looked at once more after this.
 *
 * @returns what the word holds, to be waited for if that look does not find it
 */
export function announceWait({ words, index, waiters }: WaitWord, backendId: number): number {
  // In this order: whoever takes the bit away moves the word after that.
  const seen = Atomics.load(words, index);
  Atomics.or(words, waiters, 1 << backendId);
  return seen;
}

/**
 * Wakes all backends that wait for a word. The caller has changed the word before, by an atomic
 * operation; it may be a callback, or a hook of a layer.
 *
 * @param bells of this thread
 */
export function wakeWord(bells: Doorbells, word: WaitWord): void {
  const { words, waiters } = word;
  if (Atomics.load(words, waiters) !== 0) wake(bells, word, Atomics.exchange(words, waiters, 0));
}

function wake(bells: Doorbells, { words, index }: WaitWord, mask: number): void {
  Atomics.notify(words, index);
  bells.ringAll(mask);
  if (bells.isOwnIn(mask)) bells.ringSelf();
}

/**
 * Moves a word that only moves while somebody waits, and wakes whoever does: the other side of
 * {@linkcode announceWait}. What is waited for has changed before, by an atomic operation.
 *
 * @param bells of this thread
 */
export function tellIfAwaited(bells: Doorbells, word: WaitWord): void {
  const { words, index, waiters } = word;
  if (Atomics.load(words, waiters) === 0) return;
  // Before, as this thread may die in between.
  Atomics.add(words, index, 1);
  const mask = Atomics.exchange(words, waiters, 0);
  // After, too: a waiter that set its bit in between has lost it, and would wait for ever.
  Atomics.add(words, index, 1);
  wake(bells, word, mask);
}

/** The waits of one backend for words. */
export class WordWaits {
  readonly #host: WordWaitsHost;
  readonly #bit: number;
  #pending: PendingWait[] = [];
  #isEnded = false;

  /**
   * @param host the backend
   */
  constructor(host: WordWaitsHost) {
    this.#host = host;
    this.#bit = 1 << host.id;
  }

  /** How many are under way, beside one that blocks. */
  get count(): number {
    return this.#pending.length;
  }

  /**
   * Blocks until a word does not hold a value. Submits what this backend has staged first, and
   * completes its IO meanwhile, since that may be what changes the word.
   *
   * @throws {AioApiError} from a callback
   * @throws {Deno.errors.BadResource} if this Aio has closed
   */
  waitSync(word: WaitWord, value: number): void {
    this.#check("waitSync");
    this.#host.staging.submit();
    const at = this.#host.control.backendAt(this.#host.id) + BACKEND.waitEvent;
    for (let looks = 1; !this.#hasChanged(word, value); looks++) {
      this.#host.collect();
      if (this.#hasChanged(word, value)) return;
      this.#host.control.words[at] = WAIT_EXTENSION;
      this.#host.wakeUps.blocks();
      Atomics.wait(word.words, word.index, value, boundedMs(this.#host, LOOK_AGAIN_MS));
      this.#host.control.words[at] = WAIT_NONE;
      if (looks % LOOKS_UNTIL_CHECK === 0) this.#host.reapDead();
    }
  }

  /**
   * Calls a waiter when a word does not hold a value, or when this Aio closes. Submits what this
   * backend has staged at the end of the turn.
   *
   * @returns true if the word does not hold the value now and the turn is not over: no call follows
   * @throws {AioApiError} from a callback
   * @throws {Deno.errors.BadResource} if this Aio has closed
   */
  whenChanged(word: WaitWord, value: number, waiter: CompletionWaiter): boolean {
    this.#check("wait");
    this.#host.staging.submitAtEndOfTurn();
    const { turn } = this.#host;
    if (!this.#hasChanged(word, value)) {
      this.#pending.push({ word, value, waiter });
      this.#host.pump.start();
      return false;
    }
    if (!turn.isOver()) return true;
    turn.handOut(waiter);
    return false;
  }

  /** The same as a promise. */
  async changed(word: WaitWord, value: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (!this.whenChanged(word, value, { completed: resolve })) await promise;
  }

  /** Gives up: no call follows. */
  forget(waiter: CompletionWaiter): void {
    this.#pending = this.#pending.filter((wait) => wait.waiter !== waiter);
    this.#host.pump.noticeIdle();
  }

  /**
   * Calls the waiters whose word has changed.
   *
   * @returns how many
   */
  look(): number {
    const before = this.#pending.length;
    const pending: PendingWait[] = [];
    for (const wait of this.#pending) {
      if (this.#hasChanged(wait.word, wait.value)) this.#host.turn.handOut(wait.waiter);
      else pending.push(wait);
    }
    this.#pending = pending;
    return before - pending.length;
  }

  /** Whether any word has changed. */
  hasNews(): boolean {
    return this.#pending.some(({ word, value }) => this.#hasChanged(word, value));
  }

  /** Calls all waiters, and refuses new ones: this Aio closes. */
  end(): void {
    this.#isEnded = true;
    for (const { waiter } of this.#pending.splice(0)) this.#host.turn.handOut(waiter);
  }

  #check(call: string): void {
    this.#host.checkNotInCallback(call);
    if (this.#isEnded) throw new Deno.errors.BadResource("Cannot wait: aio is closed");
  }

  /** The bit goes in before the word is looked at, so that no change slips through. */
  #hasChanged({ words, index, waiters }: WaitWord, value: number): boolean {
    if (Atomics.load(words, index) !== value) return true;
    Atomics.or(words, waiters, this.#bit);
    return Atomics.load(words, index) !== value;
  }
}
