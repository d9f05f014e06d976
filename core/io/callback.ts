/**
 * callback.ts: what happens at the steps of an IO's life, and the table of it.
 *
 * Functions cannot be in shared memory, and the thread that completes an IO need not be the one
 * that started it. So callbacks are known by small numbers, every attached thread has the same
 * table, and a handle keeps up to four numbers with a byte of data each. All chains run the last
 * registered first: the layer nearest to the file sees the result first and hands on what it made
 * of it.
 *
 * A callback may not wait, start IO, or return a promise. One that throws turns its IO into an
 * error; the IO is completed all the same.
 *
 * @module
 */

import { AioCallbackError, AioReportError, shown } from "../base/errors.ts";
import type { HandleState } from "../memory/handle_state.ts";
import { NameTable } from "../base/name_table.ts";
import type { OperationName } from "./operation_table.ts";
import { isThenable, refusePromise, swallowRejection } from "../base/promise.ts";
import * as results from "./result.ts";
import {
  AioResult,
  type AioReturn,
  type CallbackPhase,
  ERROR_DATA_MAX,
  ERROR_DATA_THROWN,
  INJECTION_POINTS,
  PHASE_NAMES,
  type ResultStatus,
} from "./result.ts";
import * as layout from "../memory/shared_memory.ts";
import type { Control } from "../memory/shared_memory.ts";
import type { TargetIdentity } from "./target.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { STATUS_NAMES } = results;
const { HANDLE } = layout;

/** With what an IO does what it does. */
export interface OperationData {
  /** The file. */
  readonly fd: number;
  /** Where in the file, in bytes; 0 for an operation that is about no range. */
  readonly offset: number;
  /** How many bytes it is about: of all buffers, or of the range that it was given. */
  readonly length: number;
  /** The flags of its system call; 0 for an operation that takes none. */
  readonly flags: number;
  /** In how many buffers. */
  readonly iovecLength: number;
}

/** What a callback sees of its IO's handle. */
export interface CallbackHandle {
  /** The number of the handle. */
  readonly id: number;
  /** The backend that started the IO. */
  readonly backendId: number;
  /** Where it is in its life. */
  readonly state: HandleState;
  /** What it does. */
  readonly operation: OperationName;
  /** With what. */
  readonly operationData: OperationData;
  /** Bytes of all buffers, without making an object for it. */
  readonly length: number;
  /** What it is about. */
  readonly targetName: string;
  /** Whether that stands for an open file, so that its words are those of the target `file`. */
  readonly isOnFile: boolean;
  /** The six words of that. */
  readonly targetData: Int32Array;
  /** The numbers the issuer left for its callbacks. */
  handleData(): number[];
  /** The memory that was read into or written from, one view a buffer. */
  buffers(): Uint8Array[];
  /** What it is about, in words. */
  describeTarget(): string;
}

/** The callbacks of one layer; at least one of the two completions must be there. */
export interface AioCallbacks {
  /** Called in the issuer when the operation is known, before it is submitted. */
  stage?(handle: CallbackHandle, data: number): void;
  /**
   * Called in whichever thread completes the IO.
   *
   * @param handle the IO
   * @param prior what the callback before made of it; it may be changed and returned
   * @param data the byte that was registered with the callback
   * @returns what this callback makes of it; a new status is signed with this callback's id
   */
  completeShared?(handle: CallbackHandle, prior: AioResult, data: number): AioResult;
  /**
   * Called in the issuer when it notices the completion; its result goes to the return slot only.
   */
  completeLocal?(handle: CallbackHandle, prior: AioResult, data: number): AioResult;
  /**
   * Says what a result that this callback set means; called by `reportResult`.
   *
   * @param result the outcome
   * @param targetData the six words of the IO's target
   * @param target which target that is, and its description of what the IO was about
   */
  report?(result: AioResult, targetData: Int32Array, target: TargetIdentity): string | Error;
}

/** Gives callbacks their type, for modules of callbacks. */
export function defineCallbacks(callbacks: AioCallbacks): AioCallbacks {
  return callbacks;
}

/** Most callbacks of one IO. */
export const CALLBACKS_MAX = 4;
/** Most callbacks in the table: an id has six bits. */
export const CALLBACK_ID_MAX = 63;

/** In place of a callback's id while a hook at an injection point runs. */
export const INJECTION_RUNNING = -1;
/** The same while the log hook runs. */
export const LOG_RUNNING = -2;
/** The same while a layer is called for a thread that died or a file that closes. */
export const LAYER_RUNNING = -3;

/** Told when a callback is about to be called: for the log. */
export type TraceHook = (handle: CallbackHandle, name: string, phase: CallbackPhase) => void;

/** Told when a callback threw. */
export type ThrownHook = (error: AioCallbackError, cause: unknown) => void;

/** Callbacks by id; 0 is none. Runs them, and keeps their mistakes away from the core. */
export class CallbackTable extends NameTable {
  readonly #callbacks: AioCallbacks[] = [{}];
  readonly #onThrown: ThrownHook;
  /** Up to this id they are this module's own. */
  #trusted = 0;
  /** Whether any callback has a `stage`: most programs have none, and then no IO looks for it. */
  hasStage = false;
  /** Whether any callback has a `completeLocal`. */
  hasLocal = false;
  /**
   * Called in the issuer for an IO that has done less than all, while its handle still says so to
   * other threads. It may take locks, and start nothing.
   */
  unfinished: (ret: AioReturn) => void = () => {};
  /**
   * Reused for each IO: completions of one backend do not nest, as callbacks may complete nothing.
   */
  readonly sharedResult: AioResult = new AioResult();
  /** The same for local callbacks without a return slot. */
  readonly localResult: AioResult = new AioResult();
  /** The id of the callback that is running; 0 when none is. */
  runningId = 0;
  /** Told of each call of a callback; null: nobody wants to know. */
  onCall: TraceHook | null = null;

  /**
   * @param onThrown told when a callback threw
   */
  constructor(onThrown: ThrownHook) {
    super("callback");
    this.#onThrown = onThrown;
  }

  /**
   * Adds callbacks under the next id.
   *
   * @throws {TypeError} if they are not right, or the name is taken
   */
  add(name: string, callbacks: AioCallbacks): void {
    const refuse = (why: string): never => {
      throw new TypeError(`Cannot register callback "${name}": ${why}`);
    };
    if (typeof callbacks !== "object" || callbacks === null) {
      refuse(`${shown(callbacks)} is no object`);
    }
    for (const phase of ["stage", "completeShared", "completeLocal", "report"] as const) {
      const one: unknown = callbacks[phase];
      if (one !== undefined && typeof one !== "function") refuse(`its ${phase} is no function`);
    }
    if (callbacks.completeShared === undefined && callbacks.completeLocal === undefined) {
      refuse("it does not have a completion callback");
    }
    if (!this.names.includes(name) && this.names.length > CALLBACK_ID_MAX) {
      refuse(`there may be at most ${CALLBACK_ID_MAX}`);
    }
    this.addName(name);
    this.#callbacks.push(callbacks);
    this.hasStage ||= callbacks.stage !== undefined;
    this.hasLocal ||= callbacks.completeLocal !== undefined;
  }

  /**
   * Says that all there are now are this module's own: they never throw, and return what they were
   * given.
   */
  trustAll(): void {
    this.#trusted = this.#callbacks.length - 1;
  }

  /**
   * Runs the `stage` callbacks.
   *
   * @returns the id of the callback that threw, after which no other is run; -1 if none did
   */
  runStage(handle: CallbackHandle, words: Int32Array, base: number): number {
    for (let i = words[base + HANDLE.callbackCount]! - 1; i >= 0; i--) {
      const id = words[base + HANDLE.callbackIds + i]!;
      const callbacks = this.#callbacks[id]!;
      if (callbacks.stage === undefined) continue;
      this.onCall?.(handle, this.nameOf(id), "stage");
      this.runningId = id;
      try {
        const returned: unknown = callbacks.stage(handle, words[base + HANDLE.callbackData + i]!);
        refusePromise(returned, "a callback may not return a promise");
      } catch (cause) {
        this.tellThrown(handle, id, "stage", cause);
        return id;
      } finally {
        this.runningId = 0;
      }
    }
    return -1;
  }

  /** Runs the `completeShared` callbacks over a result, which is changed in place. */
  runShared(handle: CallbackHandle, words: Int32Array, base: number, result: AioResult): void {
    for (let i = words[base + HANDLE.callbackCount]! - 1; i >= 0; i--) {
      const id = words[base + HANDLE.callbackIds + i]!;
      const { completeShared } = this.#callbacks[id]!;
      if (completeShared === undefined) continue;
      const data = words[base + HANDLE.callbackData + i]!;
      if (id <= this.#trusted && this.onCall === null) {
        const { callbackId, status, errorData } = result;
        completeShared(handle, result, data);
        sign(result, id, callbackId, status, errorData);
      } else this.#complete(handle, id, "completeShared", data, result);
    }
  }

  /** Runs the `completeLocal` callbacks over a result, which is changed in place. */
  runLocal(handle: CallbackHandle, words: Int32Array, base: number, result: AioResult): void {
    for (let i = words[base + HANDLE.callbackCount]! - 1; i >= 0; i--) {
      const id = words[base + HANDLE.callbackIds + i]!;
      if (this.#callbacks[id]!.completeLocal === undefined) continue;
      this.#complete(handle, id, "completeLocal", words[base + HANDLE.callbackData + i]!, result);
    }
  }

  #complete(
    handle: CallbackHandle,
    id: number,
    phase: "completeShared" | "completeLocal",
    data: number,
    result: AioResult,
  ): void {
    const { callbackId, status, errorData } = result;
    this.onCall?.(handle, this.nameOf(id), phase);
    this.runningId = id;
    try {
      const next = this.#callbacks[id]![phase]!(handle, result, data);
      this.#checkResult(next, errorData);
      if (next !== result) result.assign(next);
      sign(result, id, callbackId, status, errorData);
    } catch (cause) {
      this.tellThrown(handle, id, phase, cause);
      setThrown(result, id, phase);
    } finally {
      this.runningId = 0;
    }
  }

  /** Tells that a callback threw; one of id 0 is a hook at the injection point of that phase. */
  tellThrown(handle: CallbackHandle, id: number, phase: CallbackPhase, cause: unknown): void {
    const message = `${this.#describe(id, phase)} threw in ${phase} of handle ${handle.id} ` +
      `(${handle.operation} on ${handle.describeTarget()}): ${cause}`;
    this.#onThrown(new AioCallbackError(message, this.#nameIn(id, phase), phase), cause);
  }

  #nameIn(id: number, phase: CallbackPhase): string {
    return id === 0 ? INJECTION_POINTS[PHASE_NAMES.indexOf(phase)]! : this.nameOf(id);
  }

  #describe(id: number, phase: CallbackPhase): string {
    const what = id === 0 ? "Injection point" : "Callback";
    return `${what} "${this.#nameIn(id, phase)}"`;
  }

  /** What runs now, in words. */
  describeRunning(): string {
    if (this.runningId === INJECTION_RUNNING) return "a hook at an injection point";
    if (this.runningId === LOG_RUNNING) return "the log hook";
    if (this.runningId === LAYER_RUNNING) return "a hook of a layer";
    return `the callback "${this.nameOf(this.runningId)}"`;
  }

  /**
   * Refuses what shared memory could not hold, so that a callback's mistake shows where it is made.
   *
   * @param priorErrorData what it was given, which it may hand on though it could not set it
   */
  #checkResult(result: AioResult, priorErrorData: number): void {
    const isRight = result instanceof AioResult &&
      (result.status === "ok" || STATUS_NAMES.indexOf(result.status) > 0) &&
      (isWithin(result.errorData, ERROR_DATA_MAX) || result.errorData === priorErrorData) &&
      isWithin(result.callbackId, this.#callbacks.length - 1) &&
      result.result === (result.result | 0);
    if (!isRight) refuseResult(result);
  }

  /**
   * The error that a result stands for, as the callback that set it describes it.
   *
   * @param target what the IO was about
   */
  errorOf(result: AioResult, targetData: Int32Array, target: TargetIdentity): Error {
    const id = result.callbackId;
    if (result.status === "error" && result.errorData >= ERROR_DATA_THROWN) {
      const phase = PHASE_NAMES[result.errorData - ERROR_DATA_THROWN]!;
      const message = `${this.#describe(id, phase)} threw in ${phase} of its IO`;
      return new AioCallbackError(message, this.#nameIn(id, phase), phase);
    }
    const report = this.#callbacks[id]?.report;
    if (report === undefined) {
      return new AioReportError(
        `IO ended with status ${result.status}, result ${result.result} and error data ${result.errorData} ` +
          `set by callback "${this.nameOf(id)}", which has no report()`,
      );
    }
    const error = report(result, targetData, target);
    refusePromise(error, `Callback "${this.nameOf(id)}" returned a promise from its report()`);
    return error instanceof Error ? error : new AioReportError(String(error));
  }
}

/** The callback that changed a status, and left no other id, can put it into words. */
function sign(
  result: AioResult,
  id: number,
  priorId: number,
  priorStatus: ResultStatus,
  priorErrorData: number,
): void {
  const isChanged = result.status !== priorStatus || result.errorData !== priorErrorData;
  if (isChanged && result.callbackId === priorId) result.callbackId = id;
}

/** Turns a result into the error that stands for a callback that threw. */
export function setThrown(result: AioResult, callbackId: number, phase: CallbackPhase): void {
  result.callbackId = callbackId;
  result.status = "error";
  result.errorData = ERROR_DATA_THROWN + PHASE_NAMES.indexOf(phase);
  result.result = 0;
}

function isWithin(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function refuseResult(result: AioResult): never {
  if (!(result instanceof AioResult)) {
    if (isThenable(result)) swallowRejection(result);
    throw new TypeError(`a completion callback must return an AioResult: got ${shown(result)}`);
  }
  throw new RangeError(
    `a completion callback returned status ${shown(result.status)}, result ${
      shown(result.result)
    }, ` +
      `error data ${shown(result.errorData)} and callback id ${
        shown(result.callbackId)
      }: the result is a ` +
      `32-bit integer, error data is 0 to ${ERROR_DATA_MAX}, the id one of the table`,
  );
}

/** Puts a result into a handle, for every thread to see once the state says so. */
export function storeResult(words: Int32Array, base: number, result: AioResult): void {
  words[base + HANDLE.resultCallback] = result.callbackId;
  words[base + HANDLE.resultStatus] = result.status === "ok"
    ? 1
    : STATUS_NAMES.indexOf(result.status);
  words[base + HANDLE.resultErrorData] = result.errorData;
  words[base + HANDLE.result] = result.result;
}

/** Reads a result from a handle. */
export function loadResult(words: Int32Array, base: number, into: AioResult): void {
  into.callbackId = words[base + HANDLE.resultCallback]!;
  into.status = STATUS_NAMES[words[base + HANDLE.resultStatus]!]!;
  into.errorData = words[base + HANDLE.resultErrorData]!;
  into.result = words[base + HANDLE.result]!;
}

/**
 * A hash of all names, by which threads notice that their tables differ (FNV-1a, 32 bits); never 0.
 */
export function hashNames(...tables: readonly (readonly string[])[]): number {
  let hash = 0x811c9dc5;
  for (const names of tables) {
    for (const byte of new TextEncoder().encode(names.join("\n") + "\0")) {
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
  }
  return hash | 0 || 1;
}

/** The numbers in a handle's data, two words each, as 64-bit values. */
export function loadHandleData(control: Control, index: number, count: number): BigUint64Array {
  const at = control.handleDataAt(index);
  const values = new BigUint64Array(count);
  for (let i = 0; i < count; i++) values[i] = BigInt.asUintN(64, control.longs[at / 2 + i]!);
  return values;
}
