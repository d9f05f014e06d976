/**
 * backend_of.ts: the backend of an Aio, for those inside the house. An Aio does not show it to its
 * users; `core/inside.ts` hands {@linkcode backendOf} to storage, and tests take it from there.
 *
 * It costs a look into a table. So whatever is on the path of an IO asks once and keeps the answer.
 *
 * @module
 */

import { shown } from "../base/errors.ts";
import type { Backend } from "./backend.ts";

const BACKENDS = new WeakMap<object, Backend>();

/** Says which backend an Aio stands for. Its constructor does that, once. */
export function setBackendOf(aio: object, backend: Backend): void {
  BACKENDS.set(aio, backend);
}

/**
 * The backend of an Aio.
 *
 * @throws {TypeError} for anything else
 */
export function backendOf(aio: object): Backend {
  const backend = BACKENDS.get(aio);
  if (backend !== undefined) return backend;
  throw new TypeError(`Cannot take ${shown(aio)} for an Aio: it comes from Aio.open() or attach()`);
}
