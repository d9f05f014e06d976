/**
 * doze.ts: how a thread waits for its IO while it has nothing else to do: in a blocking `ppoll` of
 * a fraction of a millisecond, as every event loop does when it is idle.
 *
 * To look for completions turn after turn takes a processor, and a disk that a thread of the host
 * serves becomes slower by it; to sleep by way of another thread takes 40 to 90 µs. A doze is
 * between the two. It keeps this thread's event loop from whatever else may come, so:
 *
 * - it comes only after a turn that took next to no time, in which nothing else had work;
 * - it has a bound, at most {@linkcode DOZE_MS_MAX};
 * - it polls what the event loop itself would rest in (rest_poll.ts). Where that has something,
 *   the thread sleeps as it would without dozes, so that the event loop rests and looks at it.
 *
 * One thread dozes for all its Aios: what each waits for is polled together. No wake-up is lost, as
 * each says that it sleeps and then looks once more, and whoever completes rings afterwards.
 *
 * @module
 */

import type { Libc } from "../../ffi/libc.ts";
import { POLLFD_WORDS } from "../../ffi/layout.ts";
import { isPollfdReady, setPollfd } from "../../ffi/memory.ts";
import { TURNS_TO_LOOK } from "./event_loop.ts";
import { restPoll } from "./rest_poll.ts";

/** The longest doze. */
export const DOZE_MS_MAX = 0.2;
/** A turn that takes longer had something to do. An empty one takes 1 to 3 µs. */
const EMPTY_TURN_MS = 0.02;
/** Where the event loop has work of its own, at most so many sleeps come without a doze. */
const UNDOZED_MAX = 15;
const NS_PER_MS = 1_000_000;
/** What an Aio polls: its doorbell, and what its method has. */
export const POLLFDS_PER_SLEEPER = 2;

/** An Aio of this thread that waits for IO. */
export interface Sleeper {
  /**
   * Says that it sleeps, and writes what it waits for into {@linkcode POLLFDS_PER_SLEEPER} pollfds.
   *
   * @returns whether it still has to wait
   */
  lieDown(pollfds: Int32Array, at: number): boolean;
  /** Takes that back. */
  getUp(): void;
}

/** What ended a doze. */
export type DozeEnd = "news" | "eventLoop" | "time";

/** The dozes of one thread. */
export class Dozing {
  readonly #sleepers = new Set<Sleeper>();
  #pollfds = new Int32Array(POLLFD_WORDS.size * (4 * POLLFDS_PER_SLEEPER + 1));
  #pollfdBytes = new Uint8Array(this.#pollfds.buffer);
  /** A `struct timespec`: the upper half of the nanoseconds, and the seconds, stay 0. */
  readonly #time = new Int32Array(4);
  readonly #timeBytes = new Uint8Array(this.#time.buffer);
  /** How many pollfds there are, as the system call takes it. */
  readonly #counts: bigint[] = [];

  /** Has an Aio that waits be waited for, too, while this thread dozes. */
  add(sleeper: Sleeper): void {
    this.#sleepers.add(sleeper);
    const words = POLLFD_WORDS.size * (this.#sleepers.size * POLLFDS_PER_SLEEPER + 1);
    if (words <= this.#pollfds.length) return;
    this.#pollfds = new Int32Array(2 * words);
    this.#pollfdBytes = new Uint8Array(this.#pollfds.buffer);
  }

  /** Ends that. */
  delete(sleeper: Sleeper): void {
    this.#sleepers.delete(sleeper);
  }

  /**
   * Dozes once.
   *
   * @param ms at most {@linkcode DOZE_MS_MAX}
   */
  doze(libc: Libc, ms: number): DozeEnd {
    let lain = 0;
    let isIdle = true;
    for (const sleeper of this.#sleepers) {
      lain++;
      isIdle = sleeper.lieDown(this.#pollfds, (lain - 1) * POLLFDS_PER_SLEEPER * POLLFD_WORDS.size);
      if (!isIdle) break;
    }
    const end = isIdle ? this.#poll(libc, lain * POLLFDS_PER_SLEEPER, ms) : "news";
    for (const sleeper of this.#sleepers) {
      if (lain-- === 0) break;
      sleeper.getUp();
    }
    return end;
  }

  #poll(libc: Libc, count: number, ms: number): DozeEnd {
    const at = count * POLLFD_WORDS.size;
    setPollfd(this.#pollfds, at, restPoll.fd);
    this.#time[2] = ms * NS_PER_MS;
    const ready = libc.ppoll(
      this.#pollfdBytes,
      this.#counts[count] ??= BigInt(count + 1),
      this.#timeBytes,
    );
    if (ready === 0) return "time";
    return isPollfdReady(this.#pollfds, at) ? "eventLoop" : "news";
  }
}

/** Of this thread. */
export const dozing = new Dozing();

/** Whether and when one Aio may doze. */
export class DozeTurns {
  #beganAt = -1;
  #turnsAwake = 0;
  /** Sleeps that are to come without a doze: twice as many each time that one was for nothing. */
  #undozed = 0;
  #undozedLeft = 0;
  /** Since the last doze this thread has slept. */
  #isAfterSleep = false;

  /** Whether to sleep at once: what the event loop rests in has had something again and again. */
  isToSleep(): boolean {
    if (this.#undozedLeft === 0) return false;
    this.#undozedLeft--;
    return true;
  }

  /** To be called after a sleep. */
  noticeSleep(): void {
    this.#isAfterSleep = true;
  }

  /**
   * To be called after a doze.
   *
   * @returns whether to sleep now, so that the event loop rests
   */
  noticeEnd(end: DozeEnd): boolean {
    const isAfterSleep = this.#isAfterSleep;
    this.#isAfterSleep = false;
    if (end === "eventLoop" && isAfterSleep && this.#undozed === 0) {
      // The wake-up from that sleep may still be there: the event loop takes it in a few turns.
      this.owe();
      return false;
    }
    this.#undozed = end === "eventLoop" ? Math.min(2 * this.#undozed + 1, UNDOZED_MAX) : 0;
    this.#undozedLeft = this.#undozed;
    return end === "eventLoop";
  }

  /** Whether the turn that ends now had nothing to do, and none is owed to the event loop. */
  isIdle(now: number): boolean {
    if (this.#turnsAwake > 0) {
      this.#turnsAwake--;
      return false;
    }
    return now - this.#beganAt < EMPTY_TURN_MS;
  }

  /** The turn of whatever else the event loop has begins. */
  begin(now: number): void {
    this.#beganAt = now;
  }

  /** The event loop goes around until it has looked, where nobody knows what it rests in. */
  owe(): void {
    this.#turnsAwake = TURNS_TO_LOOK;
  }
}
