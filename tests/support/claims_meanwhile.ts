/**
 * claims_meanwhile.ts: what becomes of another thread that waits for an IO, just before its issuer
 * completes that: the thread executes the IO if it can claim it.
 *
 * @module
 */

import { backendOf } from "../../core/inside.ts";
import { tryClaimSubmitted } from "../../core/memory/claim.ts";
import { replace } from "./bells/bells.ts";
import type { Fixture } from "./core.ts";

/** A slot that no thread has. */
const OTHER = 1;

/** The tries of the other thread: whether each could claim the IO. */
export interface ClaimTries extends Disposable {
  readonly claimed: boolean[];
}

/** Has another thread try to claim each IO that this one completes, until the end of the scope. */
export function claimsMeanwhile({ aio }: Fixture): ClaimTries {
  const backend = backendOf(aio);
  const claimed: boolean[] = [];
  const complete = backend.complete.bind(backend);
  const replaced = replace(backend, "complete", (handle, result, thrower) => {
    claimed.push(tryClaimSubmitted(handle.words, handle.base, OTHER));
    complete(handle, result, thrower);
  });
  return { claimed, [Symbol.dispose]: () => replaced[Symbol.dispose]() };
}
