/**
 * node_fs.ts: `node:fs`, loaded when a thread first opens a file. Loading it takes as long as
 * starting an empty Worker does, and most threads that attach use files that others have opened.
 *
 * @module
 */

import type * as NodeFs from "node:fs";

let loaded: typeof NodeFs | null = null;

/** The module. It is loaded at once rather than awaited, as `openFileSync` needs it too. */
export function nodeFs(): typeof NodeFs {
  return loaded ??= globalThis.process.getBuiltinModule("node:fs");
}
