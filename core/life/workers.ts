/**
 * workers.ts: the threads that a method has of its own, as users see and set them.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { WorkerRow } from "../io/method.ts";
import type { WorkerPoolOptions } from "../base/options.ts";

/** See `AioCore.workers`. */
export function listWorkers(backend: Backend): WorkerRow[] {
  return backend.method.listWorkers?.(backend) ?? [];
}

/** See `AioCore.setWorkers`. */
export function setWorkers(
  backend: Backend,
  change: WorkerPoolOptions,
): Readonly<Required<WorkerPoolOptions>> {
  backend.checkUsable("setWorkers");
  const { method } = backend;
  if (method.configureWorkers !== undefined) return method.configureWorkers(backend, change);
  throw new Deno.errors.NotSupported(
    `Cannot set workers with the method "${method.name}": only "linux_aio" and "worker" have any`,
  );
}
