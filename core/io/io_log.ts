/**
 * io_log.ts: the log of what becomes of each IO, in the form of PostgreSQL's:
 *
 * ```text
 * io 12        |op readv|target file|state SUBMITTED       : staged
 * ```
 *
 * Without a log there is no object of this class, and each place that would log pays for a look at
 * a null. The hook runs in the middle of the core, so it may look (`aio.ios()`), but neither wait
 * nor start IO.
 *
 * @module
 */

import {
  type CallbackHandle,
  type CallbackTable,
  LOG_RUNNING,
  type TraceHook,
} from "./callback.ts";
import type { AioHandle } from "./handle.ts";
import { STATE_NAMES, VIEW_STATE_NAMES } from "../memory/handle_state.ts";
import { LOG_LEVELS, type LogHook, type LogLevel } from "../base/log_level.ts";
import { type AioResult, STATUS_NAMES } from "./result.ts";
import { HANDLE } from "../memory/shared_memory.ts";

/** Takes the lines of one thread. */
export interface LogReceiver {
  /** Takes a line; never throws. */
  readonly hook: LogHook;
  /** The most detailed lines that are wanted. */
  readonly level: LogLevel;
}

/** Makes the log of one thread, with the calls of callbacks where those are wanted. */
export function openLog(receiver: LogReceiver | null, callbacks: CallbackTable): IoLog | null {
  if (receiver === null) return null;
  const log = new IoLog(receiver.hook, receiver.level, callbacks);
  if (log.has("debug4")) callbacks.onCall = log.traceOf();
  return log;
}

/** The log of one thread. */
export class IoLog {
  /**
   * Has {@linkcode take} called with what other threads said before a line of this one; null: none
   * do.
   */
  bringEarlier: (() => void) | null = null;
  readonly #hook: LogHook;
  readonly #level: number;
  readonly #callbacks: CallbackTable;

  /**
   * @param hook takes the lines; never throws
   * @param level the most detailed lines that are made
   * @param callbacks refuse what the hook may not call
   */
  constructor(hook: LogHook, level: LogLevel, callbacks: CallbackTable) {
    this.#hook = hook;
    this.#callbacks = callbacks;
    this.#level = LOG_LEVELS.indexOf(level);
  }

  /** The most detailed lines that are made. */
  get level(): LogLevel {
    return LOG_LEVELS[this.#level]!;
  }

  /** Whether lines of a level are made. */
  has(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= this.#level;
  }

  /** Makes a line. */
  say(level: LogLevel, text: string): void {
    if (this.has(level)) this.#tell(level, text);
  }

  /**
   * Makes a line about an IO, which is cheap where the level is not wanted.
   *
   * @param state the one that the line names: the handle's, unless that is about to change
   */
  io(level: LogLevel, handle: CallbackHandle, text: string, state = handle.state): void {
    if (!this.has(level)) return;
    const shownState = VIEW_STATE_NAMES[STATE_NAMES.indexOf(state)]!;
    this.#tell(
      level,
      `io ${String(handle.id).padEnd(10)}|op ${handle.operation.padEnd(5)}` +
        `|target ${handle.targetName.padEnd(4)}|state ${shownState.padEnd(16)}: ${text}`,
    );
  }

  /** Takes a line that another thread made. */
  take(level: LogLevel, line: string): void {
    if (this.has(level)) this.#hand(level, line);
  }

  /** Makes a line of each call of a callback. */
  traceOf(): TraceHook {
    return (handle, name, phase) => this.io("debug4", handle, `calls ${phase} of "${name}"`);
  }

  /**
   * Makes the lines of a handle that its issuer takes back.
   *
   * @param result what the local callbacks made of the outcome, if it was started
   */
  reclaiming(handle: AioHandle, result: AioResult): void {
    const isStarted = handle.state === "completedLocal";
    if (isStarted) this.io("debug3", handle, describeLocal(result));
    this.io(
      "debug4",
      handle,
      isStarted ? `reclaiming: ${distilled(handle)}` : "reclaiming: not started",
    );
  }

  /** Makes the line of an IO that is completed, or will be with the next store. */
  completed(handle: AioHandle): void {
    this.io("debug3", handle, `completed: ${distilled(handle)}`, "completedShared");
  }

  #tell(level: LogLevel, line: string): void {
    this.bringEarlier?.();
    this.#hand(level, line);
  }

  #hand(level: LogLevel, line: string): void {
    const { runningId } = this.#callbacks;
    this.#callbacks.runningId = LOG_RUNNING;
    this.#hook(line, level);
    this.#callbacks.runningId = runningId;
  }
}

/** The outcome of an IO as its shared callbacks put it. */
function distilled({ words, base }: AioHandle): string {
  const status = STATUS_NAMES[words[base + HANDLE.resultStatus]!]!.toUpperCase();
  return `status ${status}, callback ${words[base + HANDLE.resultCallback]}, ` +
    `error data ${words[base + HANDLE.resultErrorData]}, result ${words[base + HANDLE.result]}, ` +
    `raw result ${words[base + HANDLE.rawResult]}`;
}

function describeLocal({ status, callbackId, errorData, result }: AioResult): string {
  return `after local callbacks: status ${status.toUpperCase()}, callback ${callbackId}, ` +
    `error data ${errorData}, result ${result}`;
}
