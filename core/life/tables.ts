/**
 * tables.ts: the callbacks and targets of one thread, the same ones under the same ids in every thread.
 *
 * @module
 */

import { CallbackTable } from "../io/callback.ts";
import type { CallbackModule } from "./callback_modules.ts";
import { fileCallbacks } from "../files/file_callbacks.ts";
import type { OpenFileTable } from "../files/file_table.ts";
import type { Control } from "../memory/shared_memory.ts";
import { FILE_TARGET_NAME, TargetTable } from "../io/target.ts";

/** What a thread knows IO by. */
export interface Tables {
  /** The callbacks by id. */
  readonly callbacks: CallbackTable;
  /** The targets by id. */
  readonly targets: TargetTable;
  /** The id of the target `file`. */
  readonly fileTargetId: number;
}

/**
 * Makes the tables: what is built in first, then what the modules have, in their order.
 *
 * @param control where the open files are
 * @param modules the user's
 * @param files describes the target `file`
 * @param warn takes what a callback throws where nobody can be told
 */
export function makeTables(
  control: Control,
  modules: readonly CallbackModule[],
  files: OpenFileTable,
  warn: (message: string, cause?: unknown) => void,
): Tables {
  const targets = new TargetTable();
  const callbacks = new CallbackTable((error, cause) => warn(error.message, cause));
  targets.add(FILE_TARGET_NAME, files.target());
  const fileTargetId = targets.idOf(FILE_TARGET_NAME);
  for (const [name, one] of fileCallbacks(control)) callbacks.add(name, one);
  callbacks.trustAll();
  for (const module of modules) {
    for (const [name, one] of Object.entries(module.callbacks)) callbacks.add(name, one);
    for (const [name, one] of Object.entries(module.targets)) targets.add(name, one);
  }
  return { callbacks, targets, fileTargetId };
}
