/**
 * part.ts: which part of the suite a test file is run for, as run.ts tells it.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

/** The variable of the environment that says so. */
export const PART_VARIABLE = "DENO_AIO_TEST_PART";

/** Files of the long part alone. */
export const LONG_FILE = /_long_test\.ts$/;

/**
 * A part of the suite: `quick`, the `long` rest, or empty for both. `mapped`: both, with rings as
 * kernels before 6.5 have them, but for what the long part shows with any rings.
 */
export type Part = "quick" | "long" | "mapped" | "";

/** The part that this process runs. */
export function partOfRun(): Part {
  const part = Deno.env.get(PART_VARIABLE);
  return part === "quick" || part === "long" || part === "mapped" ? part : "";
}

/** The part that the tests of this file are divided by: all of a long file is for the long part. */
export function partOfFile(): Part {
  const part = partOfRun();
  return LONG_FILE.test(fileUnderTest()) || part === "mapped" ? "" : part;
}

/** Whether this run must be quick: then it leaves variants to the task that runs them. */
export function isQuickPart(): boolean {
  return partOfRun() === "quick";
}

/** Whether this run is about mapped rings: random loads are larger in the long part. */
export function isMappedPart(): boolean {
  return partOfRun() === "mapped";
}

/** The variable with the test files of a group, one a line: see group.ts. */
export const GROUP_VARIABLE = "DENO_AIO_TEST_GROUP";
/** What the names of tests begin with that say which file of a group comes. */
export const FILE_MARK = "file of the group: ";

let registering: string | null = null;

/** The test file whose tests are being registered. */
export function fileUnderTest(): string {
  return registering ?? fileURLToPath(Deno.mainModule);
}

/** Says which file of a group comes. */
export function setFileUnderTest(file: string): void {
  registering = file;
}
