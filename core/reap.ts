/**
 * reap.ts: takes over what a thread left behind that ended without `close()`.
 *
 * `self.close()` cuts JavaScript in mid-function and `terminate()` gives no event, so a handle can be
 * in any state, and between any two stores. IO that was on its way is done again, from what its handle
 * says: whoever waits for it gets the data. With that its memory must be shared; what was the dead
 * thread's own ends with ECANCELED.
 *
 * @module
 */

import { ECANCELED } from "../ffi/errno.ts";
import type { Backend } from "./backend.ts";
import { makeIdle, publishResult, resetFields } from "./completion.ts";
import { AioApiError, shown } from "./errors.ts";
import type { AioHandle } from "./handle.ts";
import { FLAG_BITS } from "./handle_flag.ts";
import {
  COMPLETED_IO,
  COMPLETED_LOCAL,
  COMPLETED_SHARED,
  DEFINED,
  HANDED_OUT,
  IDLE,
  STAGED,
  SUBMITTED,
  updateState,
} from "./handle_state.ts";
import { BACKEND, HANDLE } from "./shared_memory.ts";

/**
 * Frees the slot of a thread that has ended, with everything that was charged to it.
 *
 * @param backend whoever finds it
 * @param id the dead one
 * @throws {RangeError} if there is no such backend
 * @throws {AioApiError} if its thread still runs, nobody is in the slot, or another thread reaps it
 */
export function reapBackend(backend: Backend, id: number): void {
  const { control, libc } = backend;
  const count = backend.options.maxBackends;
  if (!Number.isInteger(id) || id < 0 || id >= count) {
    throw new RangeError(`Cannot reap backend ${shown(id)}: there are 0 to ${count - 1}`);
  }
  const threadAt = control.backendAt(id) + BACKEND.threadId;
  const threadId = Atomics.load(control.words, threadAt);
  if (threadId <= 0) {
    throw new AioApiError(`Cannot reap backend ${id}: no thread is attached there`);
  }
  if (libc.isThreadAlive(threadId)) {
    throw new AioApiError(`Cannot reap backend ${id}: its thread still runs`);
  }
  if (!takeOver(backend, id, threadId)) {
    throw new AioApiError(`Cannot reap backend ${id}: another thread does it`);
  }
}

/** @returns false if another thread was faster */
function takeOver(backend: Backend, id: number, threadId: number): boolean {
  const { control, libc, files, arena } = backend;
  const threadAt = control.backendAt(id) + BACKEND.threadId;
  // A number that is no thread's: nobody else reaps it, and nobody takes the slot yet.
  if (Atomics.compareExchange(control.words, threadAt, threadId, -threadId) !== threadId) {
    return false;
  }
  const first = id * control.handlesPerBackend;
  for (let index = first; index < first + control.handlesPerBackend; index++) {
    reapHandle(backend, backend.handleOf(index));
  }
  for (const { slot, fd } of files.removeBackend(id)) {
    libc.close(fd);
    files.free(slot);
  }
  arena.giveBackAllOf(id);
  backend.doorbells.closeFor(id);
  Atomics.store(control.words, threadAt, 0);
  return true;
}

/** The same if its thread has died, and nothing otherwise: several may wait for it and find out at once. */
export function reapIfDead(backend: Backend, id: number): void {
  const { control, libc } = backend;
  const threadId = Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
  if (threadId > 0 && !libc.isThreadAlive(threadId)) takeOver(backend, id, threadId);
}

function reapHandle(backend: Backend, handle: AioHandle): void {
  const { words, base } = handle;
  const stateAt = base + HANDLE.state;
  switch (Atomics.load(words, stateAt)) {
    case IDLE:
      // Its last owner may have died while it cleared the fields.
      resetFields(words, base);
      return;
    case HANDED_OUT:
      break;
    case DEFINED:
      updateState(words, stateAt, STAGED);
      updateState(words, stateAt, SUBMITTED, true);
      doAgain(backend, handle);
      break;
    case STAGED:
      updateState(words, stateAt, SUBMITTED, true);
      doAgain(backend, handle);
      break;
    case SUBMITTED:
      doAgain(backend, handle);
      break;
    case COMPLETED_IO:
      publishResult(backend.callbacks, handle, 0, true);
      updateState(words, stateAt, COMPLETED_LOCAL);
      break;
    case COMPLETED_SHARED:
      updateState(words, stateAt, COMPLETED_LOCAL);
      break;
    case COMPLETED_LOCAL:
      break;
  }
  backend.doorbells.ringAll(makeIdle(words, base));
}

function doAgain(backend: Backend, handle: AioHandle): void {
  const { words, base } = handle;
  if ((words[base + HANDLE.flags]! & FLAG_BITS.referencesLocal) === 0) {
    backend.performSynchronously(handle);
  } else {
    backend.processCompletion(handle, -ECANCELED);
  }
  updateState(words, base + HANDLE.state, COMPLETED_LOCAL);
}
