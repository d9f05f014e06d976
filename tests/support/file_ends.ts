/**
 * file_ends.ts: files that are no files, for tests of where they end: entries of a table, and
 * handles that are writes of them.
 *
 * @module
 */

import { assert } from "@std/assert";
import { effectiveOptions } from "../../core/base/options.ts";
import type { FileSlot } from "../../core/files/file_slot.ts";
import { OpenFileTable } from "../../core/files/file_table.ts";
import { OPERATIONS } from "../../core/io/operation_table.ts";
import { SUBMITTED } from "../../core/memory/handle_state.ts";
import { type Control, createControl, HANDLE } from "../../core/memory/shared_memory.ts";

/** Threads that share a table of open files, all of them in this one. */
export interface Threads {
  readonly control: Control;
  /** One a thread. */
  readonly tables: readonly OpenFileTable[];
}

/** Makes the memory, and a table for each. */
export function makeThreads(
  count: number,
  maxFiles = 8,
  control = createControl(
    effectiveOptions({ arenaBytes: 4096, maxBackends: count, maxFiles }),
    0,
  ),
): Threads {
  const tables = Array.from(
    { length: count },
    (_, id) => new OpenFileTable(control, 1000 + id, () => true, id),
  );
  return { control, tables };
}

/** Opens a file by its inode. */
export function open(files: OpenFileTable, inode: number, deviceMinor = 1): FileSlot {
  const slot = files.reserve()!;
  files.publish(slot, {
    fd: 100 + slot.slot,
    deviceMajor: 8,
    deviceMinor,
    inodeLow: inode,
    inodeHigh: 0,
    flags: 0,
    memoryAlignment: 1,
    offsetAlignment: 1,
    path: `file ${inode}`,
  });
  return slot;
}

/** Closes it. */
export function close(files: OpenFileTable, { slot }: FileSlot): void {
  assert(files.detach(slot));
  files.free(slot);
}

/** Makes the end known. */
export function learn({ ends }: OpenFileTable, { slot }: FileSlot, size: number): void {
  ends.link(slot);
  assert(ends.tryLearn(slot, ends.setBackAt(slot), size, ends.writesEnd(slot)));
}

/** Has a handle be a write of a file. */
export function write(
  { control }: Threads,
  index: number,
  slot: FileSlot,
  from: number,
  to: number,
): void {
  const base = control.handleAt(index);
  const { words } = control;
  words[base + HANDLE.operation] = OPERATIONS.writev.code;
  words[base + HANDLE.fd] = 100 + slot.slot;
  words[base + HANDLE.offsetLow] = from;
  words[base + HANDLE.offsetHigh] = 0;
  words[base + HANDLE.length] = to - from;
  words[base + HANDLE.state] = SUBMITTED;
}
