/**
 * drain.ts: how the opener's `close()` waits for what other threads have in flight.
 *
 * @module
 */

import type { Backend } from "./backend.ts";
import { COMPLETED_IO, STAGED } from "./handle_state.ts";
import { BACKEND, HANDLE, HEADER } from "./shared_memory.ts";

const LOOK_AGAIN_MS = 1;

/** Resolves when no living thread but this one has IO staged or in flight; none can start any more. */
export async function drainOthers(backend: Backend): Promise<void> {
  const count = backend.control.words[HEADER.maxBackends]!;
  for (let id = 0; id < count; id++) {
    while (id !== backend.id && isAlive(backend, id) && hasInFlight(backend, id)) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }
}

function isAlive({ control, libc }: Backend, id: number): boolean {
  const threadId = Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
  return threadId !== 0 && libc.isThreadAlive(threadId);
}

function hasInFlight({ control }: Backend, id: number): boolean {
  const first = id * control.handlesPerBackend;
  for (let index = first; index < first + control.handlesPerBackend; index++) {
    const state = Atomics.load(control.words, control.handleAt(index) + HANDLE.state);
    if (state >= STAGED && state <= COMPLETED_IO) return true;
  }
  return false;
}
