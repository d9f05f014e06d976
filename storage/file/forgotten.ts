/**
 * forgotten.ts: the warning of an `aio.close()` that has to close files in its user's place.
 *
 * @module
 */

import { callSite, shown } from "../../core/inside.ts";

/** More than these are only counted. */
const LISTED_MAX = 10;

/** Says how a file came to be open: `opened at file:///a/main.ts:5:30`. */
export type Origin = () => string;

/** What the warning says of a file. */
export interface ForgottenFile {
  /** Its path. */
  readonly path: string;
  /** The line that opened it. */
  readonly origin: Origin;
}

/**
 * Remembers the line that opens a file.
 *
 * @param verb what happens to the file
 * @param call the public function that is running
 */
export function originOf(verb: "opened" | "attached", call: (...args: never[]) => unknown): Origin {
  const site = callSite(call);
  return () => `${verb} at ${site() ?? "an unknown place"}`;
}

/** One message for all files that `aio.close()` finds open. */
export function forgottenFiles(files: readonly ForgottenFile[]): string {
  const list = files.slice(0, LISTED_MAX).map(({ path, origin }) => `${shown(path)}, ${origin()}`);
  if (files.length > LISTED_MAX) list.push(`and ${files.length - LISTED_MAX} more`);
  const what = files.length === 1 ? "a file" : `${files.length} files`;
  return `aio.close() closed ${what} left open: ${list.join("; ")}; ` +
    'close each with file.close() or "await using"';
}
