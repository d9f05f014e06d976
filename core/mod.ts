/**
 * PostgreSQL's model of asynchronous I/O, name for name: handles, wait references, batch mode,
 * callbacks, targets, resource owners. For those who build a buffer manager or a log on it; files
 * as Deno users know them are in the main module, whose `Aio` has all of {@linkcode AioCore}.
 *
 * @example One read, with its status checked
 * ```ts
 * import { AioReturn, reportResult } from "@deno-aio/aio/core";
 * import { Aio } from "@deno-aio/aio";
 *
 * await using aio = await Aio.open({ method: "sync" });
 * await using file = await aio.openFile(new URL("./mod.ts", import.meta.url));
 * using page = aio.alloc(512);
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

// The subsystem, what it is opened with, and what it shows.
export { AioCore } from "./life/aio.ts";
export type {
  AioOptions,
  EffectiveOptions,
  LibraryPaths,
  WorkerPoolOptions,
} from "./base/options.ts";
export type { AttachOptions } from "./life/open_aio.ts";
export type { CloseOptions } from "./base/patience.ts";
export type { LogHook, LogLevel } from "./base/log_level.ts";
export type { AioToken, FileToken } from "./memory/token.ts";
export type { BackendRow } from "./views/backend_rows.ts";
export type { BackendCounters } from "./io/counters.ts";
export type { IoRow, IoRowResult, IoRowState } from "./views/io_rows.ts";
export type { IoMethod, WorkerRow } from "./io/method.ts";
export type { WaitEvent } from "./io/wait_event.ts";

// Errors.
export { AioInvariantError } from "./base/assert.ts";
export { AioApiError, AioCallbackError, AioReportError, AioSystemError } from "./base/errors.ts";
export type { SystemError, SystemErrorFields } from "./base/errors.ts";

// One IO: its handle, its wait reference, its outcome.
export { AioHandle, type StartOptions } from "./io/handle.ts";
export type { HandleFlag } from "./io/handle_flag.ts";
export type { HandleState } from "./memory/handle_state.ts";
export type { UseHandle } from "./backend/acquire_queue.ts";
export type { CompletionWaiter } from "./waiting/turn.ts";
export { clearWaitRef, invalidWaitRef, isValidWaitRef, waitRefId } from "./io/wait_ref.ts";
export type { WaitRef } from "./io/wait_ref.ts";
export { AioResult, AioReturn, reportResult } from "./io/result.ts";
export type { ReportLevel, ResultStatus } from "./io/result.ts";
export { type ReleaseOptions, ResourceOwner } from "./life/resource_owner.ts";

// What programs add: callbacks, targets, verifiers, and hooks for their tests.
export { defineCallbacks } from "./io/callback.ts";
export type { AioCallbacks, CallbackHandle, OperationData } from "./io/callback.ts";
export type { Operands } from "./io/operation.ts";
export type { OperationName, OperationWaitEvent, StartedName } from "./io/operation_table.ts";
export { defineTarget } from "./io/target.ts";
export type { AioTarget, TargetIdentity } from "./io/target.ts";
export { defineVerifier, type PageVerdict, type PageVerifier } from "./io/verifier.ts";
export type { InjectionHook } from "./io/injection.ts";
export type { InjectionPoint } from "./io/result.ts";
