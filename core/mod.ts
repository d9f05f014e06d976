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

export { AioCore } from "./life/aio.ts";
export { AcquireQueue } from "./backend/acquire_queue.ts";
export type { HandleSource, UseHandle } from "./backend/acquire_queue.ts";
export { Arena } from "./memory/arena.ts";
export type { ArenaUse } from "./memory/arena.ts";
export { AioInvariantError } from "./base/assert.ts";
export { Backend } from "./backend/backend.ts";
export type { BackendRow } from "./views/backend_rows.ts";
export type { BackendCounters } from "./io/counters.ts";
export { InjectionPoints } from "./io/injection.ts";
export type { InjectionHook } from "./io/injection.ts";
export { IoLog } from "./io/io_log.ts";
export type { LogHook, LogLevel } from "./base/log_level.ts";
export type { CompleterHost } from "./backend/completer.ts";
export { Staging } from "./backend/staging.ts";
export type { StagingHost } from "./backend/staging.ts";
export type { WaitEvent } from "./io/wait_event.ts";
export type { BackendParts } from "./backend/backend_parts.ts";
export { CallbackTable, defineCallbacks } from "./io/callback.ts";
export type {
  AioCallbacks,
  CallbackHandle,
  OperationData,
  ThrownHook,
  TraceHook,
} from "./io/callback.ts";
export type { Operands } from "./io/operation.ts";
export type { OperationName, OperationWaitEvent, StartedName } from "./io/operation_table.ts";
export { AioApiError, AioCallbackError, AioReportError, AioSystemError } from "./base/errors.ts";
export type { SystemError, SystemErrorFields } from "./base/errors.ts";
export { AioHandle } from "./io/handle.ts";
export type { HandleFlag } from "./io/handle_flag.ts";
export type { HandleHost, HandleOwner, StartOptions } from "./io/handle.ts";
export type { HandleState } from "./memory/handle_state.ts";
export type { IoRow, IoRowResult, IoRowState } from "./views/io_rows.ts";
export { Iovec } from "./io/iovec.ts";
export { MemoryMap } from "./memory/memory_map.ts";
export type {
  Availability,
  Doorbell,
  IoMethod,
  MethodBackend,
  ReapingFrom,
  WorkerRow,
} from "./io/method.ts";
export type { Libc } from "../ffi/libc.ts";
export { NameTable } from "./base/name_table.ts";
export { OpenFileTable } from "./files/file_table.ts";
export type { FileSlot, OpenFileEntry } from "./files/file_table.ts";
export type { AttachOptions, OpenedBackend } from "./life/open_aio.ts";
export { Doorbells } from "./waiting/doorbell.ts";
export { Pump } from "./waiting/pump.ts";
export type { PumpHost } from "./waiting/pump.ts";
export type {
  AioOptions,
  EffectiveOptions,
  LibraryPaths,
  WorkerPoolOptions,
} from "./base/options.ts";
export type { CloseOptions } from "./base/patience.ts";
export { ResourceOwner } from "./life/resource_owner.ts";
export type { ReleaseOptions } from "./life/resource_owner.ts";
export { AioResult, AioReturn, reportResult } from "./io/result.ts";
export type {
  CallbackPhase,
  InjectionPoint,
  ReportLevel,
  ResultReporter,
  ResultStatus,
} from "./io/result.ts";
export { Control } from "./memory/shared_memory.ts";
export { defineTarget, TargetTable } from "./io/target.ts";
export type { AioTarget, TargetIdentity } from "./io/target.ts";
export type { AioToken, FileToken } from "./memory/token.ts";
export { Turn } from "./waiting/turn.ts";
export type { CompletionWaiter } from "./waiting/turn.ts";
export { clearWaitRef, invalidWaitRef, isValidWaitRef, waitRefId } from "./io/wait_ref.ts";
export type { WaitRef } from "./io/wait_ref.ts";
export { Waiting } from "./waiting/waiting.ts";
export type { WaitingHost } from "./waiting/waiting.ts";
