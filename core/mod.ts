/**
 * PostgreSQL's model of asynchronous I/O, name for name: handles, wait references, batch mode,
 * callbacks, targets, resource owners. For those who build a buffer manager or a log on it; for
 * files as Deno users know them see the `storage` module.
 *
 * @example One read, with its status checked
 * ```ts
 * import { AioReturn, reportResult } from "@deno-aio/aio/core";
 * import { Aio } from "@deno-aio/aio";
 *
 * await using aio = await Aio.open({ method: "sync" });
 * await using file = await aio.openFile(new URL("./mod.ts", import.meta.url));
 * const page = aio.alloc(512);
 * const ret = new AioReturn();
 *
 * const handle = aio.acquire(null, ret);
 * const ref = handle.waitRef();
 * handle.setIovec(page);
 * file.startReadv(handle, 0); // consumes the handle
 * await aio.wait(ref);
 *
 * if (ret.result.status === "error") reportResult(ret.result, ret.targetData, "error");
 * ```
 *
 * @module
 */

export { AioCore } from "./aio.ts";
export { AcquireQueue } from "./acquire_queue.ts";
export type { HandleSource, UseHandle } from "./acquire_queue.ts";
export { Arena } from "./arena.ts";
export type { ArenaUse } from "./arena.ts";
export { AioInvariantError } from "./assert.ts";
export { Backend } from "./backend.ts";
export type { BackendRow } from "./backends.ts";
export type { BackendCounters } from "./counters.ts";
export { InjectionPoints } from "./injection.ts";
export type { InjectionHook } from "./injection.ts";
export { IoLog } from "./io_log.ts";
export type { LogHook, LogLevel } from "./log_level.ts";
export type { CompleterHost } from "./completer.ts";
export { Staging } from "./staging.ts";
export type { StagingHost } from "./staging.ts";
export type { WaitEvent } from "./wait_event.ts";
export type { BackendParts } from "./backend_parts.ts";
export { CallbackTable, defineCallbacks } from "./callback.ts";
export type {
  AioCallbacks,
  CallbackHandle,
  OperationData,
  OperationName,
  ThrownHook,
  TraceHook,
} from "./callback.ts";
export { AioApiError, AioCallbackError, AioReportError, AioSystemError } from "./errors.ts";
export type { SystemError, SystemErrorFields } from "./errors.ts";
export { AioHandle } from "./handle.ts";
export type { HandleFlag } from "./handle_flag.ts";
export type { HandleHost, HandleOwner, StartOptions } from "./handle.ts";
export type { HandleState } from "./handle_state.ts";
export type { IoRow, IoRowResult, IoRowState } from "./ios.ts";
export { Iovec } from "./iovec.ts";
export { MemoryMap } from "./memory_map.ts";
export type { Availability, IoMethod, MethodBackend, ReapingFrom, WorkerRow } from "./method.ts";
export type { Libc } from "../ffi/libc.ts";
export { NameTable } from "./name_table.ts";
export { OpenFileTable } from "./open_file.ts";
export type { FileSlot, OpenFileEntry } from "./open_file.ts";
export type { AttachOptions, OpenedBackend } from "./open.ts";
export { Doorbells } from "./doorbell.ts";
export { Pump } from "./pump.ts";
export type { PumpHost } from "./pump.ts";
export type { AioOptions, EffectiveOptions, LibraryPaths, WorkerPoolOptions } from "./options.ts";
export type { CloseOptions } from "./patience.ts";
export { ResourceOwner } from "./resource_owner.ts";
export type { ReleaseOptions } from "./resource_owner.ts";
export { AioResult, AioReturn, reportResult } from "./result.ts";
export type {
  CallbackPhase,
  InjectionPoint,
  ReportLevel,
  ResultReporter,
  ResultStatus,
} from "./result.ts";
export { Control } from "./shared_memory.ts";
export { defineTarget, TargetTable } from "./target.ts";
export type { AioTarget, TargetIdentity } from "./target.ts";
export type { AioToken, FileToken } from "./token.ts";
export { Turn } from "./turn.ts";
export type { CompletionWaiter } from "./turn.ts";
export { clearWaitRef, invalidWaitRef, isValidWaitRef, waitRefId } from "./wait_ref.ts";
export type { WaitRef } from "./wait_ref.ts";
export { Waiting } from "./waiting.ts";
export type { WaitingHost } from "./waiting.ts";
