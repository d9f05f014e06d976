/**
 * injection.ts: places in an IO's life where a test can step in, by name, in one thread.
 *
 * ```text
 * aio-after-staging                     in the issuer, before it is submitted
 * aio-process-completion-before-shared  in whichever thread completes, the raw result is there
 * aio-before-reclaim                    in the issuer, before its local callbacks
 * ```
 *
 * A hook may block the thread, replace the raw result, or throw, which turns the IO into an error
 * as a callback that throws does. With none attached each place costs a look at a zero.
 *
 * @module
 */

import {
  type CallbackHandle,
  type CallbackTable,
  INJECTION_RUNNING,
  setThrown,
} from "./callback.ts";
import { shown } from "../base/errors.ts";
import { isThenable, swallowRejection } from "../base/promise.ts";
import {
  type AioResult,
  type CallbackPhase,
  INJECTION_POINTS,
  type InjectionPoint,
  PHASE_NAMES,
} from "./result.ts";

/**
 * Called at an injection point.
 *
 * @param handle the IO
 * @param rawResult bytes or -errno; 0 where it is not known yet
 * @returns at `aio-process-completion-before-shared` a raw result to go on with instead
 */
export type InjectionHook = (handle: CallbackHandle, rawResult: number) => number | void;

/** What is attached in one thread. */
export class InjectionPoints {
  readonly #callbacks: CallbackTable;
  readonly #hooks = new Map<InjectionPoint, InjectionHook>();
  /** How many hooks are attached: a plain field, looked at for every IO. */
  count = 0;
  /** Whether one is attached where IO is completed. */
  hasCompletionHook = false;

  /**
   * @param callbacks reports hooks that throw
   */
  constructor(callbacks: CallbackTable) {
    this.#callbacks = callbacks;
  }

  /** Attaches a hook, in place of the one there. */
  attach(point: InjectionPoint, hook: InjectionHook): void {
    checkPoint("attach", point);
    if (typeof hook !== "function") {
      throw new TypeError(
        `Cannot attach ${shown(hook)} to injection point "${point}": no function`,
      );
    }
    this.#hooks.set(point, hook);
    this.#noticeChange();
  }

  #noticeChange(): void {
    this.count = this.#hooks.size;
    this.hasCompletionHook = this.#hooks.has("aio-process-completion-before-shared");
  }

  /** Takes a hook away. @returns whether there was one */
  detach(point: InjectionPoint): boolean {
    checkPoint("detach", point);
    const wasThere = this.#hooks.delete(point);
    this.#noticeChange();
    return wasThere;
  }

  /**
   * Runs the hook of a place, if there is one.
   *
   * @returns the raw result to go on with; null if the hook threw, which is reported
   */
  run(point: InjectionPoint, handle: CallbackHandle, rawResult: number): number | null {
    const hook = this.#hooks.get(point);
    if (hook === undefined) return rawResult;
    const callbacks = this.#callbacks;
    callbacks.runningId = INJECTION_RUNNING;
    try {
      return checkReplaced(hook(handle, rawResult) ?? rawResult);
    } catch (cause) {
      callbacks.tellThrown(handle, 0, phaseOf(point), cause);
      return null;
    } finally {
      callbacks.runningId = 0;
    }
  }

  /** As {@linkcode run}, where a throwing hook changes a result. */
  runOn(point: InjectionPoint, handle: CallbackHandle, result: AioResult): void {
    if (this.run(point, handle, result.result) !== null) return;
    setThrown(result, 0, phaseOf(point));
  }
}

function phaseOf(point: InjectionPoint): CallbackPhase {
  return PHASE_NAMES[INJECTION_POINTS.indexOf(point)]!;
}

function checkReplaced(result: number): number {
  if (result === (result | 0)) return result;
  if (isThenable(result)) swallowRejection(result);
  throw new RangeError(`an injected result must be a 32-bit integer: got ${shown(result)}`);
}

function checkPoint(call: string, point: InjectionPoint): void {
  if (INJECTION_POINTS.includes(point)) return;
  throw new RangeError(
    `Cannot ${call} injection point ${shown(point)}: known are ${INJECTION_POINTS.join(", ")}`,
  );
}
