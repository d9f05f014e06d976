/**
 * user_memory.ts: what `aio.alloc()` hands out and `aio.free()` takes back.
 *
 * @module
 */

import { type Backend, calling, shown } from "../core/inside.ts";
import { noSpace } from "./file/bounce.ts";
import type { Transfers } from "./file/transfer.ts";

/** Memory of the arena that ends with its block. */
export type UserView = Uint8Array<SharedArrayBuffer> & Disposable;

/** See `Aio.alloc`. */
export function allocView(
  aio: { readonly isClosed: boolean },
  backend: Backend,
  transfers: Transfers,
  bytes: number,
): UserView {
  backend.checkUsable("alloc");
  const { arena } = backend;
  if (!Number.isSafeInteger(bytes) || bytes < 1 || bytes > arena.bytes) {
    throw new RangeError(
      `Cannot allocate ${
        shown(bytes)
      } bytes: an integer from 1 to ${arena.bytes}, the option "arenaBytes"`,
    );
  }
  const view = arena.tryTake(bytes, "user");
  if (view === null) throw noSpace(arena, bytes);
  const dispose = () => {
    if (aio.isClosed || arena.isFreed(view)) return;
    calling(dispose, () => freeView(backend, transfers, view));
  };
  // Not a subclass, which would be another type to whatever compares or clones views.
  return Object.defineProperty(view, Symbol.dispose, { value: dispose }) as UserView;
}

/** See `Aio.free`. */
export function freeView(backend: Backend, transfers: Transfers, view: Uint8Array): void {
  backend.checkUsable("free");
  if (view instanceof Uint8Array && transfers.isUsing(view)) {
    throw new Deno.errors.Busy(
      `Cannot free the view at byte ${view.byteOffset} of the arena while an IO uses it: ` +
        "wait for the IO first",
    );
  }
  backend.arena.free(view);
  transfers.space.serve();
}
