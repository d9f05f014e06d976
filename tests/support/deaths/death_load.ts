/**
 * death_load.ts: what each thread of `deaths.ts` does while it lives: it issues reads, publishes
 * their wait references, awaits its own and others', and completes whatever is held, or done by the
 * kernel, whoever issued it.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import { AioReturn } from "../../../core/mod.ts";
import type { AioHandle, WaitRef } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { FILE_BYTES, fileContent } from "../core.ts";
import type { HeldMethod } from "../held_method.ts";
import { Prng } from "../prng.ts";

/** Workers at a time. */
export const LANES = 4;
/** The main thread's number beside theirs. */
export const MAIN_LANE = LANES;
/** IOs that a thread can show to others at a time. */
export const SLOTS_PER_LANE = 20;
/** Words of the mailbox that a wait reference takes: index + 1, generation. */
const SLOT_WORDS = 2;
const LANE_WORDS = 4;
/** The value of a lane's first word, beside 0 and 1, if its Worker was cut. */
const CUT = 2;
/** A turn of the event loop that takes longer is late. */
const TURN_MS = 10;

/** What the threads tell each other: wait references, and how far each Worker has come. */
export class Mailbox {
  static make(): Mailbox {
    const words = (LANES + 1) * (LANE_WORDS + SLOTS_PER_LANE * SLOT_WORDS);
    return new Mailbox(new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT));
  }

  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** Shows an IO that others may wait for. */
  publish(lane: number, slot: number, ref: WaitRef): void {
    const at = this.#slotAt(lane, slot);
    Atomics.store(this.#words, at, 0);
    Atomics.store(this.#words, at + 1, ref.generation);
    Atomics.store(this.#words, at, ref.index + 1);
  }

  /** An IO that was shown; null if there is none, or it is just being replaced. */
  read(lane: number, slot: number): WaitRef | null {
    const at = this.#slotAt(lane, slot);
    const index = Atomics.load(this.#words, at) - 1;
    const generation = Atomics.load(this.#words, at + 1);
    const isWhole = index >= 0 && Atomics.load(this.#words, at) === index + 1;
    return isWhole ? { index, generation } : null;
  }

  /**
   * Says whether the Worker is in the middle of what it must die in; if it cannot die, it lives on.
   */
  setHolding(lane: number, isHolding: boolean): void {
    Atomics.store(this.#words, lane * LANE_WORDS, isHolding ? 1 : 0);
  }

  isHolding(lane: number): boolean {
    return Atomics.load(this.#words, lane * LANE_WORDS) !== 0;
  }

  /**
   * Says that the Worker is about to be cut in mid-function, which is not the end: what is left of
   * it can run for another turn of the event loop, or be cut there once more, with its own lists
   * half-way.
   */
  setCut(lane: number): void {
    Atomics.store(this.#words, lane * LANE_WORDS, CUT);
  }

  isCut(lane: number): boolean {
    return Atomics.load(this.#words, lane * LANE_WORDS) === CUT;
  }

  /** Makes a lane ready for another Worker. */
  begin(lane: number): void {
    this.setHolding(lane, false);
    Atomics.store(this.#words, lane * LANE_WORDS + 1, 0);
    this.setThreadId(lane, 0);
  }

  /**
   * Says that the Worker runs. A message would not do: a Worker that ends at once may take its
   * messages with it.
   */
  setThreadId(lane: number, threadId: number): void {
    Atomics.store(this.#words, lane * LANE_WORDS + 3, threadId);
  }

  /** 0: it does not run yet. */
  threadId(lane: number): number {
    return Atomics.load(this.#words, lane * LANE_WORDS + 3);
  }

  /** Says that the main thread has called `terminate()`. */
  setTerminated(lane: number): void {
    Atomics.store(this.#words, lane * LANE_WORDS + 1, 1);
    Atomics.notify(this.#words, lane * LANE_WORDS + 1);
  }

  /** Blocks until the main thread has called `terminate()`, or the time is over. */
  awaitTerminated(lane: number, timeLimitMs: number): void {
    Atomics.wait(this.#words, lane * LANE_WORDS + 1, 0, timeLimitMs);
  }

  /** Counts descriptors that cannot be closed any more, as a thread dies just now. */
  noteLosses(count: number): void {
    Atomics.add(this.#words, MAIN_LANE * LANE_WORDS, count);
  }

  get losses(): number {
    return Atomics.load(this.#words, MAIN_LANE * LANE_WORDS);
  }

  /** Keeps the longest wait of a thread. */
  noteWait(lane: number, ms: number): void {
    const at = lane * LANE_WORDS + 2;
    if (ms > Atomics.load(this.#words, at)) Atomics.store(this.#words, at, Math.ceil(ms));
  }

  longestWait(lane: number): number {
    return Atomics.load(this.#words, lane * LANE_WORDS + 2);
  }

  #slotAt(lane: number, slot: number): number {
    return (LANES + 1) * LANE_WORDS + (lane * SLOTS_PER_LANE + slot) * SLOT_WORDS;
  }
}

const READ_BYTES = 64;

/** What a thread of the load has. */
export interface LoadParts {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly held: HeldMethod;
  readonly mailbox: Mailbox;
  readonly lane: number;
  readonly seed: number;
  /** Whether it waits blocking, too. */
  readonly blocks: boolean;
}

interface Since {
  readonly at: number;
  readonly lateMs: number;
}

/**
 * One thread's part in the load, and how long its waits take. What is not the library's fault does
 * not count: the time for which the event loop did not come around, for want of a processor or
 * because it started Workers. What blocks in the library counts as it is.
 */
export class Load {
  readonly #parts: LoadParts;
  readonly #random: Prng;
  readonly #mortal: number;
  readonly #waits = new Set<Since>();
  #turnAt = performance.now();
  #blockedMs = 0;
  #lateMs = 0;
  #isStopped = false;
  /** IOs of its own that ended. */
  done = 0;
  /** Of these with the wrong status or content. */
  wrong = 0;
  /** IOs of others that it awaited. */
  foreign = 0;

  constructor(parts: LoadParts) {
    this.#parts = parts;
    this.#random = new Prng(parts.seed);
    this.#mortal = parts.aio.callbackId("mortal");
  }

  /** Ends the tasks, each when its present IO is over. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Issues and awaits, one IO at a time, into a view that it is given. */
  async issue(slot: number, view: Uint8Array, onDone: () => void = () => {}): Promise<void> {
    const { aio } = this.#parts;
    const ret = new AioReturn();
    while (!this.#isStopped) {
      const offset = this.#random.below(FILE_BYTES - READ_BYTES);
      const start = (handle: AioHandle) => this.start(slot, handle, view, offset);
      const ref = this.#isToBlock()
        ? start(this.timed(() => aio.acquire(null, ret)))
        : await this.#awaited(aio.acquireAsync(start, null, ret));
      if (this.#random.chance(1, 3)) await this.#waitForeign();
      await this.#wait(ref);
      const expected = fileContent(offset, READ_BYTES);
      const isRight = ret.result.status === "ok" && view.every((byte, i) => byte === expected[i]);
      if (!isRight) this.wrong++;
      this.done++;
      onDone();
    }
  }

  /** Shows a read to others, and starts it: with the callback that can end a thread. */
  start(slot: number, handle: AioHandle, view: Uint8Array, offset: number): WaitRef {
    const { file, mailbox, lane } = this.#parts;
    const ref = handle.waitRef();
    mailbox.publish(lane, slot, ref);
    handle.registerCallbacks(this.#mortal);
    handle.setIovec(view);
    file.startReadv(handle, offset);
    return ref;
  }

  #isToBlock(): boolean {
    return this.#parts.blocks && !this.#isStopped && this.#random.chance(1, 16);
  }

  /** One turn: completes some of what is held, whoever issued it. */
  turn(numerator: number, denominator: number): void {
    this.#lateMs = this.#late();
    this.#blockedMs = 0;
    this.#turnAt = performance.now();
    if (this.#parts.aio.method === "held") this.#performHeld(numerator, denominator);
    else this.#lookAtOthers();
    const [oldest] = this.#waits;
    if (oldest !== undefined) this.#note(oldest);
  }

  #performHeld(numerator: number, denominator: number): void {
    const { aio, held } = this.#parts;
    const { handleCount } = backendOf(aio).control;
    const first = this.#random.below(handleCount);
    for (let i = 0; i < handleCount; i++) {
      if (!this.#random.chance(numerator, denominator)) continue;
      held.tryPerform(aio, (first + i) % handleCount);
    }
  }

  /** The kernel performs IO; a look takes what the kernel has done. */
  #lookAtOthers(): void {
    const { aio, mailbox, lane: own } = this.#parts;
    if (own !== MAIN_LANE && mailbox.isCut(own)) return;
    for (let lane = 0; lane <= LANES; lane++) {
      const ref = mailbox.read(lane, this.#random.below(SLOTS_PER_LANE));
      if (ref !== null) aio.checkDone(ref);
    }
  }

  /** For how long, all in all, the event loop did not come around. */
  #late(): number {
    const gapMs = performance.now() - this.#turnAt - this.#blockedMs;
    return this.#lateMs + Math.max(0, gapMs - TURN_MS);
  }

  #note({ at, lateMs }: Since): void {
    const ms = performance.now() - at - (this.#late() - lateMs);
    this.#parts.mailbox.noteWait(this.#parts.lane, ms);
  }

  async #waitForeign(): Promise<void> {
    const lane = this.#random.below(LANES + 1);
    const ref = this.#parts.mailbox.read(lane, this.#random.below(SLOTS_PER_LANE));
    if (ref === null || lane === this.#parts.lane) return;
    await this.#wait(ref);
    this.foreign++;
  }

  async #wait(ref: WaitRef): Promise<void> {
    const { aio } = this.#parts;
    if (this.#isToBlock()) this.timed(() => aio.waitSync(ref));
    else await this.#awaited(aio.wait(ref));
  }

  /** Calls what blocks in the library, and measures it. */
  timed<T>(call: () => T): T {
    const at = performance.now();
    const value = call();
    const ms = performance.now() - at;
    this.#blockedMs += ms;
    this.#parts.mailbox.noteWait(this.#parts.lane, ms);
    return value;
  }

  async #awaited<T>(wait: Promise<T>): Promise<T> {
    const since = { at: performance.now(), lateMs: this.#late() };
    this.#waits.add(since);
    const value = await wait;
    this.#waits.delete(since);
    this.#note(since);
    return value;
  }
}
