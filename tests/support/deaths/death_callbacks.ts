/**
 * death_callbacks.ts: a module of callbacks with one, `mortal`, that ends its thread in the middle
 * of an IO, once it was armed there. In all other threads it changes nothing.
 *
 * @module
 */

import { type CallbackHandle, defineCallbacks } from "../../../core/io/callback.ts";

/** Where in the life of an IO the thread ends; "own" and "foreign": in its shared callback. */
export type DeadlyStep = "stage" | "own" | "foreign" | "local";

interface Arms {
  readonly step: DeadlyStep;
  readonly backendId: number;
  die(): void;
}

let arms: Arms | null = null;

/** From now on the first IO that comes to that step ends this thread by `die`. */
export function arm(step: DeadlyStep, backendId: number, die: () => void): void {
  arms = { step, backendId, die };
}

function pass(handle: CallbackHandle, step: "stage" | "shared" | "local"): void {
  if (arms === null) return;
  const isOwn = handle.backendId === arms.backendId;
  const deadly = step !== "shared" ? step : isOwn ? "own" : "foreign";
  if (deadly === arms.step) arms.die();
}

export const callbacks = {
  mortal: defineCallbacks({
    stage: (handle) => pass(handle, "stage"),
    completeShared(handle, prior) {
      pass(handle, "shared");
      return prior;
    },
    completeLocal(handle, prior) {
      pass(handle, "local");
      return prior;
    },
  }),
};
