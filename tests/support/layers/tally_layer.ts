/**
 * tally_layer.ts: what the layer of a pool or a log will be like, in small: words that all threads
 * share, a turn that one of them has at a time and the others wait for, a mark that each IO leaves,
 * and what becomes of all this when a thread dies.
 *
 * @module
 */

import { defineCallbacks } from "../../../core/io/callback.ts";
import { defineTarget } from "../../../core/io/target.ts";
import type { Layer, LayerHost, LayerParts } from "../../../core/life/layer.ts";
import { type WaitWord, wakeWord } from "../../../core/waiting/words.ts";

/** Its words. */
const WORD = {
  /** One bit a backend that takes part. */
  members: 0,
  /** The backend that has the turn, + 1; 0: nobody has it. */
  turn: 1,
  turnWaiters: 2,
  /** How many threads have the turn: 1 at most. */
  inside: 3,
  /** Turns that were had. */
  turns: 4,
  /** Turns that were taken from the dead. */
  takenOver: 5,
  /** The last mark of each handle. */
  marks: 16,
} as const;

const BYTES = 65_536;

/** Whether the layer does anything for the dead, in this thread. */
export const settings = { heals: true };

/** What one thread has of it. */
export class Tally {
  readonly #host: LayerHost;
  #at = -1;

  constructor(host: LayerHost) {
    this.#host = host;
  }

  get #words(): Int32Array<SharedArrayBuffer> {
    return this.#host.arena.words;
  }

  /** Makes the words, for all threads. */
  open(): void {
    this.#host.runs.tryTake(BYTES, ({ offset, bytes }) => {
      const at = offset / Int32Array.BYTES_PER_ELEMENT;
      this.#words.fill(0, at, at + bytes / Int32Array.BYTES_PER_ELEMENT);
    });
  }

  /** Finds the words, and takes part. */
  join(): void {
    this.#at = this.#find();
    Atomics.or(this.#words, this.#at + WORD.members, 1 << this.#host.id);
  }

  /** Takes part no more; the last one gives the words back. @returns whether it did */
  leave(): boolean {
    const { id, runs } = this.#host;
    const before = Atomics.and(this.#words, this.#at + WORD.members, ~(1 << id));
    if (before !== 1 << id) return false;
    return runs.giveBack({ offset: this.#at * Int32Array.BYTES_PER_ELEMENT, bytes: BYTES });
  }

  #find(): number {
    let at = -1;
    this.#host.runs.each(({ offset }) => at = offset / Int32Array.BYTES_PER_ELEMENT);
    return at;
  }

  /** The word that says who has the turn. */
  get turn(): WaitWord {
    const { turn, turnWaiters } = WORD;
    return { words: this.#words, index: this.#at + turn, waiters: this.#at + turnWaiters };
  }

  /** @returns 0 if this thread has the turn now; else what the word holds */
  tryTakeTurn(): number {
    const present = Atomics.compareExchange(
      this.#words,
      this.#at + WORD.turn,
      0,
      this.#host.id + 1,
    );
    if (present !== 0) return present;
    Atomics.add(this.#words, this.#at + WORD.inside, 1);
    Atomics.add(this.#words, this.#at + WORD.turns, 1);
    return 0;
  }

  /** Gives the turn to whoever is first. */
  giveTurn(): void {
    Atomics.sub(this.#words, this.#at + WORD.inside, 1);
    this.#freeTurn(this.#host.id);
  }

  #freeTurn(id: number): boolean {
    const { turn } = this;
    const isFreed = Atomics.compareExchange(this.#words, turn.index, id + 1, 0) === id + 1;
    if (isFreed) wakeWord(this.#host.bells, turn);
    return isFreed;
  }

  /** What the callback of an IO needs: where the words are, and the mark. */
  dataOf(mark: number): number[] {
    return [this.#at, mark];
  }

  /** Leaves the mark of an IO; may happen twice. */
  mark(handle: number, [at, mark]: readonly number[]): void {
    Atomics.store(this.#words, at! + WORD.marks + handle, mark!);
  }

  /** The last mark of a handle. */
  markOf(handle: number): number {
    return Atomics.load(this.#words, this.#at + WORD.marks + handle);
  }

  /** What all threads have done. */
  get state(): Readonly<Record<"members" | "turn" | "inside" | "turns" | "takenOver", number>> {
    const load = (word: number) => Atomics.load(this.#words, this.#at + word);
    const [members, turn, inside] = [load(WORD.members), load(WORD.turn), load(WORD.inside)];
    return { members, turn, inside, turns: load(WORD.turns), takenOver: load(WORD.takenOver) };
  }

  /** A dead thread takes part no more, and its turn is over. Each step can be repeated. */
  heal(deadId: number): void {
    const at = this.#find();
    if (at < 0 || deadId > 31) return;
    this.#at = at;
    if ((Atomics.load(this.#words, at + WORD.members) & (1 << deadId)) === 0) return;
    if (this.#words[at + WORD.turn] === deadId + 1) {
      Atomics.store(this.#words, at + WORD.inside, 0);
      if (this.#freeTurn(deadId)) Atomics.add(this.#words, at + WORD.takenOver, 1);
    }
    // The last step: before it no thread gives the words back.
    Atomics.and(this.#words, at + WORD.members, ~(1 << deadId));
  }
}

/** What the layer has in one thread. */
export interface TallyParts extends LayerParts {
  readonly tally: Tally;
}

/** The layer. */
export const tallyLayer: Layer<TallyParts> = {
  name: "tally",
  module: new URL(import.meta.url),
  make(host) {
    const tally = new Tally(host);
    return {
      tally,
      callbacks: {
        tally: defineCallbacks({
          completeShared(handle, prior) {
            tally.mark(handle.id, handle.handleData());
            return prior;
          },
        }),
      },
      targets: { tally: defineTarget({ describeIdentity: ([mark]) => `tally of mark ${mark}` }) },
      reapBackend(deadId) {
        if (settings.heals) tally.heal(deadId);
      },
    };
  },
};
