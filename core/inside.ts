/**
 * inside.ts: what `storage` takes from the core beside what users have (`core/mod.ts`). It is the
 * one way in, with the part of it that every thread loads (`inside_layers.ts`): storage imports no
 * other file of the core, and no door for users exports these.
 *
 * @module
 */

export * from "./inside_layers.ts";

// What every part of the house uses.
export { onAbort } from "./base/abort.ts";
export { atCaller, called, calledFor, calling, callSite } from "./base/caller.ts";
export { shown, systemError, systemErrorOf } from "./base/errors.ts";
export { errnos, isAligned, system, TRANSFER_BYTES_MAX } from "./base/ffi_values.ts";
export { INSPECT } from "./base/inspect.ts";
export { type Hold, Patience } from "./base/patience.ts";
export { LOOK_AGAIN_MS } from "./base/pauses.ts";
export { type Eventually, get, runSteps, runStepsSync, type Steps } from "./base/steps.ts";

// This thread's side of an Aio, and how it opens and ends.
export type { Backend } from "./backend/backend.ts";
export { backendOf } from "./backend/backend_of.ts";
export { layersOf } from "./life/made_layers.ts";
export { attachBackend, openBackend, type OpenedBackend } from "./life/open_aio.ts";
export { closeWithFiles } from "./life/aio.ts";
export type { Failures } from "./life/closing_backend.ts";

// Shared memory.
export { LAYOUT_VERSION } from "./memory/shared_memory.ts";
export { checkToken, identityOf } from "./memory/token.ts";

// One IO.
export { COUNTER } from "./io/counters.ts";
export { FLAG_BITS, FUSE_BIT } from "./io/handle_flag.ts";
export { MissPause } from "./io/miss_pause.ts";
export { checkEnd, checkOffset } from "./io/operation.ts";
export { OPERATIONS } from "./io/operation_table.ts";
export { FILE_TARGET } from "./io/target.ts";

// Open files.
export type { DirectMode } from "./files/direct_io.ts";
export { DURABLE_WRITE } from "./files/file_callbacks.ts";
export { type FileCallForms, type FileCalls, fileCalls } from "./files/file_calls.ts";
export { FILE_FLAGS, type FileIdentity, handDown } from "./files/file_table.ts";
export type { OpenFileEntry } from "./files/file_table.ts";
export type { FileSlot } from "./files/file_slot.ts";
export * as flushErrors from "./files/flush_error.ts";
export {
  OPEN_REQUESTS,
  type OpenFileOptions,
  type OpenRequest,
  pathString,
} from "./files/open_request.ts";
export { openingSteps } from "./files/opening.ts";
export type { OpenedFile, OpeningHost } from "./files/opening.ts";
export { type ClosingFile, closingSteps } from "./life/closing_file.ts";
export { Descriptors } from "./life/descriptors.ts";
export { FlushTurns } from "./life/flush_turns.ts";
