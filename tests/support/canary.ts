/**
 * canary.ts: for canaries of random work by several threads, which meets what is broken sooner or
 * later.
 *
 * @module
 */

const RUNS_MAX = 20;

/** Repeats work, each time with another seed, until it fails. @throws if it never does */
export async function assertFound(run: (seed: number) => Promise<unknown>): Promise<void> {
  for (let seed = 1; seed <= RUNS_MAX; seed++) {
    try {
      await run(seed);
    } catch {
      return;
    }
  }
  throw new Error(`Nothing was found in ${RUNS_MAX} runs`);
}
