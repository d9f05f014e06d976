/**
 * closing_mark.ts: which descriptors are being closed right now, by which backend: one word in each
 * backend's record, and a mask of those that close any in the header, which every start looks at.
 *
 * @module
 */

import type { AioHandle } from "../io/handle.ts";
import { OP_INVALID } from "../io/operation_table.ts";
import { BACKEND, type Control, HANDLE, HEADER } from "../memory/shared_memory.ts";

/** Runs something while a descriptor is marked. A hook may close another one meanwhile. */
export function markedClosing(control: Control, id: number, fd: number, use: () => void): void {
  const { words } = control;
  const at = control.backendAt(id) + BACKEND.closingFd;
  const isWithin = (Atomics.load(words, HEADER.closings) & (1 << id)) !== 0;
  const outer = Atomics.exchange(words, at, fd + 1);
  Atomics.or(words, HEADER.closings, 1 << id);
  try {
    use();
  } finally {
    if (isWithin) Atomics.store(words, at, outer);
    else unmarkClosing(control, id);
  }
}

/** Takes a backend's mark away: its thread is done, or has died. */
export function unmarkClosing({ words }: Control, id: number): void {
  Atomics.and(words, HEADER.closings, ~(1 << id));
}

/**
 * Refuses an IO whose descriptor is marked. Its operation is taken back, so that the closer does
 * not wait for it.
 *
 * @throws {Deno.errors.BadResource} naming what the IO is about, and the descriptor
 */
export function refuseIfClosing(control: Control, handle: AioHandle): void {
  const { words, base } = handle;
  const fd = words[base + HANDLE.fd]!;
  if (!isMarked(control, fd)) return;
  words[base + HANDLE.operation] = OP_INVALID;
  throw new Deno.errors.BadResource(
    `Cannot start IO on ${handle.describeTarget()}: descriptor ${fd} is being closed`,
  );
}

function isMarked(control: Control, fd: number): boolean {
  const { words } = control;
  for (let left = Atomics.load(words, HEADER.closings); left !== 0; left &= left - 1) {
    const id = 31 - Math.clz32(left & -left);
    if (Atomics.load(words, control.backendAt(id) + BACKEND.closingFd) === fd + 1) return true;
  }
  return false;
}
