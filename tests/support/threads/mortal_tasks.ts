/**
 * mortal_tasks.ts: the tasks of a thread that may die before any of its atomic steps, as the models
 * of appends and of logs run it.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import type { Aio } from "../../../mod.ts";
import { AtomicSteps } from "../deaths/atomic_steps.ts";
import type { Prng } from "../prng.ts";
import type { Life } from "./mortal_worker.ts";

const TASKS = 6;
/** One in so many ends its turn of the event loop, so that the next is another write. */
const PAUSE_EVERY = 5;

/** The tasks of one thread. */
export class MortalTasks {
  /** How many records it has begun. */
  begun = 0;
  readonly #life: Life;
  readonly #prng: Prng;
  #isDead = false;

  /**
   * @param life how many records it has, and when it dies
   * @param prng says when a task pauses
   */
  constructor(life: Life, prng: Prng) {
    this.#life = life;
    this.#prng = prng;
  }

  /** The number of the record that begins now. */
  next(): number {
    return this.#life.first + this.begun++;
  }

  /**
   * Runs them until all records are done.
   *
   * @param aio whose memory has the steps that count
   * @param onDeath is called right before the thread ends
   * @param work appends one record
   */
  async run(aio: Aio, onDeath: () => void, work: () => Promise<void>): Promise<void> {
    const { diesAt, records } = this.#life;
    if (diesAt < Infinity) {
      const { arena, control } = backendOf(aio);
      const steps = new AtomicSteps(arena.buffer, control.words.buffer);
      steps.onDeath = () => {
        this.#isDead = true;
        onDeath();
      };
      steps.diesAt = diesAt;
    }
    await Promise.all(Array.from({ length: TASKS }, async () => {
      // What a thread does may go on after its end, to the end of the turn of the event loop.
      while (this.begun < records && !this.#isDead) {
        await work();
        if (this.#prng.chance(1, PAUSE_EVERY)) await new Promise((resolve) => setTimeout(resolve));
      }
    }));
  }
}
