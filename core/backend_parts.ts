/**
 * backend_parts.ts: what a backend is made of, put together by `open.ts` in the opener and in every
 * thread that attaches.
 *
 * @module
 */

import type { Libc } from "../ffi/libc.ts";
import type { Arena } from "./arena.ts";
import type { CallbackTable } from "./callback.ts";
import type { IoLog } from "./io_log.ts";
import type { MemoryMap } from "./memory_map.ts";
import type { IoMethod } from "./method.ts";
import type { OpenFileTable } from "./open_file.ts";
import type { EffectiveOptions } from "./options.ts";
import type { Control } from "./shared_memory.ts";
import type { TargetTable } from "./target.ts";

/** What a backend is made of. */
export interface BackendParts {
  /** Its slot. */
  readonly id: number;
  /** Shared memory. */
  readonly control: Control;
  /** The C library, as this thread opened it. */
  readonly libc: Libc;
  /** How IO is executed. */
  readonly method: IoMethod;
  /** The options in force. */
  readonly options: EffectiveOptions;
  /** The callbacks by id. */
  readonly callbacks: CallbackTable;
  /** The targets by id. */
  readonly targets: TargetTable;
  /** The id of the target `file`. */
  readonly fileTargetId: number;
  /** The memory that IO may use. */
  readonly memory: MemoryMap;
  /** The memory that IO goes to without a copy. */
  readonly arena: Arena;
  /** The open files of all threads. */
  readonly files: OpenFileTable;
  /** Takes warnings; never throws. */
  readonly warn: (message: string, cause?: unknown) => void;
  /** Takes lines about each IO; null: nobody wants any. */
  readonly log: IoLog | null;
}
