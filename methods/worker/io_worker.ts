/**
 * io_worker.ts: one IO Worker: takes IOs out of the queue, executes them, sleeps when there are
 * none.
 *
 * PostgreSQL 19's loop. A Worker that takes an IO wakes another one if there is more, as long as
 * Workers do not wake up for nothing more often than they find IO: `wakeUps` and `ios`, both halved
 * when one reaches 4, so that only the last few count. Before it, each woke two, whether there was
 * work or not.
 *
 * Only the Worker with the highest number ends because it is idle, so numbers have no gaps and the
 * least number is kept.
 *
 * @module
 */

import type { Helper } from "../../core/life/helper_thread.ts";
import { highestOf, POOL, poolAt, WORKER, workerAt } from "./memory.ts";
import { type Taken, WorkerQueue } from "./queue.ts";

/** The learnt ratio: both counts are halved when one reaches this. */
const HISTORY_MAX = 4;

/** The loop of one IO Worker. It blocks the thread, which has nothing else to do. */
export class IoWorker {
  readonly #helper: Helper;
  readonly #number: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #pool: number;
  readonly #at: number;
  readonly #queue: WorkerQueue;
  readonly #taken: Taken = { handle: null, peer: -1, isShort: false, depth: 0 };
  #ios = 0;
  #wakeUps = 0;
  /** Since when it is the highest, and idle; -1: it is not. */
  #idleSince = -1;

  /**
   * For the thread of a helper.
   *
   * @param helper executes the IO
   * @param number of the Worker
   */
  constructor(helper: Helper, number: number) {
    const { control, libc } = helper;
    this.#helper = helper;
    this.#number = number;
    this.#words = control.words;
    this.#pool = poolAt(control);
    this.#at = workerAt(control, number);
    this.#queue = new WorkerQueue(control, helper.threadId, (id) => libc.isThreadAlive(id));
  }

  /** Works until the pool ends, or does without this Worker. */
  run(): void {
    const words = this.#words;
    const tryClaim = (index: number, low: number) => this.#helper.tryClaim(index, low);
    Atomics.store(words, this.#at + WORKER.hasJoined, 1);
    Atomics.or(words, this.#pool + POOL.running, 1 << this.#number);
    Atomics.store(words, this.#pool + POOL.hasFailed, 0);
    // The highest one is another now, and the next one may be started.
    this.#queue.wakeAll();
    this.#queue.ringOpener();
    for (;;) {
      if (this.#isSuperfluous()) break;
      const seen = Atomics.load(words, this.#at + WORKER.wake);
      this.#queue.take(this.#number, this.#wakeUps <= this.#ios, tryClaim, this.#taken);
      if (this.#taken.handle !== null) this.#perform();
      else if (this.#isToEnd()) break;
      else this.#sleep(seen);
    }
    this.#queue.remove(this.#number);
    // The highest one is another again, and somebody may have chosen this one just now.
    this.#queue.wakeAll();
    this.#queue.wakeForRest();
  }

  #isSuperfluous(): boolean {
    const words = this.#words;
    return this.#number >= Atomics.load(words, this.#pool + POOL.max) ||
      Atomics.load(words, this.#at + WORKER.isToEnd) !== 0;
  }

  #perform(): void {
    const { handle, peer, isShort, depth } = this.#taken;
    const words = this.#words;
    Atomics.store(words, this.#at + WORKER.handle, handle!.index + 1);
    if (peer >= 0) this.#queue.wake(peer);
    else if (isShort && depth > this.#queue.running) this.#askForMore();
    this.#idleSince = -1;
    if (++this.#ios >= HISTORY_MAX) this.#halve();
    this.#helper.performSynchronously(handle!);
    Atomics.store(words, this.#at + WORKER.handle, 0);
  }

  #halve(): void {
    this.#ios >>= 1;
    this.#wakeUps >>= 1;
  }

  #askForMore(): void {
    const words = this.#words;
    if (this.#queue.running >= Atomics.load(words, this.#pool + POOL.max)) return;
    if (Atomics.exchange(words, this.#pool + POOL.isGrowthWanted, 1) !== 0) return;
    this.#queue.ringOpener();
  }

  /** Called when it is in the idle set. Leaves that if it is to end. */
  #isToEnd(): boolean {
    const words = this.#words;
    const isOver = Atomics.load(words, this.#pool + POOL.isEnding) !== 0 ||
      this.#patienceMs() === 0;
    return isOver && this.#queue.tryLeave(this.#number);
  }

  /** For how long to stay idle; 0: it is enough. Without end for all but the highest. */
  #patienceMs(): number {
    const words = this.#words;
    const isHighest = highestOf(Atomics.load(words, this.#pool + POOL.running)) === this.#number;
    if (!isHighest || this.#number < Atomics.load(words, this.#pool + POOL.min)) {
      this.#idleSince = -1;
      return Infinity;
    }
    const now = performance.now();
    if (this.#idleSince < 0) this.#idleSince = now;
    const timeoutMs = Atomics.load(words, this.#pool + POOL.idleTimeoutMs);
    return Math.max(0, this.#idleSince + timeoutMs - now);
  }

  #sleep(seen: number): void {
    const words = this.#words;
    // It is enough as it is: nothing waits.
    Atomics.store(words, this.#pool + POOL.isGrowthWanted, 0);
    const patienceMs = Math.max(1, this.#patienceMs());
    if (Atomics.wait(words, this.#at + WORKER.wake, seen, patienceMs) === "timed-out") return;
    words[this.#at + WORKER.wakeUps]!++;
    if (++this.#wakeUps >= HISTORY_MAX) this.#halve();
  }
}
