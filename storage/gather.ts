/**
 * gather.ts: lets tasks that were just resolved append again, so that one flush serves all of them.
 *
 * @module
 */

/** In so many turns of microtasks they have. */
const TURNS = 6;

/** Waits for that. */
export async function gather(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await null;
}
