/**
 * fuzz_callbacks.ts: the callbacks of the random tests, for the option `callbackModules`. `mark`
 * leaves its data byte behind in the result, so that the result says which callbacks ran in which
 * order, in whatever thread; what runs in the issuer is in `trace`, too. The others throw.
 *
 * @module
 */

import {
  type AioCallbacks,
  type CallbackHandle,
  defineCallbacks,
} from "../../../core/io/callback.ts";
import type { AioResult, CallbackPhase } from "../../../core/io/result.ts";
import { defineTarget } from "../../../core/io/target.ts";

/** The option `callbackModules` of the random tests. */
export const FUZZ_MODULES: readonly URL[] = [new URL(import.meta.url)];

/** Data bytes are digits from 1 up to this. Four callbacks in two phases fit into `errorData`. */
export const MARK_MAX = 6;

/** A callback that ran in this thread. */
export interface Traced {
  /** The number that the issuer left in the handle. */
  readonly io: number;
  readonly phase: CallbackPhase;
  readonly data: number;
}

/** What ran in this thread, in order. */
export const trace: Traced[] = [];

/** What a callback in this thread tries to do beside its work; null: nothing. */
export const reentry: { attempt: (() => void) | null } = { attempt: null };

/** What `mark` makes of the error data before it. */
export function marked(errorData: number, data: number): number {
  return errorData * (MARK_MAX + 1) + data;
}

function note(handle: CallbackHandle, phase: CallbackPhase, data: number): void {
  trace.push({ io: handle.handleData()[0] ?? -1, phase, data });
  reentry.attempt?.();
}

function markResult(prior: AioResult, data: number): AioResult {
  if (prior.status !== "error") prior.errorData = marked(prior.errorData, data);
  return prior;
}

/** A callback that throws in one phase and hands on what it is given in the others. */
function thrower(phase: CallbackPhase): AioCallbacks {
  return defineCallbacks({
    stage(handle, data) {
      note(handle, "stage", data);
      if (phase === "stage") throw new Error("as planned");
    },
    completeShared(_handle, prior) {
      if (phase === "completeShared") throw new Error("as planned");
      return prior;
    },
    completeLocal(handle, prior, data) {
      note(handle, "completeLocal", data);
      if (phase === "completeLocal") throw new Error("as planned");
      return prior;
    },
  });
}

/** The callbacks by name. */
export const callbacks: Readonly<Record<string, AioCallbacks>> = {
  mark: defineCallbacks({
    stage: (handle, data) => note(handle, "stage", data),
    completeShared: (_handle, prior, data) => markResult(prior, data),
    completeLocal(handle, prior, data) {
      note(handle, "completeLocal", data);
      return markResult(prior, data);
    },
    report: () => "marked",
  }),
  throwInStage: thrower("stage"),
  throwInShared: thrower("completeShared"),
  throwInLocal: thrower("completeLocal"),
};

/** The targets by name. */
export const targets = { number: defineTarget({ describeIdentity: ([data]) => `number ${data}` }) };
