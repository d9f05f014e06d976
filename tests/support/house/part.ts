/**
 * part.ts: which part of the suite a test file is run for, as run.ts tells it.
 *
 * @module
 */

/** The variable of the environment that says so: `quick`, `long`, or empty for all. */
export const PART_VARIABLE = "DENO_AIO_TEST_PART";

/** Whether this run must be quick: then it leaves variants to the task that runs them. */
export function isQuickPart(): boolean {
  return Deno.env.get(PART_VARIABLE) === "quick";
}
