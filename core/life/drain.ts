/**
 * drain.ts: how the opener's `close()` waits for what other threads have in flight.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { COMPLETED_IO, STAGED } from "../memory/handle_state.ts";
import type { Patience } from "../base/patience.ts";
import { LOOK_AGAIN_MS } from "../base/pauses.ts";
import { BACKEND, HANDLE } from "../memory/shared_memory.ts";
import { reapersOf } from "./reapers.ts";

/**
 * Resolves when no other thread has IO staged or in flight; none can start any more. Threads that
 * have died are reaped: nobody else may do it later.
 */
export async function drainOthers(backend: Backend, patience: Patience): Promise<void> {
  const count = backend.options.maxBackends;
  backend.reapDead("eventLoop");
  for (let id = 0; id < count; id++) {
    while (id !== backend.id && isBusy(backend, id)) {
      await patience.pause(LOOK_AGAIN_MS);
      backend.reapDead("eventLoop");
    }
  }
  await reapersOf(backend).settled(patience);
}

/** A slot that is being reaped counts as busy until it is free. */
function isBusy({ control }: Backend, id: number): boolean {
  const threadId = Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
  if (threadId <= 0) return threadId < 0;
  const first = id * control.handlesPerBackend;
  for (let index = first; index < first + control.handlesPerBackend; index++) {
    const state = Atomics.load(control.words, control.handleAt(index) + HANDLE.state);
    if (state >= STAGED && state <= COMPLETED_IO) return true;
  }
  return false;
}
