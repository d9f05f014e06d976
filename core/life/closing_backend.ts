/**
 * closing_backend.ts: the end of an Aio in one thread: everything is given back, whatever fails on
 * the way, and then all errors are thrown.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { leaveCallWorkers } from "../base/call_workers.ts";
import { drainOthers } from "./drain.ts";
import { leave } from "./open_aio.ts";
import type { Patience } from "../base/patience.ts";
import { reapersOf } from "./reapers.ts";

/** What failed on the way to an end. */
export class Failures {
  readonly #errors: unknown[] = [];

  /** Takes a step, and keeps what it throws. */
  async attempt(step: () => unknown): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#errors.push(error);
    }
  }

  /** @throws the only error as it is; several as an `AggregateError` */
  throwIfAny(what: string): void {
    if (this.#errors.length === 0) return;
    if (this.#errors.length === 1) throw this.#errors[0];
    throw new AggregateError(this.#errors, `${what} with ${this.#errors.length} errors`);
  }
}

/** What is closed after the last IO of an Aio, and before its memory goes. */
export type CloseFiles = (failures: Failures, patience: Patience) => Promise<void>;

/** PostgreSQL's warning of a batch that nobody has left. */
export const OPEN_BATCH = "open AIO batch at end of (sub-)transaction";

/**
 * Ends a backend: refuses new IO, waits for what is in flight, closes files, gives everything back.
 *
 * @param wasInBatch whether a batch was left open, to be warned of
 * @param closeFiles called with nothing in flight
 * @param patience of whoever waits for it
 * @throws all that failed, when everything is given back
 */
export async function closeBackend(
  backend: Backend,
  wasInBatch: boolean,
  closeFiles: CloseFiles,
  patience: Patience,
): Promise<void> {
  backend.beginClose();
  // Now that the hook can start nothing any more.
  if (wasInBatch) backend.warn(OPEN_BATCH);
  backend.acquireQueue.refuseAll(
    new Deno.errors.BadResource("Cannot acquire a handle: aio is closed"),
  );
  const { pump } = backend;
  const hold = { ref: () => pump.forsake("all", false), unref: () => pump.forsake("all", true) };
  await patience.holding(hold, giveEverythingBack(backend, closeFiles, patience));
}

async function giveEverythingBack(
  backend: Backend,
  closeFiles: CloseFiles,
  patience: Patience,
): Promise<void> {
  const { waiting } = backend;
  const failures = new Failures();
  for (let ref = backend.oldestInFlight(); ref !== null; ref = backend.oldestInFlight()) {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (waiting.whenDone(ref, { completed: resolve })) resolve();
    await promise;
  }
  if (backend.isOpener) await failures.attempt(() => drainOthers(backend, patience));
  await failures.attempt(() => closeFiles(failures, patience));
  await failures.attempt(() => reapersOf(backend).end(patience));
  backend.wordWaits.end();
  await failures.attempt(() => backend.pump.settled());
  await failures.attempt(() => backend.turn.settled());
  await failures.attempt(() => backend.doorbells.close());
  await failures.attempt(() => backend.method.shutdownBackend?.(backend));
  await failures.attempt(() => leaveCallWorkers(backend.libc));
  await failures.attempt(() => leave(backend));
  failures.throwIfAny("Closed aio");
}
