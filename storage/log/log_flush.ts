/**
 * log_flush.ts: makes the log durable, for all tasks and threads that wait: group commit.
 *
 * One thread at a time flushes: the *leader*. It writes what is whole in the ring by then, and
 * makes it durable; whoever comes meanwhile waits for the next flush, which is one for all of them.
 * So nobody waits for longer than the flush under way and its own.
 *
 * ```text
 * wait ─► flushed far enough? ─ yes ─► done
 *  ▲        │ no
 *  │        ├─ another thread leads ─► until it has stopped ─┐
 *  │        └─ lead: write ─► flush ─► move `flushed` ───────┤
 *  └─────────────────────────────────────────────────────────┘
 * ```
 *
 * Once a flush has failed nobody knows what is on disk, and the system says so only once. So no
 * later flush is tried, in any thread, until the log is opened again.
 *
 * @module
 */

import {
  announceWait,
  type Backend,
  get,
  positions,
  runSteps,
  runStepsSync,
  shown,
  type Steps,
  systemError,
  wakeWord,
} from "../../core/inside.ts";
import { alignUp } from "../../core/inside_layers.ts";
import { AioApiError } from "../../core/mod.ts";
import { gather } from "../gather.ts";
import type { LogCalls } from "./calls.ts";
import { BACKENDS_MAX, LOG, LOG_FLAGS, type LogMemory } from "./log_memory.ts";
import type { LogStats } from "./log_stats.ts";
import type { Segments } from "./segments.ts";
import { fillVoid } from "./voids.ts";

const NEVER = () => false;

/** Those that wait for one flush: all that this thread inserted since the last one began. */
interface Group {
  /** How many flushes had begun by then. */
  readonly begun: number;
  /** The byte that is to be durable. */
  last: number;
  readonly durable: PromiseWithResolvers<void>;
}

/** What the flushes of one thread need. */
export interface LogFlushParts {
  readonly memory: LogMemory;
  readonly backend: Backend;
  readonly segments: Segments;
  readonly stats: LogStats;
  readonly directory: string;
  readonly awaited: LogCalls;
  readonly blocking: LogCalls;
}

/** The flushes of one log, in one thread. */
export class LogFlush {
  readonly #parts: LogFlushParts;
  readonly #memory: LogMemory;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #ownMark: number;
  /** The oldest first. */
  #groups: Group[] = [];
  #isRunning = false;
  #served: Promise<void> = Promise.resolve();

  /** @param parts what they need */
  constructor(parts: LogFlushParts) {
    this.#parts = parts;
    this.#memory = parts.memory;
    this.#words = parts.memory.words;
    this.#ownMark = parts.backend.id + 1;
  }

  /**
   * Resolves when a byte of the log is durable, and all before it. Callers share the promise.
   *
   * @param last its position
   * @throws what the system says
   */
  join(last: number): Promise<void> {
    // Where this is what it was a moment ago, a group is only the larger.
    const begun = this.#words[LOG.begun]!;
    let group = this.#groups.at(-1);
    if (group?.begun !== begun) {
      group = { begun, last, durable: Promise.withResolvers() };
      this.#groups.push(group);
    } else if (last > group.last) group.last = last;
    if (!this.#isRunning) this.#served = this.#run();
    return group.durable.promise;
  }

  /**
   * Resolves when nobody waits for a flush: nothing of this touches the log's memory afterwards.
   * All may be durable before, as another thread has just seen to it and not said so yet.
   */
  async idle(): Promise<void> {
    while (this.#isRunning) await this.#served;
  }

  /**
   * As {@linkcode join}, blocking. It may wait for the event loop of the thread that leads, or that
   * inserts a record in steps; so this thread may do neither, in any log.
   */
  joinSync(last: number): void {
    while (this.#memory.flushed <= last) this.#stepSync(last);
  }

  /** Whether this thread flushes: where no call of this blocks, its event loop ends that. */
  get isLeading(): boolean {
    return Atomics.load(this.#words, LOG.leader) === this.#ownMark;
  }

  /**
   * Flushes once, or waits until another thread has.
   *
   * @param isEnough whether what a flush is to bring about is so already. A flush that ends between
   *   the caller's own look and this leaves nothing to do: one that began then could wait for the
   *   caller
   */
  lead(isEnough = NEVER): Promise<void> {
    return runSteps(this.#step(Infinity, this.#parts.awaited, isEnough));
  }

  /** As {@linkcode lead}, blocking. */
  leadSync(isEnough = NEVER): void {
    this.#stepSync(Infinity, isEnough);
  }

  #stepSync(last: number, isEnough = NEVER): void {
    runStepsSync(this.#step(last, this.#parts.blocking, isEnough));
  }

  /** Serves whoever waits, one flush after another. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    await gather();
    while (this.#groups.length > 0) {
      try {
        await runSteps(this.#step(this.#groups[0]!.last, this.#parts.awaited));
        if (this.#resolveThose(this.#memory.flushed)) await gather();
      } catch (error) {
        for (const { durable } of this.#groups.splice(0)) durable.reject(error);
      }
    }
    this.#isRunning = false;
  }

  #resolveThose(flushed: number): boolean {
    const groups = this.#groups;
    const count = groups.findIndex(({ last }) => last >= flushed);
    const done = groups.splice(0, count < 0 ? groups.length : count);
    for (const { durable } of done) durable.resolve();
    return done.length > 0;
  }

  /**
   * An atomic load would cost as much as the rest; whoever leads looks once more when it does.
   *
   * @throws if a flush has failed, in whichever thread
   */
  check(): void {
    const errno = this.#words[LOG.failure]!;
    if (errno === 0) return;
    const what = `Cannot make the log in ${
      shown(this.#parts.directory)
    } durable, as a flush failed`;
    throw systemError(
      errno,
      what,
      { syscall: "fdatasync", path: this.#parts.directory },
      undefined,
      "; close the log and open it again: it says what is there",
    );
  }

  /** One flush, or a wait for that of another thread. */
  *#step(last: number, calls: LogCalls, isEnough = NEVER): Steps<void> {
    const seen = Atomics.load(this.#words, LOG.change);
    this.check();
    if (this.#memory.flushed > last || isEnough()) return;
    if (Atomics.compareExchange(this.#words, LOG.leader, 0, this.#ownMark) !== 0) {
      this.#parts.stats.noteFlushWait();
      yield* get(calls.changed(this.#memory.change, seen));
      return;
    }
    try {
      // The last leader may have failed a moment ago.
      this.check();
      if (!isEnough()) yield* this.#flush(calls);
    } finally {
      Atomics.store(this.#words, LOG.leader, 0);
      this.#tellChange();
    }
  }

  #tellChange(): void {
    Atomics.add(this.#words, LOG.change, 1);
    wakeWord(this.#parts.backend.doorbells, this.#memory.change);
  }

  *#flush(calls: LogCalls): Steps<void> {
    const memory = this.#memory;
    Atomics.add(this.#words, LOG.begun, 1);
    this.#fillVoids();
    const { written } = memory;
    const whole = { end: 0, border: 0 };
    memory.lookForWhole(whole);
    if (whole.end > written) {
      const start = performance.now();
      yield* this.#write(written, whole.end, calls);
      this.#parts.stats.noteFlush(whole.end - written, performance.now() - start);
      positions.setPosition(this.#words, LOG.written, whole.end);
    }
    if (whole.border > memory.flushed) {
      positions.setPosition(this.#words, LOG.flushed, whole.border);
    } else if (whole.end <= written && memory.inserted > memory.flushed) {
      // Some thread has its place, and has not copied its record yet.
      const seen = announceWait(memory.insertion, this.#parts.backend.id);
      // Its thread may have left it meanwhile, without a word to whoever did not wait yet.
      this.#fillVoids();
      memory.lookForWhole(whole);
      // All of it may be written, and its place may be empty since the first look.
      if (whole.end <= written && whole.border <= memory.flushed) {
        yield* get(calls.changed(memory.insertion, seen));
      }
    }
  }

  /** What threads were inserting that have died becomes void, as far as there is room. */
  #fillVoids(): void {
    for (let id = 0; id < BACKENDS_MAX; id++) fillVoid(this.#memory, this.#memory.placeOf(id));
  }

  /** Writes a part of the log and makes it durable, segment by segment. */
  *#write(from: number, to: number, calls: LogCalls): Steps<void> {
    const { segments } = this.#parts;
    const { segmentBytes } = this.#memory;
    for (let at = from; at < to;) {
      const number = Math.floor(at / segmentBytes);
      const end = Math.min(to, (number + 1) * segmentBytes);
      const file = yield* segments.toWrite(number, calls);
      segments.prepareBehind(number, calls);
      try {
        const isDsync = (this.#memory.flags & LOG_FLAGS.dsync) !== 0;
        const { views, offset } = this.#viewsOf(at, end);
        yield* get(calls.write(file, views, offset - number * segmentBytes, isDsync));
        if (!isDsync) yield* get(calls.syncData(file));
      } catch (error) {
        throw this.#noteFailure(error);
      }
      at = end;
    }
  }

  /** The memory of a part, as whole blocks: its last one, which may grow meanwhile, is a copy. */
  #viewsOf(from: number, to: number): { views: Uint8Array[]; offset: number } {
    const memory = this.#memory;
    const { blockBytes, stage } = memory;
    const first = from - from % blockBytes;
    const copied = to - first <= stage.length ? first : to - to % blockBytes;
    const views = memory.ringViews(first, copied);
    if (copied < to) views.push(this.#stage(copied, to));
    return { views, offset: first };
  }

  /** Copies a part of the ring, up to the end of a block. */
  #stage(from: number, to: number): Uint8Array<SharedArrayBuffer> {
    const { blockBytes, stage } = this.#memory;
    this.#memory.copyTo(stage, from, to);
    const end = alignUp(to - from, blockBytes);
    stage.fill(0, to - from, end);
    return stage.subarray(0, end);
  }

  #noteFailure(error: unknown): unknown {
    // The thread may not do IO now: the system has heard of none, and another flush may.
    if (error instanceof AioApiError) return error;
    const isKnown = error instanceof Error && "errno" in error && typeof error.errno === "number";
    Atomics.compareExchange(this.#words, LOG.failure, 0, isKnown ? error.errno as number : 5);
    return error;
  }
}
