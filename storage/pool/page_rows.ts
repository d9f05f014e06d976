/**
 * page_rows.ts: what is in the buffers of a pool, for whoever wants to look.
 *
 * @module
 */

import { isWrite } from "./buffer_io.ts";
import { BUFFER, BUFFER_STATE, type PoolMemory } from "./pool_memory.ts";

/** What is in a buffer. */
export interface PageRow {
  /** Its number. */
  readonly buffer: number;
  /** The file; null: it has no block. */
  readonly path: string | null;
  /** The block of that file; null: it has none. */
  readonly block: number | null;
  /** Whether its content is that of the block. */
  readonly isValid: boolean;
  /** Whether that is newer than the file. */
  readonly isDirty: boolean;
  /** Whether a thread died while it changed it. */
  readonly isTorn: boolean;
  /** How often it was used since the clock's hand came by, up to 5. */
  readonly usageCount: number;
  /** The threads that have it pinned, by their `backendId`. */
  readonly pinningBackends: readonly number[];
  /** What an IO does with it now; null: nothing. */
  readonly io: "read" | "write" | null;
}

/** Looks at each buffer. They may change meanwhile: each row is right by itself. */
export function rowsOf(memory: PoolMemory, pathOf: (file: number) => string): PageRow[] {
  return Array.from({ length: memory.pages }, (_, buffer) => rowOf(memory, buffer, pathOf));
}

function rowOf(memory: PoolMemory, buffer: number, pathOf: (file: number) => string): PageRow {
  const { words } = memory;
  const at = memory.at(buffer);
  const file = Atomics.load(words, at + BUFFER.file) - 1;
  const state = Atomics.load(words, at + BUFFER.state);
  const pins = Atomics.load(words, at + BUFFER.pins);
  const io = Atomics.load(words, at + BUFFER.io);
  return {
    buffer,
    path: file < 0 ? null : pathOf(file),
    block: file < 0 ? null : words[at + BUFFER.block]!,
    isValid: (state & BUFFER_STATE.valid) !== 0,
    isDirty: (state & BUFFER_STATE.dirty) !== 0,
    isTorn: (state & BUFFER_STATE.torn) !== 0,
    usageCount: words[at + BUFFER.usage]!,
    pinningBackends: Array.from({ length: 32 }, (_, id) => id)
      .filter((id) => (pins >>> id & 1) !== 0),
    io: io === 0 ? null : isWrite(io) ? "write" : "read",
  };
}
