/**
 * doorbell.ts: how one thread wakes another that sleeps in `poll`.
 *
 * Each backend has an eventfd, made when it first goes to sleep, and a word that says whether it
 * sleeps: 0 running, 1 parked, 2 rung. Ringing costs a system call only if somebody is asleep. A bell
 * that comes too late costs its owner one look around, nothing else.
 *
 * @module
 */

import { EAGAIN } from "../ffi/errno.ts";
import type { Libc } from "../ffi/libc.ts";
import { BACKEND, type Control, HEADER } from "./shared_memory.ts";
import { sleepMs } from "./sleep.ts";

const RUNNING = 0;
const PARKED = 1;
const RUNG = 2;

const COUNTER_BYTES = 8;
const READ_ATTEMPTS_AT_ONCE = 10;
const READ_ATTEMPTS_MAX = 100;
const READ_RETRY_MS = 1;

/** The doorbells of all backends, as one of them sees them. */
export class Doorbells {
  readonly #control: Control;
  readonly #libc: Libc;
  readonly #id: number;
  /** A bit for each backend there can be, but this one. */
  readonly #others: number;
  readonly #one = new Uint8Array(new BigUint64Array([1n]).buffer);
  readonly #counter = new Uint8Array(COUNTER_BYTES);
  #fd = -1;
  #isLost = false;

  /**
   * Made by the core, not by users.
   *
   * @param control where the words are
   * @param libc does the calls
   * @param id whose doorbell is its own
   */
  constructor(control: Control, libc: Libc, id: number) {
    this.#control = control;
    this.#libc = libc;
    this.#id = id;
    const count = control.words[HEADER.maxBackends]!;
    // A shift by 32 is none.
    this.#others = (count === 32 ? -1 : (1 << count) - 1) & ~(1 << id);
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

  /** Says that this thread is about to sleep. What it waits for must be looked at once more after this. */
  park(): void {
    Atomics.store(this.#control.words, this.#wordOf(this.#id), PARKED);
  }

  /**
   * Says that this thread is awake, and takes back what rang meanwhile.
   *
   * Who rang has changed the word and may not have written yet. The write is waited for: else it could
   * reach another file, if this descriptor were closed and its number used again.
   */
  unpark(): void {
    const { words } = this.#control;
    if (Atomics.exchange(words, this.#wordOf(this.#id), RUNNING) !== RUNG) return;
    if (!this.#tryTakeBack(this.#fd)) this.#isLost = true;
  }

  /**
   * Waits for the write of whoever rang.
   *
   * @returns false if it does not come: that thread ended between the two. Nobody knows whether the
   *   write is still to come, so the descriptor can never be closed
   */
  #tryTakeBack(fd: number): boolean {
    for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
      if (this.#libc.read(fd, this.#counter) !== -EAGAIN) return true;
      if (attempt >= READ_ATTEMPTS_AT_ONCE) sleepMs(READ_RETRY_MS);
    }
    return false;
  }

  /** Ends the sleep of this thread itself. */
  ringSelf(): void {
    this.ring(this.#id);
  }

  /** Wakes a backend if it sleeps. */
  ring(id: number): void {
    const { words } = this.#control;
    if (Atomics.compareExchange(words, this.#wordOf(id), PARKED, RUNG) !== PARKED) return;
    const fd = Atomics.load(words, this.#control.backendAt(id) + BACKEND.doorbell);
    if (fd > 0) this.#libc.write(fd, this.#one);
  }

  /** Wakes every backend of a mask, one bit each, but this one. Bits of none are left out. */
  ringAll(mask: number): void {
    for (let rest = mask & this.#others; rest !== 0; rest &= rest - 1) {
      this.ring(31 - Math.clz32(rest & -rest));
    }
  }

  /**
   * Wakes and closes the doorbell of a backend that has died: its sleep, in a thread of Deno's pool,
   * outlives it.
   */
  closeFor(id: number): void {
    const { words } = this.#control;
    const fdAt = this.#control.backendAt(id) + BACKEND.doorbell;
    const wasRung = Atomics.exchange(words, this.#wordOf(id), RUNNING) === RUNG;
    const fd = Atomics.load(words, fdAt);
    const isSafe = fd > 0 && (!wasRung || this.#tryTakeBack(fd));
    if (Atomics.compareExchange(words, fdAt, fd, 0) !== fd || fd <= 0) return;
    this.#libc.write(fd, this.#one);
    if (isSafe) this.#libc.close(fd);
  }

  /** Gives the descriptor back; nobody may be asleep on it. */
  close(): void {
    if (this.#fd < 0) return;
    Atomics.store(this.#control.words, this.#control.backendAt(this.#id) + BACKEND.doorbell, 0);
    if (!this.#isLost) this.#libc.close(this.#fd);
    this.#fd = -1;
  }
}
