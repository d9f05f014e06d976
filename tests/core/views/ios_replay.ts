/**
 * ios_replay.ts: a listing of IOs with another thread's writes before any one of its reads, all in
 * one thread.
 *
 * @module
 */

import { listIos } from "../../../core/views/io_rows.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import type { Prng } from "../../support/prng.ts";
import { useHandle } from "../fixtures/handle_uses.ts";
import { type ListIos, makeControl, USE_TARGETS } from "./ios_rows.ts";

type Write = readonly [at: number, value: number];

/** Where the recorded uses begin: the generation's high word moves among them. */
const FIRST_GENERATION = 2 ** 32 - 4;
const USES = 8;

/** What {@linkcode useHandle} writes to a handle, word by word. */
function recordUses(uses: number): Write[] {
  const writes: Write[] = [];
  const words = new Proxy(new Int32Array(HANDLE.size), {
    set(target, key, value) {
      writes.push([Number(key), value]);
      return Reflect.set(target, key, value);
    },
  });
  words[HANDLE.generationLow] = FIRST_GENERATION | 0;
  const { load, store } = Atomics;
  const plainLoad = (from: Int32Array, at: number) => from[at]!;
  const plainStore = (to: Int32Array, at: number, value: number) => to[at] = value;
  // The real ones refuse a Proxy.
  Atomics.load = plainLoad as typeof load;
  Atomics.store = plainStore as typeof store;
  try {
    for (let i = 0; i < uses; i++) useHandle(words, 0);
  } finally {
    Atomics.load = load;
    Atomics.store = store;
  }
  return writes;
}

/** The handle of a control, with other threads' writes to it at hand. */
export class Replay {
  readonly control = makeControl();
  readonly writes = recordUses(USES);
  /** Writes of a whole use. */
  readonly useLength = recordUses(1).length;
  /** What a listing shows after each number of writes, when nobody writes meanwhile. */
  readonly still: string[] = [];
  readonly #base = this.control.handleAt(0);
  #done = 0;

  constructor() {
    this.restart(0);
    for (let done = 0; done <= this.writes.length; done++) {
      this.still.push(JSON.stringify(listIos(this.control, USE_TARGETS)));
      this.advance(1);
    }
  }

  restart(done: number): void {
    this.control.words.fill(0, this.#base, this.#base + HANDLE.size);
    this.#done = 0;
    this.advance(done);
  }

  advance(count: number): void {
    const end = Math.min(this.writes.length, this.#done + count);
    for (; this.#done < end; this.#done++) {
      const [at, value] = this.writes[this.#done]!;
      this.control.words[this.#base + at] = value;
    }
  }

  /**
   * Lists from a moment on, with so many writes before the loads of those numbers.
   *
   * @returns a fault
   */
  list(list: ListIos, start: number, pauses: ReadonlyMap<number, number>): string | null {
    this.restart(start);
    const { load } = Atomics;
    let loads = 0;
    Atomics.load = ((words: Int32Array, at: number) => {
      this.advance(pauses.get(loads++) ?? 0);
      return words[at];
    }) as typeof Atomics.load;
    try {
      return this.#judge(JSON.stringify(list(this.control, USE_TARGETS)), start);
    } finally {
      Atomics.load = load;
    }
  }

  /**
   * Right is what one moment of the listing could show; nothing, if the handle was recycled.
   */
  #judge(shown: string, start: number): string | null {
    const moments = this.still.slice(start, this.#done + 1);
    if (moments.includes(shown)) return null;
    const isRecycled = this.writes.slice(start, this.#done)
      .some(([at]) => at === HANDLE.generationLow || at === HANDLE.generationHigh);
    if (shown === "[]" && isRecycled) return null;
    return `from write ${start} to ${this.#done}: ${shown}`;
  }
}

/** Loads of one attempt: the first three and the last four are where the protocol is. */
export const LOADS = 3 + HANDLE.size + 4;

function pickLoad(prng: Prng): number {
  if (prng.chance(1, 2)) return prng.below(2 * LOADS);
  return prng.chance(1, 2) ? prng.below(4) : 3 + HANDLE.size + prng.below(5);
}

/** A few writes, any number, or about as many as lead to the same state of the next use. */
function pickCount(prng: Prng, useLength: number): number {
  if (prng.chance(1, 3)) return prng.below(6);
  return prng.chance(1, 2) ? prng.below(2 * useLength) : useLength - 3 + prng.below(7);
}

/** Lists with random writes at up to three moments, until there is a fault. */
export function findFault(list: ListIos, prng: Prng, rounds: number): string | null {
  const replay = new Replay();
  for (let round = 0; round < rounds; round++) {
    const pauses = new Map<number, number>();
    for (let i = prng.between(1, 3); i > 0; i--) {
      pauses.set(pickLoad(prng), pickCount(prng, replay.useLength));
    }
    const fault = replay.list(list, prng.below(replay.writes.length), pauses);
    if (fault !== null) return fault;
  }
  return null;
}
