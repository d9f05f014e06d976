/**
 * closing_fd.ts: what must be over before a descriptor is closed, in all backends.
 *
 * Threads share descriptors: an IO that is still on its way when a number is closed and used again
 * reads another file. So the descriptor is marked as being closed, whereupon no thread can start on
 * it, and then every IO on that number is waited for, in every thread and under every method: with
 * `sync` another thread may be about to make its system call.
 *
 * There are two marks. The one in the table of open files stays until another file takes the slot.
 * The other one (closing_mark.ts) is for any descriptor, and as long as the call: afterwards the
 * number may be another file's.
 *
 * An issuer writes the descriptor into its handle and then looks at the marks; the closer sets the
 * marks and then looks at the handles. Without a barrier on the path of an IO the closer may see
 * the issuer's stores late, until its store buffer drains. The closer sleeps 1 ms to cover that;
 * closing is rare enough to afford it. A cached read that is no IO has a word in place of a handle.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { markedClosing } from "../files/closing_mark.ts";
import { isCopied } from "../files/copying_mark.ts";
import { shown } from "../base/errors.ts";
import type { AioHandle } from "../io/handle.ts";
import { COMPLETED_IO, HANDED_OUT, STAGED, SUBMITTED } from "../memory/handle_state.ts";
import { OP_INVALID } from "../io/operation_table.ts";
import { LOOK_AGAIN_MS, LOOKS_UNTIL_CHECK } from "../base/pauses.ts";
import { HANDLE } from "../memory/shared_memory.ts";
import { sleepMs } from "../base/sleep.ts";

/** A store buffer drains in less than a microsecond; this is the shortest sleep. */
const DRAIN_STORES_MS = 1;

/** Marks a descriptor, and its file if it is one of the table, and waits for all IO on it. */
export function closingFd(backend: Backend, fd: number): void {
  checkFd(fd);
  markedClosing(backend.control, backend.id, fd, () => {
    const slots = backend.files.markClosing(fd);
    if (backend.hasOthers) sleepMs(DRAIN_STORES_MS);
    finish(backend, fd, slots);
  });
}

/**
 * The same for a file whose last user is gone, so that no thread is about to start on it: submits
 * what is staged, waits for what is in flight, and has the method let go of it.
 *
 * @param slots where it is in the table of open files
 */
export function finishOn(backend: Backend, fd: number, slots: readonly number[]): void {
  markedClosing(backend.control, backend.id, fd, () => finish(backend, fd, slots));
}

function checkFd(fd: number): void {
  if (Number.isInteger(fd) && fd >= 0 && fd < 0x7fff_ffff) return;
  throw new RangeError(`Cannot close descriptor ${shown(fd)}: descriptors are integers from 0`);
}

function finish(backend: Backend, fd: number, slots: readonly number[]): void {
  backend.log?.say("debug3", `closing descriptor ${fd}`);
  waitForAllOn(backend, fd);
  for (const slot of slots) backend.method.forgetFile?.(backend, slot);
}

function waitForAllOn(backend: Backend, fd: number): void {
  backend.staging.submit();
  for (let looks = 0;; looks++) {
    const handle = firstOn(backend, fd);
    if (handle !== null) {
      backend.log?.io("debug2", handle, `waits for it before descriptor ${fd} is closed`);
      waitALittle(backend, handle);
    } else if (isCopied(backend.control, fd)) {
      backend.log?.say("debug2", `waits for a cached read before descriptor ${fd} is closed`);
      sleepMs(LOOK_AGAIN_MS);
    } else {
      // Other threads may have completed them, and not told yet: whoever closes a file finds what
      // came of its IO.
      backend.reclaimCompleted();
      return;
    }
    if (looks % LOOKS_UNTIL_CHECK === LOOKS_UNTIL_CHECK - 1) backend.reapDead();
  }
}

/** The first IO of any backend that the descriptor must outlive. */
export function firstOn(backend: Backend, fd: number): AioHandle | null {
  const { control, method } = backend;
  const last = method.waitOnFdBeforeClose ? COMPLETED_IO : STAGED;
  for (let index = 0; index < control.handleCount; index++) {
    if (isOn(control.words, control.handleAt(index), fd, last)) return backend.handleOf(index);
  }
  return null;
}

/** From the moment the operation is set, when its issuer has not looked at the mark yet. */
function isOn(words: Int32Array, base: number, fd: number, last: number): boolean {
  const state = Atomics.load(words, base + HANDLE.state);
  return state >= HANDED_OUT && state <= last &&
    Atomics.load(words, base + HANDLE.operation) !== OP_INVALID &&
    Atomics.load(words, base + HANDLE.fd) === fd;
}

/** An issuer that is refused stays handed out without an operation, so one state is waited for. */
function waitALittle(backend: Backend, handle: AioHandle): void {
  const { words, base } = handle;
  const { waiting } = backend;
  const generation = waiting.generationOf(base);
  if (Atomics.load(words, base + HANDLE.state) === SUBMITTED) {
    waiting.waitFor(handle, generation);
  } else if (handle.backendId === backend.id) {
    // Completed by another thread just now, or the caller's own handle, that it is about to start.
    backend.collect();
  } else {
    sleepMs(LOOK_AGAIN_MS);
  }
}
