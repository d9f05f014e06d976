/**
 * inside_layers.ts: what the layers above the core have in every thread, the threads of methods and
 * reapers included. Those load it and little else, so it is apart from `inside.ts`, which leads to
 * everything that a thread of the user needs.
 *
 * @module
 */

export { alignUp, fromWords, PAGE_SIZE_BYTES } from "./base/ffi_values.ts";
export type { Layer, LayerHost, LayerParts } from "./life/layer.ts";
export type { Arena } from "./memory/arena.ts";
export type { ArenaRun } from "./memory/layer_runs.ts";
export { type Control, HANDLE } from "./memory/shared_memory.ts";
export { locks, positions } from "./memory/shared_values.ts";
export { announceWait, tellIfAwaited, type WaitWord, wakeWord } from "./waiting/words.ts";
