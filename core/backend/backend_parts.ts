/**
 * backend_parts.ts: what a backend is made of, put together by `open_aio.ts` in the opener and in
 * every thread that attaches.
 *
 * @module
 */

import type { Libc } from "../../ffi/libc.ts";
import type { Arena } from "../memory/arena.ts";
import type { CallbackTable } from "../io/callback.ts";
import type { IoLog } from "../io/io_log.ts";
import type { MemoryMap } from "../memory/memory_map.ts";
import type { IoMethod } from "../io/method.ts";
import type { OpenFileTable } from "../files/file_table.ts";
import type { EffectiveOptions } from "../base/options.ts";
import type { Doorbells } from "../waiting/doorbell.ts";
import type { NamedModule } from "../base/named_module.ts";
import type { Control } from "../memory/shared_memory.ts";
import type { TargetTable } from "../io/target.ts";

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
  /** The layers that threads of our own import. */
  readonly layerModules: readonly NamedModule[];
  /** The callbacks by id. */
  readonly callbacks: CallbackTable;
  /** The targets by id. */
  readonly targets: TargetTable;
  /** The memory that IO may use. */
  readonly memory: MemoryMap;
  /** The memory that IO goes to without a copy. */
  readonly arena: Arena;
  /** The open files of all threads. */
  readonly files: OpenFileTable;
  /** Wakes other backends, and this one. */
  readonly doorbells: Doorbells;
  /** Takes warnings; never throws. */
  readonly warn: (message: string, cause?: unknown) => void;
  /** Takes lines about each IO; null: nobody wants any. */
  readonly log: IoLog | null;
}
