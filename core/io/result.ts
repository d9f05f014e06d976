/**
 * result.ts: the outcome of an IO, as a value.
 *
 * Callbacks distil what the system said into an {@linkcode AioResult}: a status, a number, and the
 * callback that said so. Nobody throws for it until the issuer hands it to
 * {@linkcode reportResult}, which asks the callback that set it for words.
 *
 * @module
 */

import { atCaller } from "../base/caller.ts";
import { AioApiError, shown } from "../base/errors.ts";

/** How an IO ended; `"unknown"` until it has. */
export type ResultStatus = "unknown" | "ok" | "partial" | "warning" | "error";

/** The statuses by number, as they are in shared memory. */
export const STATUS_NAMES: readonly ResultStatus[] = [
  "unknown",
  "ok",
  "partial",
  "warning",
  "error",
];

/** Where a callback is called from. */
export type CallbackPhase = "stage" | "completeShared" | "completeLocal";

/** The phases by number. */
export const PHASE_NAMES: readonly CallbackPhase[] = ["stage", "completeShared", "completeLocal"];

/** Where tests can step in: see injection.ts. */
export type InjectionPoint =
  | "aio-after-staging"
  | "aio-process-completion-before-shared"
  | "aio-before-reclaim";

/** These places, in the order of the phases they stand beside. */
export const INJECTION_POINTS: readonly InjectionPoint[] = [
  "aio-after-staging",
  "aio-process-completion-before-shared",
  "aio-before-reclaim",
];

/**
 * `errorData` has 23 bits, and the last three values stand for a callback that threw in one of the
 * three phases: this is the first of them. A callback may not use them itself.
 */
export const ERROR_DATA_THROWN = (1 << 23) - PHASE_NAMES.length;

/** The largest `errorData` that a callback may set. */
export const ERROR_DATA_MAX = ERROR_DATA_THROWN - 1;

/** What `reportResult` does: throw, or tell the warning hook, or tell the log hook. */
export type ReportLevel = "error" | "warning" | "log";

/** Bytes of target data, in words. */
export const TARGET_DATA_WORDS = 6;

/** Puts a result into words: the Aio it came from. */
export interface ResultReporter {
  /** The error that a result stands for. */
  errorOf(result: AioResult, targetData: Int32Array): Error;
  /** Takes a message below the level of an error. */
  tell(level: "warning" | "log", message: string): void;
}

/** Says, for a result that goes to an issuer, which Aio it comes from. */
export let bindReporter: (result: AioResult, reporter: ResultReporter) => void;
/** Which Aio a result comes from; null for one that was never given to `acquire()`. */
let reporterIn: (result: AioResult) => ResultReporter | null;

/** The outcome of an IO. */
export class AioResult {
  #reporter: ResultReporter | null = null;
  /** The callback that set the status, whose `report` can put it into words; 0: none did. */
  callbackId = 0;
  /** How it ended. */
  status: ResultStatus = "unknown";
  /** What the callback wants to remember of it, 0..8388604: for files the error number. */
  errorData = 0;
  /** What the last callback made of it: for files the bytes transferred. */
  result = 0;
  /**
   * What kind of thing the IO was about, as the id of its target; 0 until the issuer has the
   * outcome. It stays with the result, so that the target can describe itself whenever the result
   * is reported.
   */
  targetId = 0;
  /**
   * What the IO did, as the number of its operation: for whoever reports it. 0 until the issuer has
   * the outcome, and for an IO that went well.
   */
  operationId = 0;

  /** Makes this one equal to another one. */
  assign(other: AioResult): void {
    this.callbackId = other.callbackId;
    this.status = other.status;
    this.errorData = other.errorData;
    this.result = other.result;
    this.targetId = other.targetId;
    this.operationId = other.operationId;
  }

  static {
    bindReporter = (result, reporter) => {
      if (result.#reporter !== reporter) result.#reporter = reporter;
    };
    reporterIn = (result) => result.#reporter;
  }
}

/**
 * Where an issuer gets the outcome of its IO. Given to `acquire()`; filled when the issuer's own
 * thread notices the completion, so that it must live until then.
 */
export class AioReturn {
  /**
   * The outcome, with what the local callbacks made of it; status `"unknown"` until it is known.
   */
  readonly result: AioResult = new AioResult();
  /** What the IO was about, for `reportResult`. */
  readonly targetData: Int32Array = new Int32Array(TARGET_DATA_WORDS);

  /** The id of the target that `targetData` belongs to; 0 until the outcome is known. */
  get targetId(): number {
    return this.result.targetId;
  }
}

/**
 * Raises, or tells, an outcome that is not ok.
 *
 * @param result of an {@linkcode AioReturn} that was given to `acquire()`
 * @param targetData from the same place
 * @param level `"error"` throws; `"warning"` and `"log"` tell `onWarning` and `onLog`
 * @throws {AioApiError} if the IO is not done, went well, or the result is a copy that lost its Aio
 * @throws {Error} at level `"error"`: the error the callback describes
 */
export function reportResult(result: AioResult, targetData: Int32Array, level: ReportLevel): void {
  try {
    raise(result, targetData, level);
  } catch (error) {
    throw atCaller(error, reportResult);
  }
}

function raise(result: AioResult, targetData: Int32Array, level: ReportLevel): void {
  if (!(result instanceof AioResult)) {
    throw new TypeError(`Cannot report ${shown(result)}: pass the result of an AioReturn`);
  }
  if (level !== "error" && level !== "warning" && level !== "log") {
    throw new TypeError(`Cannot report at level ${shown(level)}: known are error, warning, log`);
  }
  const reporter = reporterIn(result);
  if (reporter === null) {
    throw new AioApiError(
      "Cannot report a result that did not come from an IO: pass the result of the AioReturn given to acquire()",
    );
  }
  if (result.status === "unknown" || result.status === "ok") {
    throw new AioApiError(
      `Cannot report a result of status "${result.status}": there is nothing to say`,
    );
  }
  const error = reporter.errorOf(result, targetData);
  if (level === "error") throw error;
  reporter.tell(level, error.message);
}
