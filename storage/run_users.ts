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

/**
 * Marks a thread as a user.
 *
 * @param words of the run
 * @param at which word has the users
 * @param isThere whether the run still has what the thread wants
 * @returns false: the run has something else by now, or no user is left
 */
export function tryUse(
  words: Int32Array,
  at: number,
  backendId: number,
  isThere: () => boolean,
): boolean {
  for (;;) {
    const users = Atomics.load(words, at);
    if (users === 0 || !isThere()) return false;
    if (Atomics.compareExchange(words, at, users, users | 1 << backendId) !== users) continue;
    if (isThere()) return true;
    // Another one has come there between the two looks.
    endUse(words, at, backendId);
    return false;
  }
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
