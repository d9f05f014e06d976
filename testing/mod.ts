/**
 * For tests of programs that keep data with this module: {@linkcode recordIo} and
 * {@linkcode crashStates} cut the power at every moment.
 *
 * @example A file that is acknowledged before it is flushed
 * ```ts
 * import { crashStates, recordIo } from "@deno-aio/aio/testing";
 *
 * const recording = await recordIo<string>(async (aio, directory, recorder) => {
 *   await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
 *   await aio.syncDirectory(directory);
 *   await file.writeAt(new TextEncoder().encode("hello"), 0);
 *   recorder.mark("hello");
 *   await file.sync();
 * });
 * let lost = 0;
 * for (const state of crashStates(recording, { exhaustive: true })) {
 *   const text = new TextDecoder().decode(state.files.get("a"));
 *   if (state.acknowledged.some((value) => value !== text)) lost++;
 * }
 * if (lost === 0) throw new Error("nobody has found it");
 * ```
 *
 * @module
 */

export {
  type IoRecorder,
  type RecordedProgram,
  recordIo,
  type RecordOptions,
} from "./record_io.ts";
export { Recording } from "./recording.ts";
export { CrashState } from "./crash_state.ts";
export { crashState, type CrashStateOptions, crashStates } from "./crash_states.ts";
export {
  type FailingCall,
  failNthCall,
  type FailNthCallOptions,
  type FailNthCallReport,
} from "./fail_nth_call.ts";
