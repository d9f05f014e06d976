/**
 * doorbell.ts: how one thread wakes another that sleeps in `poll`.
 *
 * Each backend has an eventfd, made when it first goes to sleep, and a word that says whether it
 * sleeps: 0 running, 1 parked, 2 rung. Ringing costs a system call only if somebody is asleep. A
 * bell that comes too late costs its owner one look around, nothing else.
 *
 * @module
 */

import type { Libc } from "../../ffi/libc.ts";
import { LOOK_AGAIN_MS } from "../base/pauses.ts";
import { BACKEND, type Control, HEADER } from "../memory/shared_memory.ts";
import { sleepMs } from "../base/sleep.ts";

const RUNNING = 0;
const PARKED = 1;
const RUNG = 2;

/** What is added to the clock of this thread, so that all threads have one clock. */
const ORIGIN_MS = performance.timeOrigin;

const COUNTER_BYTES = 8;
const READ_ATTEMPTS_AT_ONCE = 10;
const READ_ATTEMPTS_MAX = 1000;

/** Whose bell ended a sleep, or kept it from beginning. */
export type Ringer = "nobody" | "self" | "other";

/** The doorbells of all backends, as one of them sees them. */
export class Doorbells {
  readonly #control: Control;
  readonly #libc: Libc;
  readonly #id: number;
  /** A bit for each backend there can be, but this one; a helper is none. */
  readonly #others: number;
  /** This one's; 0: a helper's. */
  readonly #own: number;
  readonly #one = new Uint8Array(new BigUint64Array([1n]).buffer);
  /** The lower half is enough. */
  readonly #counter = new Int32Array(COUNTER_BYTES / Int32Array.BYTES_PER_ELEMENT);
  readonly #counterBytes = new Uint8Array(this.#counter.buffer);
  /** All of the control memory, for the times of bells. */
  readonly #times: Float64Array<SharedArrayBuffer>;
  #fd = -1;
  #hasRungSelf = false;

  /**
   * @param control where the words are
   * @param libc does the calls
   * @param id whose doorbell is its own
   */
  constructor(control: Control, libc: Libc, id: number) {
    this.#control = control;
    this.#libc = libc;
    this.#id = id;
    this.#times = new Float64Array(control.buffer);
    const count = control.words[HEADER.maxBackends]!;
    // A shift by 32 is none.
    const all = count === 32 ? -1 : (1 << count) - 1;
    this.#own = id < count ? 1 << id : 0;
    this.#others = all & ~this.#own;
  }

  #wordOf(id: number): number {
    return this.#control.backendAt(id) + BACKEND.parked;
  }

  /** The descriptor to sleep on, made at the first call; -errno if the system has none left. */
  tryOpen(): number {
    if (this.#fd >= 0) return this.#fd;
    const fd = this.#libc.eventfd();
    if (fd < 0) return fd;
    this.#fd = fd;
    Atomics.store(this.#control.words, this.#control.backendAt(this.#id) + BACKEND.doorbell, fd);
    return fd;
  }

  /**
   * Says that this thread is about to sleep. What it waits for must be looked at once more after
   * this.
   *
   * Without a descriptor it says nothing: a ringer would find none to write to, and the write would
   * stay owed for ever.
   */
  park(): void {
    if (this.#fd < 0) return;
    Atomics.store(this.#control.words, this.#wordOf(this.#id), PARKED);
  }

  /**
   * Says that this thread is awake, and takes back what rang meanwhile.
   *
   * The ringer has changed the word and may not have written yet. Such a write wakes the next sleep
   * for nothing. Closing waits for it: otherwise it could reach another file that has the number by
   * then.
   *
   * @param isReadable whether the descriptor ended the sleep. It is read then, also where no write
   *   is owed: a late one, meant for the last thread of the slot, would end each sleep at once
   * @returns whose bell it was
   */
  unpark(isReadable = false): Ringer {
    const { words } = this.#control;
    const owedAt = this.#owedAt(this.#id);
    const wasRung = Atomics.exchange(words, this.#wordOf(this.#id), RUNNING) === RUNG;
    if (wasRung) words[owedAt]!++;
    const owed = words[owedAt]!;
    if (owed > 0 || isReadable) words[owedAt] = Math.max(0, owed - this.#read(this.#fd));
    const wasSelf = this.#hasRungSelf;
    this.#hasRungSelf = false;
    if (!wasRung) return "nobody";
    return wasSelf ? "self" : "other";
  }

  /** When this thread was rung last while it slept, as `performance.now()` has it here. */
  get rungAt(): number {
    return this.#times[this.#timeAt(this.#id)]! - ORIGIN_MS;
  }

  /** In doubles. */
  #timeAt(id: number): number {
    return (this.#control.backendAt(id) + BACKEND.rungAt) / 2;
  }

  #owedAt(id: number): number {
    return this.#control.backendAt(id) + BACKEND.bellsOwed;
  }

  /** @returns how often a doorbell was written to since it was read last */
  #read(fd: number): number {
    return this.#libc.read(fd, this.#counterBytes) === COUNTER_BYTES ? this.#counter[0]! : 0;
  }

  /**
   * @returns whether all writes that are owed to a doorbell came; one of a thread that died never
   * does
   */
  #tryTakeAll(fd: number, owed: number): boolean {
    for (let attempt = 0; owed > 0 && attempt < READ_ATTEMPTS_MAX; attempt++) {
      owed -= this.#read(fd);
      if (owed > 0 && attempt >= READ_ATTEMPTS_AT_ONCE) sleepMs(LOOK_AGAIN_MS);
    }
    return owed <= 0;
  }

  /** Ends the sleep of this thread itself. */
  ringSelf(): void {
    if (this.#tryRing(this.#id)) this.#hasRungSelf = true;
  }

  /** Wakes a backend if it sleeps. */
  ring(id: number): void {
    this.#tryRing(id);
  }

  /** @returns whether it slept, and nobody had rung it */
  #tryRing(id: number): boolean {
    const { words } = this.#control;
    if (Atomics.compareExchange(words, this.#wordOf(id), PARKED, RUNG) !== PARKED) return false;
    // Read once the sleep is over. A sleep that ends before this store finds the time of an earlier
    // bell.
    this.#times[this.#timeAt(id)] = ORIGIN_MS + performance.now();
    const fd = Atomics.load(words, this.#control.backendAt(id) + BACKEND.doorbell);
    if (fd > 0) this.#libc.write(fd, this.#one);
    return true;
  }

  /** Wakes every backend of a mask, one bit each, but this one. Bits of none are left out. */
  ringAll(mask: number): void {
    for (let rest = mask & this.#others; rest !== 0; rest &= rest - 1) {
      this.ring(31 - Math.clz32(rest & -rest));
    }
  }

  /** Whether the bit of this thread is in a mask. */
  isOwnIn(mask: number): boolean {
    return (mask & this.#own) !== 0;
  }

  /**
   * Wakes and closes the doorbell of a backend that has died: its sleep, in a thread of Deno's
   * pool, outlives it.
   */
  closeFor(id: number): void {
    const { words } = this.#control;
    const fdAt = this.#control.backendAt(id) + BACKEND.doorbell;
    const wasRung = Atomics.exchange(words, this.#wordOf(id), RUNNING) === RUNG;
    const fd = Atomics.load(words, fdAt);
    const owed = Atomics.exchange(words, this.#owedAt(id), 0) + (wasRung ? 1 : 0);
    const isSafe = fd > 0 && this.#tryTakeAll(fd, owed);
    if (Atomics.compareExchange(words, fdAt, fd, 0) !== fd || fd <= 0) return;
    this.#libc.write(fd, this.#one);
    if (isSafe) this.#libc.close(fd);
  }

  /** Gives the descriptor back; nobody may be asleep on it. */
  close(): void {
    if (this.#fd < 0) return;
    const { words } = this.#control;
    const isSafe = this.#tryTakeAll(this.#fd, words[this.#owedAt(this.#id)]!);
    // Only now: a ringer that owes a write may not have read the number yet.
    Atomics.store(words, this.#control.backendAt(this.#id) + BACKEND.doorbell, 0);
    if (isSafe) this.#libc.close(this.#fd);
    words[this.#owedAt(this.#id)] = 0;
    this.#fd = -1;
  }
}
