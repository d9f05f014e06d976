/**
 * run_users.ts: the threads that use what a layer has in a run of the arena, a pool or a log, in a
 * word with a bit for each backend. Whoever finds no bit but its own gives the run back.
 *
 * That can be two threads: one that leaves, and one that reaps a dead thread right then and cannot
 * know whether the other one lives. By the time the second gives the run back, something else may
 * be there: so both name what they found, by its serial number.
 *
 * @module
 */

import type { ArenaRun, LayerHost } from "../core/inside_layers.ts";

type LayerRuns = LayerHost["runs"];

/** Where the users of a run are. */
export interface RunUsers {
  readonly runs: Pick<LayerRuns, "whileThere">;
  readonly run: ArenaRun;
  /** Of the run. */
  readonly words: Int32Array;
  /** Which word has the users. */
  readonly at: number;
}

/**
 * Marks a thread as a user. A mark that is set, and taken away as something else has come there
 * meanwhile, may have kept that one's last user from seeing that it is the last: so there is none.
 *
 * @param isThere whether the run has what the thread wants
 * @returns false: the run has something else by now, or no user is left
 */
export function tryUse(
  { runs, run, words, at }: RunUsers,
  backendId: number,
  isThere: () => boolean,
): boolean {
  return runs.whileThere(run, () => isThere() && tryMark(words, at, 1 << backendId)) ?? false;
}

/** Whoever has found that there is no user is about to give the run back. */
function tryMark(words: Int32Array, at: number, bit: number): boolean {
  for (let users = Atomics.load(words, at); users !== 0;) {
    const found = Atomics.compareExchange(words, at, users, users | bit);
    if (found === users) return true;
    users = found;
  }
  return false;
}

/**
 * Takes the mark away.
 *
 * @returns whether no other is left: of two threads that look afterwards, both could think so
 */
export function endUse(words: Int32Array, at: number, backendId: number): boolean {
  const bit = 1 << backendId;
  return (Atomics.and(words, at, ~bit) & ~bit) === 0;
}

/**
 * Takes the mark away where another thread has one. Of several that leave at once all but one do.
 *
 * @returns false: the thread is the last, and keeps its mark until {@linkcode endUse}
 */
export function tryLeave(words: Int32Array, at: number, backendId: number): boolean {
  const bit = 1 << backendId;
  for (let users = Atomics.load(words, at); (users & ~bit) !== 0;) {
    const found = Atomics.compareExchange(words, at, users, users & ~bit);
    if (found === users) return true;
    users = found;
  }
  return false;
}
