/**
 * example_run.ts: runs an example as a user would, with the permissions that it needs and no more.
 *
 * @module
 */

import { join } from "@std/path";
import { LIBC } from "../support/libc.ts";
import { type ChildOptions, type ChildResult, runChild } from "../support/temp.ts";

const FOLDER = join(import.meta.dirname ?? ".", "..", "..", "examples");

/** A regular file that opens and whose reads fail with EIO; Deno wants all permissions for it. */
export const UNREADABLE = "/proc/self/mem";

/** The path of an example. */
export function examplePath(name: string): string {
  return join(FOLDER, name);
}

/** Runs an example that may read one file and open the C library, nothing else. */
export function runOnFile(name: string, path: string): Promise<ChildResult> {
  const permissions = ["--no-prompt", `--allow-read=${path}`, `--allow-ffi=${LIBC}`];
  return runChild(["run", "--no-lock", ...permissions, examplePath(name), path]);
}

/** Runs an example that may do anything. */
export function runFreely(
  name: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<ChildResult> {
  return runChild(["run", "--no-lock", "-A", examplePath(name), ...args], options);
}
