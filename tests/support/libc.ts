/**
 * libc.ts: where this machine's C library is, for programs that are run with no more than its
 * permission.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { isAbsolute } from "@std/path";
import { LIBC_CANDIDATES } from "../../ffi/libc_paths.ts";

/** The names that it is looked for by. */
export const LIBC_NAMES: readonly string[] =
  LIBC_CANDIDATES[`${Deno.build.os}-${Deno.build.arch}`] ?? [];

/** All paths of it that there are. */
export const LIBC_PATHS: readonly string[] = LIBC_NAMES.filter((path) =>
  isAbsolute(path) && existsSync(path)
);

/** The one that the library takes; on macOS it is no file, but opens all the same. */
export const LIBC = LIBC_PATHS[0] ?? LIBC_NAMES[0] ?? "";
