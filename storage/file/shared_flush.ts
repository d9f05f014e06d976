/**
 * shared_flush.ts: the flush that durable appends share, those of all tasks and threads: see
 * core/life/flush_turns.ts. Each waits for one that began after its write had ended, and a thread
 * waits for all of its appends together.
 *
 * @module
 */

import {
  type Backend,
  type Eventually,
  type FileSlot,
  FlushTurns,
  get,
  runSteps,
  runStepsSync,
  shown,
  type Steps,
  type WaitWord,
} from "../../core/inside.ts";
import type { FlushFailure } from "./flush_failure.ts";

/** How a flush is made, and how others are waited for. */
interface FlushCalls {
  /** Which form they are. */
  readonly areBlocking: boolean;
  /** Makes the file durable. */
  flush(): Eventually<void>;
  /** Waits until a word does not hold a value. */
  changed(word: WaitWord, value: number): Eventually<void>;
  /** Refuses if a flush of the file has failed. */
  check(): void;
}

/** Makes one open file durable: `flush()` in flush.ts. */
export interface Flushes {
  /** Awaiting. */
  readonly flush: () => Promise<void>;
  /** Blocking. */
  readonly flushSync: () => void;
}

interface Waiter {
  readonly number: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The shared flushes of one open file, in one thread. */
export class SharedFlush {
  readonly #turns: FlushTurns;
  readonly #failure: FlushFailure;
  readonly #awaited: FlushCalls;
  readonly #blocking: FlushCalls;
  #waiters: Waiter[] = [];
  #isRunning = false;
  /** The turn of a durable write. */
  #turn: number | null = null;

  /**
   * Of one open file.
   *
   * @param backend of this thread
   * @param slot its place in the table of open files
   * @param failure what became of its flushes
   * @param flushes make it durable
   */
  constructor(
    backend: Backend,
    slot: FileSlot,
    failure: FlushFailure,
    flushes: Flushes,
  ) {
    const { wordWaits, control, doorbells, id } = backend;
    this.#turns = new FlushTurns(control, slot.slot, doorbells, id);
    this.#failure = failure;
    const check = () => failure.check(cannotMakeDurable, "fdatasync");
    this.#awaited = {
      areBlocking: false,
      flush: flushes.flush,
      changed: (word, value) => wordWaits.changed(word, value),
      check,
    };
    this.#blocking = {
      areBlocking: true,
      flush: flushes.flushSync,
      changed: (word, value) => wordWaits.waitSync(word, value),
      check,
    };
  }

  /** Whether a task waits for a flush, which is under way. */
  get isAwaited(): boolean {
    return this.#isRunning;
  }

  /** Resolves when all that was written until now is durable. @throws what the system says */
  join(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ number: this.#turns.next(), resolve, reject });
      if (!this.#isRunning) this.#run();
    });
  }

  /** As {@linkcode join}, blocking. Never waits for an event loop, this thread's or another's. */
  joinSync(): void {
    runStepsSync(this.#untilEnded(this.#turns.next(), this.#blocking));
  }

  /**
   * Takes the turn for a write that is a flush of nothing but itself: other appends wait for it,
   * and then for a flush of their own. Those that wait come first: they hear of the end of a turn
   * later than whoever has it, which would take it again and again.
   *
   * @returns false if a flush is under way or waited for, or one has failed
   */
  tryTakeTurn(): boolean {
    const isFree = !this.#isRunning && this.#failure.errno === 0;
    this.#turn = isFree ? this.#turns.tryBegin(false) : null;
    return this.#turn !== null;
  }

  /** Such a write is over. */
  endTurn(): void {
    this.#turns.end(this.#turn!, false);
  }

  /** Serves whoever waits, one flush after another. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiters.length > 0) {
      const { number } = this.#waiters[0]!;
      try {
        await runSteps(this.#untilEnded(number, this.#awaited));
        this.#takeThose(({ number }) => this.#turns.hasEnded(number)).forEach(({ resolve }) =>
          resolve()
        );
      } catch (error) {
        // Those that came later wait for another flush, unless that would fail as well.
        const isLost = this.#failure.errno !== 0;
        const failed = this.#takeThose((waiter) => isLost || waiter.number === number);
        for (const { reject } of failed) reject(error);
      }
    }
    this.#isRunning = false;
  }

  #takeThose(belongs: (waiter: Waiter) => boolean): Waiter[] {
    const taken = this.#waiters.filter(belongs);
    this.#waiters = this.#waiters.filter((waiter) => !taken.includes(waiter));
    return taken;
  }

  /** Until a flush with that number, or a later one, has ended: another thread's, or its own. */
  *#untilEnded(number: number, calls: FlushCalls): Steps<void> {
    const turns = this.#turns;
    for (;;) {
      const seen = turns.changes;
      calls.check();
      if (turns.hasEnded(number)) return;
      const own = turns.tryBegin(calls.areBlocking);
      if (own === null) {
        // An event loop may be blocked until this thread goes on: it flushes beside that one.
        if (calls.areBlocking && turns.needsEventLoop) return yield* get(calls.flush());
        yield* get(calls.changed(turns.change, seen));
        continue;
      }
      let isDurable = false;
      try {
        yield* get(calls.flush());
        isDurable = true;
      } finally {
        turns.end(own, isDurable);
      }
    }
  }
}

/** What appends say that could not be made durable. */
export function cannotMakeDurable(path: string): string {
  return `Cannot make an append to ${shown(path)} durable`;
}
