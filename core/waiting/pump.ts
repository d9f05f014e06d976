/**
 * pump.ts: how awaiting code learns of completions that other threads bring about.
 *
 * While IO of this backend is in flight, or IO of another one or a word (words.ts) is awaited, the
 * pump looks for completions once per turn of the event loop. Where nothing else has work it dozes
 * (doze.ts), for as long as that is worth it (doze_bound.ts); but not for IO of another backend
 * alone, which may end without a bell. Then it sleeps in one nonblocking `poll` on its doorbell and
 * what the method has. That call keeps the event loop alive, and only that: with nothing awaited
 * there is none.
 *
 * No wake-up is lost, because both sides do their two steps in opposite order: the sleeper says
 * that it sleeps and then looks once more; the completer stores the state and then looks for
 * sleepers. For IO of another backend, which that one may complete without telling, the sleep is 1
 * ms at most; otherwise it is 100 ms, since a thread that dies half-way rings nobody, or 1 s where
 * there is no other thread. It is shorter where the completions of the method wake nobody
 * (sleep_bound.ts).
 *
 * @module
 */

import {
  clearTimeout as clearNodeTimeout,
  setImmediate,
  setTimeout as setNodeTimeout,
} from "node:timers";
import { POLLFD_WORDS } from "../../ffi/layout.ts";
import { isPollfdReady, setPollfd } from "../../ffi/memory.ts";
import type { Doorbells } from "./doorbell.ts";
import { DEFINED } from "../memory/handle_state.ts";
import {
  ALONE_MS,
  CHECK_ALIVE_MS,
  CHECK_DEAD_AGAIN_MS,
  FORSAKEN_LOOK_MS,
  LOOK_AGAIN_MS,
} from "../base/pauses.ts";
import { BACKEND, HANDLE } from "../memory/shared_memory.ts";
import { DozeTurns, dozing, type Sleeper } from "./doze.ts";
import { DozeBound } from "./doze_bound.ts";
import { restPoll } from "./rest_poll.ts";
import { boundedMs, type BoundedSleeper, pollFdOf } from "./sleep_bound.ts";
import type { CompletionWaiter, Turn } from "./turn.ts";
import { Sleep, type SleepEnd, type WakeUps } from "./wake_ups.ts";
import type { WaitRef } from "../io/wait_ref.ts";

/**
 * Sleeps of one thread at a time: each takes one of the 32 threads that Deno has for all its file
 * operations and blocking calls. With more Aios than that in one thread, the others look by timer.
 */
const SLEEPS_MAX = 8;

/** Those under way in this thread. */
let sleeps = 0;

/** What the pump needs of its backend. */
export interface PumpHost extends BoundedSleeper {
  /** Wakes and sleeps. */
  readonly doorbells: Doorbells;
  /** Whose turn of the event loop it is. */
  readonly turn: Turn;
  /** Where its sleeps are recorded. */
  readonly wakeUps: WakeUps;
  /** How many own IOs are in flight. */
  readonly inFlightCount: number;
  /**
   * Takes back own handles that other backends completed, and looks for completions of the method.
   */
  collect(): void;
  /** Whether own IOs were completed that were not taken back yet. */
  hasUncollected(): boolean;
  /** Knows whether an IO of another backend is done. */
  readonly waiting: { isDone(ref: WaitRef): boolean };
  /** Awaits words of shared memory. */
  readonly wordWaits: { readonly count: number; look(): number; hasNews(): boolean };
}

interface ForeignWait {
  readonly ref: WaitRef;
  readonly waiter: CompletionWaiter;
}

/** The pump of one backend. */
export class Pump implements Sleeper {
  readonly #host: PumpHost;
  /** In shared memory: a thread that dies leaves its sleep behind, in a thread of Deno's pool. */
  readonly #pollfd: Int32Array<SharedArrayBuffer>;
  readonly #pollfdBytes: Uint8Array<SharedArrayBuffer>;
  #foreign: ForeignWait[] = [];
  readonly #bound: DozeBound;
  readonly #turns = new DozeTurns();
  /** Own IOs and words that came about, and how many of them the last look knew of. */
  #completions = 0;
  #seenCompletions = 0;
  #askedAt = performance.now();
  #isRunning = false;
  #parked: Promise<void> | null = null;
  /** The sleep under way, or the one that is just over. */
  readonly #sleep = new Sleep();
  #asleepSince = 0;
  #hasSlept = false;
  /** Descriptors whose IO nobody waits for any more: it keeps no event loop alive. */
  readonly #forsaken = new Set<number>();
  #isAllForsaken = false;
  /** Ends a sleep that keeps no event loop alive. */
  #endSleep: (() => void) | null = null;

  /**
   * @param host the backend
   */
  constructor(host: PumpHost) {
    this.#host = host;
    this.#bound = new DozeBound(host.options.dozeMicroseconds);
    const { control, id } = host;
    const at = (control.backendAt(id) + BACKEND.pollfds) * Int32Array.BYTES_PER_ELEMENT;
    this.#pollfd = new Int32Array(control.buffer, at, 2 * POLLFD_WORDS.size);
    this.#pollfdBytes = new Uint8Array(control.buffer, at, this.#pollfd.byteLength);
  }

  /** Tells a waiter when an IO of another backend is done; its waiter bit is set already. */
  awaitForeign(ref: WaitRef, waiter: CompletionWaiter): void {
    this.#foreign.push({ ref, waiter });
    this.start();
    // The present sleep is longer than that may take.
    if (this.#parked !== null) this.#ringSelf();
  }

  /** Sees to it that completions are looked for, if there is anything to complete. */
  start(): void {
    // Somebody may wait for what is started now.
    if (this.#endSleep !== null) this.#endSleep();
    if (this.#isRunning || !this.#isBusy()) return;
    this.#isRunning = true;
    dozing.add(this);
    this.#bound.begin(performance.now());
    setImmediate(this.#run);
  }

  /**
   * To be called when an own IO is over: the last one ends the sleep, so that the event loop can
   * end.
   */
  noticeCompletion(): void {
    this.#completions++;
    this.noticeIdle();
  }

  /** To be called when nothing may be awaited any more: that ends the sleep. */
  noticeIdle(): void {
    if (this.#parked !== null && !this.#isBusy()) this.#ringSelf();
  }

  /**
   * Resolves when no sleep is under way, and no IO of another backend is awaited any more. For
   * `close()`, with no own IO in flight.
   */
  async settled(): Promise<void> {
    await restPoll.settled();
    while (this.#isRunning) {
      if (!this.#isBusy()) this.#ringSelf();
      await (this.#parked ?? new Promise((resolve) => setImmediate(resolve)));
    }
  }

  /**
   * Says whether anybody waits for the IO on a descriptor, or for any IO at all. While nobody does,
   * what is in flight is looked after now and then, but lets the event loop end.
   */
  forsake(fd: number | "all", isForsaken: boolean): void {
    if (fd === "all") this.#isAllForsaken = isForsaken;
    else if (isForsaken) this.#forsaken.add(fd);
    else this.#forsaken.delete(fd);
    if (this.#parked !== null) this.#ringSelf();
  }

  #isLoopKept(): boolean {
    if (this.#isAllForsaken) return false;
    if (this.#forsaken.size === 0) return true;
    const { control, id } = this.#host;
    const first = id * control.handlesPerBackend;
    for (let index = first; index < first + control.handlesPerBackend; index++) {
      const state = control.words[control.handleAt(index) + HANDLE.state]!;
      if (state >= DEFINED && !this.#isForsaken(index)) return true;
    }
    return this.#host.wordWaits.count > 0 ||
      this.#foreign.some(({ ref }) => !this.#isForsaken(ref.index));
  }

  #isForsaken(index: number): boolean {
    const { control } = this.#host;
    return this.#forsaken.has(control.words[control.handleAt(index) + HANDLE.fd]!);
  }

  #ringSelf(): void {
    this.#host.doorbells.ringSelf();
    this.#endSleep?.();
  }

  #isBusy(): boolean {
    return this.#isIoAwaited() || this.#host.wordWaits.count > 0;
  }

  #isIoAwaited(): boolean {
    return this.#host.inFlightCount > 0 || this.#foreign.length > 0;
  }

  readonly #run = (): void => {
    const now = performance.now();
    this.#host.turn.renew(now);
    this.#askWhoLives(now);
    const found = this.#look();
    if (this.#hasSlept) this.#recordSleep(now, found);
    this.#learn(now);
    if (!this.#isBusy()) {
      this.#isRunning = false;
      dozing.delete(this);
      return;
    }
    // Of other backends' IO nothing is known, and it is theirs to look for.
    const isRung = this.#host.inFlightCount > 0 || this.#host.wordWaits.count > 0;
    const awakeMs = isRung ? this.#bound.left(now) : 0;
    if (awakeMs <= 0 || this.#turns.isToSleep()) return this.#park(now);
    // Deno looks at sockets where its loop rests, which is while the pump sleeps.
    if (this.#doze(now, awakeMs) && this.#isBusy()) return this.#park(performance.now());
    setImmediate(this.#run);
  };

  /**
   * Dozes if nothing else has anything to do, and looks what there is then.
   *
   * @returns whether the event loop is to rest now
   */
  #doze(now: number, longestMs: number): boolean {
    const { libc, turn } = this.#host;
    let awakeSince = now;
    let isToRest = false;
    if (this.#turns.isIdle(now) && !turn.isNextWanted && libc.hasPpoll) {
      const end = dozing.doze(libc, boundedMs(this.#host, longestMs));
      this.#host.wakeUps.dozed(end);
      isToRest = this.#turns.noticeEnd(end);
      if (restPoll.fd < 0) this.#turns.owe();
      awakeSince = performance.now();
      turn.renew(awakeSince);
      this.#look();
      this.#learn(awakeSince);
    }
    this.#turns.begin(awakeSince);
    return isToRest;
  }

  /** See {@linkcode Sleeper.lieDown}. */
  lieDown(pollfds: Int32Array, at: number): boolean {
    const { doorbells } = this.#host;
    this.#setPollfds(pollfds, at, doorbells.tryOpen());
    // One that sleeps already is rung as before, and its pollfds are polled twice.
    if (this.#parked !== null) return true;
    doorbells.park();
    return !this.#hasNews();
  }

  /** What it waits for: its doorbell, and what its method has. */
  #setPollfds(pollfds: Int32Array, at: number, doorbell: number): void {
    setPollfd(pollfds, at, doorbell);
    setPollfd(pollfds, at + POLLFD_WORDS.size, pollFdOf(this.#host));
  }

  /** See {@linkcode Sleeper.getUp}. */
  getUp(): void {
    if (this.#parked === null) this.#host.doorbells.unpark();
  }

  #recordSleep(now: number, found: number): void {
    const { wakeUps, doorbells, inFlightCount, wordWaits } = this.#host;
    const sleep = this.#sleep;
    this.#hasSlept = false;
    sleep.sleptMs = now - this.#asleepSince;
    sleep.rungMsAgo = sleep.end === "bell" ? now - doorbells.rungAt : NaN;
    sleep.found = this.#completions - this.#seenCompletions + found;
    sleep.left = inFlightCount + this.#foreign.length + wordWaits.count;
    wakeUps.slept(sleep);
  }

  /** How long IOs take. The last one in flight tells as much as any other. */
  #learn(now: number): void {
    const count = this.#completions - this.#seenCompletions;
    if (count === 0) return;
    this.#seenCompletions = this.#completions;
    this.#bound.learn(now, count, this.#host.inFlightCount);
  }

  /** Has it look for dead threads again soon: one is not taken over from yet. */
  askSoon(): void {
    this.#askedAt = performance.now() - CHECK_ALIVE_MS + CHECK_DEAD_AGAIN_MS;
  }

  #askWhoLives(now: number): void {
    if (now - this.#askedAt < CHECK_ALIVE_MS) return;
    this.#askedAt = now;
    if (this.#host.hasOthers) this.#host.reapDead("eventLoop");
  }

  /** @returns how many IOs of other backends were found done */
  #look(): number {
    this.#host.collect();
    if (this.#host.wordWaits.count > 0) this.#completions += this.#host.wordWaits.look();
    const before = this.#foreign.length;
    if (before === 0) return 0;
    const pending: ForeignWait[] = [];
    for (const wait of this.#foreign) {
      if (this.#host.waiting.isDone(wait.ref)) this.#host.turn.handOut(wait.waiter);
      else pending.push(wait);
    }
    this.#foreign = pending;
    return before - pending.length;
  }

  /** A timer that lets the event loop end, as nobody waits for what is in flight. */
  #sleepForsaken(): void {
    const { promise, resolve } = Promise.withResolvers<SleepEnd>();
    const ms = this.#bounded(FORSAKEN_LOOK_MS);
    const timer = setNodeTimeout(resolve, ms, "time").unref();
    this.#endSleep = () => {
      clearNodeTimeout(timer);
      this.#endSleep = null;
      resolve("self");
    };
    this.#sleepUntil(promise.finally(() => this.#endSleep = null), ms);
  }

  #park(now: number): void {
    this.#asleepSince = now;
    if (!this.#isLoopKept()) return this.#sleepForsaken();
    const { doorbells, libc } = this.#host;
    const fd = sleeps < SLEEPS_MAX ? doorbells.tryOpen() : -1;
    if (fd < 0) {
      // Without a doorbell nobody rings. Only the event loop calls this, so no caller would get an
      // error.
      const ms = this.#bounded(LOOK_AGAIN_MS);
      this.#sleepUntil(new Promise((resolve) => setTimeout(resolve, ms, "time")), ms);
      return;
    }
    this.#setPollfds(this.#pollfd, 0, fd);
    doorbells.park();
    if (this.#hasNews()) {
      doorbells.unpark();
      setImmediate(this.#run);
      return;
    }
    sleeps++;
    const ms = this.#sleepMs();
    this.#sleepUntil(libc.pollNonblocking(this.#pollfdBytes, 2, ms).then(this.#polled), ms);
    restPoll.ask(libc, this.#host.control, this.#host.id);
  }

  readonly #polled = (ready: number): SleepEnd => {
    sleeps--;
    if (ready <= 0) return "time";
    // Where the bell was rung for this sleep, its word says so, too.
    return isPollfdReady(this.#pollfd, 0) ? "lateBell" : "descriptor";
  };

  #sleepUntil(end: Promise<SleepEnd>, longestMs: number): void {
    this.#sleep.longestMs = longestMs;
    this.#parked = end.then(this.#wakeUp);
  }

  readonly #wakeUp = (end: SleepEnd): void => {
    this.#parked = null;
    const ringer = this.#host.doorbells.unpark(end === "lateBell");
    this.#sleep.end = ringer === "nobody" ? end : ringer === "self" ? "self" : "bell";
    this.#hasSlept = true;
    this.#turns.noticeSleep();
    this.#run();
  };

  #sleepMs(): number {
    // Whoever changes a word rings, whatever the method does.
    if (!this.#isIoAwaited()) return CHECK_ALIVE_MS;
    if (this.#foreign.length > 0) return this.#bounded(LOOK_AGAIN_MS);
    const isAlone = !this.#host.hasOthers && pollFdOf(this.#host) >= 0;
    return this.#bounded(isAlone ? ALONE_MS : CHECK_ALIVE_MS);
  }

  /** Whole milliseconds, which is what the system and timers take. */
  #bounded(longestMs: number): number {
    return Math.ceil(boundedMs(this.#host, longestMs));
  }

  #hasNews(): boolean {
    return this.#host.hasUncollected() || this.#host.wordWaits.hasNews() ||
      this.#foreign.some(({ ref }) => this.#host.waiting.isDone(ref));
  }
}
