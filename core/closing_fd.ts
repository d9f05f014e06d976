/**
 * closing_fd.ts: what must be over before a descriptor is closed, in all backends.
 *
 * Threads share descriptors: an IO that is still on its way when a number is closed and used again
 * reads another file. So the file is marked as closing, whereupon no thread can start on it, and then
 * every IO on that number is waited for, where the method does not hold the file by itself.
 *
 * An issuer writes the descriptor into its handle and then looks at the mark; who closes sets the
 * mark and then looks at the handles. Without a barrier on the path of an IO, the first two can be
 * seen the wrong way round for as long as a store is on its way out of a processor: that is slept
 * through, as nobody closes files by the thousand a second while others start IO on them.
 *
 * @module
 */

import type { Backend } from "./backend.ts";
import type { AioHandle } from "./handle.ts";
import { COMPLETED_IO, HANDED_OUT, SUBMITTED } from "./handle_state.ts";
import { OP_INVALID } from "./operation.ts";
import { HANDLE } from "./shared_memory.ts";
import { sleepMs } from "./sleep.ts";

const SLICE_MS = 1;
/** After so many slices the other threads are asked whether they still live. */
const PATIENCE_SLICES = 100;

/** Marks the file of a descriptor, submits what is staged, and waits for all IO on it. */
export function closingFd(backend: Backend, fd: number): void {
  const slots = backend.files.markClosing(fd);
  if (backend.method.waitOnFdBeforeClose && backend.hasOthers) sleepMs(SLICE_MS);
  finishOn(backend, fd, slots);
}

/**
 * The rest of it, for a file whose last user is gone, so that nobody is about to start on it: submits
 * what is staged, waits for what is in flight, and has the method let go of it.
 *
 * @param slots where it is in the table of open files
 */
export function finishOn(backend: Backend, fd: number, slots: readonly number[]): void {
  waitForAllOn(backend, fd);
  for (const slot of slots) backend.method.forgetFile?.(backend, slot);
}

function waitForAllOn(backend: Backend, fd: number): void {
  const { method, staging, log } = backend;
  staging.submit();
  if (!method.waitOnFdBeforeClose) return;
  for (let slices = 0;; slices++) {
    const handle = firstOn(backend, fd);
    if (handle === null) {
      // Other threads may have completed them: whoever closes a file finds what came of its IO.
      backend.collect();
      return;
    }
    log?.io("debug2", handle, `waits for it before descriptor ${fd} is closed`);
    waitALittle(backend, handle);
    if (slices % PATIENCE_SLICES === PATIENCE_SLICES - 1) backend.reapDead();
  }
}

/** The first IO of any backend that the descriptor must outlive. */
function firstOn(backend: Backend, fd: number): AioHandle | null {
  const { control } = backend;
  for (let index = 0; index < control.handleCount; index++) {
    if (isOn(control.words, control.handleAt(index), fd)) return backend.handleOf(index);
  }
  return null;
}

/** From the moment the operation is set, when its issuer has not looked at the mark yet. */
function isOn(words: Int32Array, base: number, fd: number): boolean {
  const state = Atomics.load(words, base + HANDLE.state);
  return state >= HANDED_OUT && state <= COMPLETED_IO &&
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
    sleepMs(SLICE_MS);
  }
}
