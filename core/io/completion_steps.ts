/**
 * completion_steps.ts: from the system's answer to an idle handle, step by step, on the words of
 * one handle.
 *
 * ```text
 * submitted ─► completedIo ─► shared callbacks ─► completedShared     in whichever thread completes
 *              completedShared ─► local callbacks ─► completedLocal   in the issuer
 *              completedLocal ─► generation + 1 ─► idle ─► fields reset
 * ```
 *
 * @module
 */

import * as callbacks from "./callback.ts";
import { type CallbackTable, setThrown } from "./callback.ts";
import * as counting from "./counters.ts";
import type { AioHandle } from "./handle.ts";
import * as states from "../memory/handle_state.ts";
import type { InjectionPoints } from "./injection.ts";
import type { IoLog } from "./io_log.ts";
import * as results from "./result.ts";
import type { AioResult, AioReturn } from "./result.ts";
import * as layout from "../memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { loadResult, storeResult } = callbacks;
const { countOutcome } = counting;
const { COMPLETED_IO, COMPLETED_LOCAL, COMPLETED_SHARED, IDLE, publishState, updateState } = states;
const { TARGET_DATA_WORDS } = results;
const { HANDLE } = layout;

/** In place of a callback's id where none threw; 0 is a hook at an injection point. */
export const NOBODY_THREW = -1;

/**
 * Distils an answer of the system and publishes it to all threads.
 *
 * @param table the callbacks
 * @param handle submitted
 * @param rawResult bytes, or -errno
 * @param thrower the callback that threw while the IO was staged, so that it was not executed, or
 *   {@linkcode NOBODY_THREW}
 * @param isForeign whether another backend issued it
 * @param injections what tests attached
 * @param log takes the line that it is completed; null: none is wanted
 */
export function completeShared(
  table: CallbackTable,
  handle: AioHandle,
  rawResult: number,
  thrower: number,
  isForeign: boolean,
  injections: InjectionPoints,
  log: IoLog | null,
): void {
  storeRawResult(handle, rawResult, isForeign);
  publishResult(table, handle, thrower, isForeign, injections, log);
}

/** The first step of it: what the system said is in the handle. */
export function storeRawResult(handle: AioHandle, rawResult: number, isForeign: boolean): void {
  const { words, base } = handle;
  words[base + HANDLE.rawResult] = rawResult;
  if (isForeign) publishState(words, base + HANDLE.state, COMPLETED_IO);
  else updateState(words, base + HANDLE.state, COMPLETED_IO);
}

/** The rest of it, from completedIo on: where a thread that died may have stopped. */
export function publishResult(
  table: CallbackTable,
  handle: AioHandle,
  thrower: number,
  isForeign: boolean,
  injections: InjectionPoints,
  log: IoLog | null,
): void {
  const { words, base } = handle;
  const result = table.sharedResult;
  result.callbackId = 0;
  result.status = "ok";
  result.errorData = 0;
  result.result = words[base + HANDLE.rawResult]!;
  if (thrower !== NOBODY_THREW) setThrown(result, thrower, "stage");
  else if (injections.count > 0) injectResult(injections, handle, result);
  table.runShared(handle, words, base, result);
  storeResult(words, base, result);
  // Once the state of a foreign handle says so, its issuer may use it again: the line comes before.
  if (isForeign) log?.completed(handle);
  if (isForeign) publishState(words, base + HANDLE.state, COMPLETED_SHARED);
  else updateState(words, base + HANDLE.state, COMPLETED_SHARED);
  if (!isForeign) log?.completed(handle);
}

/** A hook that replaces the raw result does so for everybody who looks at it later. */
function injectResult(injections: InjectionPoints, handle: AioHandle, result: AioResult): void {
  const { words, base } = handle;
  const raw = result.result;
  const replaced = injections.run("aio-process-completion-before-shared", handle, raw);
  if (replaced === null) setThrown(result, 0, "completeShared");
  else words[base + HANDLE.rawResult] = result.result = replaced;
}

/**
 * Wakes those who sleep on the state of a handle. After the state was stored, and only then:
 * whoever sets its bit later looks at the state itself.
 *
 * @returns the backends that wait, one bit each: those that await are to be rung, too
 */
export function wakeWaiters(words: Int32Array, base: number): number {
  const mask = Atomics.load(words, base + HANDLE.waiterMask);
  if (mask !== 0) Atomics.notify(words, base + HANDLE.state);
  return mask;
}

/**
 * Counts the outcome and gives it to the issuer; what its local callbacks make of it goes nowhere
 * else.
 */
export function completeLocal(
  table: CallbackTable,
  handle: AioHandle,
  ret: AioReturn | null,
  injections: InjectionPoints,
  counters: Float64Array,
): void {
  const { words, base } = handle;
  countOutcome(counters, words, base);
  const result = ret === null ? table.localResult : ret.result;
  loadResult(words, base, result);
  if (injections.count > 0) injections.runOn("aio-before-reclaim", handle, result);
  if (table.hasLocal) table.runLocal(handle, words, base, result);
  updateState(words, base + HANDLE.state, COMPLETED_LOCAL);
  if (ret === null) return;
  const isOk = result.status === "ok";
  result.targetId = words[base + HANDLE.target]!;
  result.operationId = isOk ? 0 : words[base + HANDLE.operation]!;
  const { targetData } = ret;
  const at = base + HANDLE.targetData;
  for (let i = 0; i < TARGET_DATA_WORDS; i++) targetData[i] = words[at + i]!;
  if (!isOk) table.unfinished(ret);
}

/**
 * Makes a handle idle. The generation moves first, the fields are reset last: a reader that sees
 * either half-way also sees that it came too late.
 *
 * @returns the backends that wait for it, one bit each
 */
export function makeIdle(words: Int32Array, base: number): number {
  // 64 bits in two words. The high one moves once in 2^32 uses, and before the low one wraps
  // around.
  const low = (words[base + HANDLE.generationLow]! + 1) | 0;
  if (low === 0) words[base + HANDLE.generationHigh]!++;
  words[base + HANDLE.generationLow] = low;
  publishState(words, base + HANDLE.state, IDLE);
  // Its atomic load also keeps the resets below behind the state.
  const mask = wakeWaiters(words, base);
  resetFields(words, base);
  return mask;
}

/** So that the next user finds nothing of this one. */
export function resetFields(words: Int32Array, base: number): void {
  words[base + HANDLE.waiterMask] = 0;
  words[base + HANDLE.operation] = 0;
  words[base + HANDLE.flags] = 0;
  words[base + HANDLE.target] = 0;
  words[base + HANDLE.iovecLength] = 0;
  words[base + HANDLE.handleDataLength] = 0;
  words[base + HANDLE.callbackCount] = 0;
  // The bits of the generation in it come again, and few IOs are claimed.
  if (words[base + HANDLE.claim] !== 0) words[base + HANDLE.claim] = 0;
}
