/**
 * shared.ts: what the tests of one file share, as it takes longer to make than they take.
 *
 * It is made before the first test and given up after the last one: what is made in one test and
 * used in the next would be a leak to the sanitizers.
 *
 * @module
 */

/**
 * Called while the tests are registered.
 *
 * @param make makes it
 * @param isPossible whether this machine has what it takes
 * @returns the shared one, in a test
 */
export function shareAmongTests<T extends AsyncDisposable>(
  make: () => Promise<T>,
  isPossible = true,
): () => T {
  let shared: T | null = null;
  if (isPossible) {
    Deno.test.beforeAll(async () => {
      shared = await make();
    });
    Deno.test.afterAll(async () => await shared?.[Symbol.asyncDispose]());
  }
  return () => {
    if (shared === null) throw new Error("What the tests share could not be made: see above");
    return shared;
  };
}
